package announce

import (
	"encoding/binary"
	"iter"
	"net/netip"
	"slices"

	"shoal/internal/bt/bencode"
	"shoal/internal/bt/multihome"
)

// Bounds on what a tracker tells of a data centre.
const (
	MaxMembers = 2000 // members of each address family
	MaxDC      = 64   // bytes of a name
	MaxNames   = 255  // data centres that one answer names
	MaxWays    = 64   // of these, the first, between which it tells what the ways cost
)

// Elsewhere is the index of a peer whose data centre is not known.
const Elsewhere = MaxNames

// Site is what a tracker tells a shoal peer that asked for it (HTTP only; docs/protocol.md, "What a tracker tells of
// places"): the peer's data centre, and who in the swarm belongs to it. Members of unknown place belong together. The
// zero value means that nothing was told.
type Site struct {
	DC    string         // name of the data centre; empty: unknown
	Epoch int64          // unix second in which the list was made; 0: nothing was told
	Total int            // members that there are, which may be more than are listed
	Self  netip.AddrPort // the member that the asker is
	V4    []byte         // members in compact form, the asker included when the list was made after it came
	V6    []byte         // those that have no IPv4 address

	// Where the peers of the response are: for each of its V4 and V6 an index into Names, or one that is none.
	Names    []string
	At4, At6 []byte
	// How dear the way between each two of Names is, 0 the cheapest: of the second and the first, the third and the
	// first, the third and the second, the fourth and the first, and so on.
	Ways []byte

	// Of these peers, those that the asker should connect to at an address on a network that both are on.
	Via multihome.Via
}

// SetWays tells how dear the ways are between the data centres of the answer, the asker's among them.
func (s *Site) SetWays(dear func(a, b string) byte) {
	if s.DC != "" && len(s.Names) < MaxNames && !slices.Contains(s.Names, s.DC) {
		s.Names = append(s.Names, s.DC)
	}
	for j, b := range s.Names[:min(len(s.Names), MaxWays)] {
		for _, a := range s.Names[:j] {
			s.Ways = append(s.Ways, dear(a, b))
		}
	}
}

// EachWay gives how dear the way between two data centres is, for all that Ways has.
func (s *Site) EachWay() iter.Seq2[[2]string, byte] {
	return func(yield func([2]string, byte) bool) {
		ways := s.Ways
		for j, b := range s.Names {
			for _, a := range s.Names[:j] {
				if len(ways) == 0 || !yield([2]string{a, b}, ways[0]) {
					return
				}
				ways = ways[1:]
			}
		}
	}
}

// Place adds where a peer of the response is; an empty name is Elsewhere.
func (s *Site) Place(at *[]byte, dc string) {
	i := slices.Index(s.Names, dc)
	switch {
	case dc == "" || i < 0 && len(s.Names) == MaxNames:
		i = Elsewhere
	case i < 0:
		i = len(s.Names)
		s.Names = append(s.Names, dc)
	}
	*at = append(*at, byte(i))
}

// Located are the data centres of the addresses that the answer knows of: those of the peers that it hands out and
// those of the members. Fresh memory.
func (r *Response) Located() map[netip.Addr]string {
	out := map[netip.Addr]string{}
	put := func(ends []byte, size int, name func(i int) string) {
		for i := 0; len(ends) >= size; i, ends = i+1, ends[size:] {
			if dc := name(i); dc != "" {
				out[Endpoint(ends[:size]).Addr()] = dc
			}
		}
	}
	s := &r.Site
	at := func(at []byte) func(int) string {
		return func(i int) string {
			if i < len(at) && int(at[i]) < len(s.Names) {
				return s.Names[at[i]]
			}
			return ""
		}
	}
	put(r.V4, Size4, at(s.At4))
	put(r.V6, Size6, at(s.At6))
	own := func(int) string { return s.DC }
	put(s.V4, Size4, own)
	put(s.V6, Size6, own)
	return out
}

// Members are the members of both families as values, without repeats and those that make no sense. Fresh memory.
func (s *Site) Members() []netip.AddrPort {
	r := Response{V4: s.V4, V6: s.V6}
	return r.Peers()
}

// append adds the value of the key `shoal`.
func (s *Site) append(dst []byte) []byte {
	dst = append(dst, 'd')
	if len(s.Names) > 0 {
		dst = appendString(appendString(dst, "at"), s.At4)
		if len(s.At6) > 0 {
			dst = appendString(appendString(dst, "at6"), s.At6)
		}
	}
	if s.DC != "" {
		dst = appendString(appendString(dst, "dc"), s.DC)
	}
	if len(s.Names) > 0 {
		dst = append(appendString(dst, "dcs"), 'l')
		for _, name := range s.Names {
			dst = appendString(dst, name)
		}
		dst = append(dst, 'e')
	}
	dst = appendKeyInt(dst, "epoch", s.Epoch)
	dst = appendString(appendString(dst, "members"), s.V4)
	if len(s.V6) > 0 {
		dst = appendString(appendString(dst, "members6"), s.V6)
	}
	if s.Self.IsValid() {
		var buf [Size6]byte
		dst = appendString(appendString(dst, "self"), AppendCompact(buf[:0], s.Self))
	}
	dst = appendKeyInt(dst, "total", int64(s.Total))
	if len(s.Via.V4) > 0 {
		dst = appendString(appendString(dst, "via"), s.Via.V4)
	}
	if len(s.Via.V6) > 0 {
		dst = appendString(appendString(dst, "via6"), s.Via.V6)
	}
	if len(s.Ways) > 0 {
		dst = appendString(appendString(dst, "ways"), s.Ways)
	}
	return append(dst, 'e')
}

// parseSite reads the value of the key `shoal`. What is not a dictionary with an epoch counts as not sent, a list
// that is too long is cut.
func parseSite(v bencode.Value) (s Site) {
	epoch, _ := v.Get("epoch").Int()
	if v.Kind() != bencode.Dict || epoch <= 0 {
		return Site{}
	}
	s.Epoch = epoch
	s.Total = number(v.Get("total"))
	if dc := text(v.Get("dc")); len(dc) <= MaxDC {
		s.DC = dc
	}
	self, _ := v.Get("self").Bytes()
	s.Self = Endpoint(self)
	v4, _ := v.Get("members").Bytes()
	s.V4 = append(s.V4, whole(v4[:min(len(v4), MaxMembers*Size4)], Size4)...)
	v6, _ := v.Get("members6").Bytes()
	s.V6 = append(s.V6, whole(v6[:min(len(v6), MaxMembers*Size6)], Size6)...)
	s.parseNames(v)
	via4, _ := v.Get("via").Bytes()
	s.Via.V4 = append(s.Via.V4, via4[:min(len(via4), multihome.MaxVia*multihome.Size4)]...)
	via6, _ := v.Get("via6").Bytes()
	s.Via.V6 = append(s.Via.V6, via6[:min(len(via6), multihome.MaxVia*multihome.Size6)]...)
	return s
}

// parseNames reads where the peers of the response are. A name that is none keeps its index.
func (s *Site) parseNames(v bencode.Value) {
	for name := range v.Get("dcs").List() {
		if len(s.Names) == MaxNames {
			break
		}
		dc := text(name)
		if len(dc) > MaxDC {
			dc = ""
		}
		s.Names = append(s.Names, dc)
	}
	at4, _ := v.Get("at").Bytes()
	s.At4 = append(s.At4, at4[:min(len(at4), MaxPeers)]...)
	at6, _ := v.Get("at6").Bytes()
	s.At6 = append(s.At6, at6[:min(len(at6), MaxPeers)]...)
	ways, _ := v.Get("ways").Bytes()
	s.Ways = append(s.Ways, ways[:min(len(ways), MaxWays*(MaxWays-1)/2)]...)
}

// Endpoint reads one peer in compact form; the zero value when it is none.
func Endpoint(b []byte) netip.AddrPort {
	switch len(b) {
	case Size4:
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(b)), binary.BigEndian.Uint16(b[4:]))
	case Size6:
		return netip.AddrPortFrom(netip.AddrFrom16([16]byte(b)).Unmap(), binary.BigEndian.Uint16(b[16:]))
	}
	return netip.AddrPort{}
}
