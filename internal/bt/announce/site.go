package announce

import (
	"encoding/binary"
	"net/netip"

	"shoal/internal/bt/bencode"
)

// Bounds on what a tracker tells of a data centre.
const (
	MaxMembers = 2000 // members of each address family
	MaxDC      = 64   // bytes of a name
)

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
}

// Members are the members of both families as values, without repeats and those that make no sense. Fresh memory.
func (s *Site) Members() []netip.AddrPort {
	r := Response{V4: s.V4, V6: s.V6}
	return r.Peers()
}

// append adds the value of the key `shoal`.
func (s *Site) append(dst []byte) []byte {
	dst = append(dst, 'd')
	if s.DC != "" {
		dst = appendString(appendString(dst, "dc"), s.DC)
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
	return s
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
