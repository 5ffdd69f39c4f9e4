package wire

import (
	"encoding/binary"
	"net/netip"
	"strings"

	"shoal/internal/bt/bencode"
	"shoal/internal/bt/multihome"
)

// ExtPex is the name of the BEP 11 extension: peers tell of peers.
const ExtPex = "ut_pex"

// MaxPex bounds Added and Dropped of one message; what is more is left out. The
// BEP asks for at most 50, the first message excepted.
const MaxPex = 200

// Flags of a PexPeer, BEP 11.
const (
	PexEncryption = 0x01
	PexSeed       = 0x02 // seed or upload-only
	PexUTP        = 0x04
	PexHolepunch  = 0x08
	PexReachable  = 0x10 // the sender connected to it
)

// PexPeer is a contact in a peer exchange.
type PexPeer struct {
	Addr  netip.AddrPort
	Flags uint8          // of added peers only
	Via   netip.AddrPort // of added peers only, between shoal peers: where to connect to it; the zero value: at Addr
}

// Pex is a peer exchange message. Addresses are hearsay: bound what is done with them.
type Pex struct {
	Added, Dropped []PexPeer
}

// Encode makes the body of a peer exchange message, for AppendExtended.
func (p Pex) Encode() []byte {
	added4, flags4, added6, flags6 := compact(p.Added)
	dropped4, _, dropped6, _ := compact(p.Dropped)
	via := p.via()
	var e bencode.Encoder
	e.Dict()
	for _, f := range []struct {
		key   string
		value []byte
	}{
		{"added", added4}, {"added.f", flags4}, {"added6", added6}, {"added6.f", flags6},
		{"dropped", dropped4}, {"dropped6", dropped6}, {"via", via.V4}, {"via6", via.V6},
	} {
		if f.value == nil && strings.HasPrefix(f.key, "via") {
			continue
		}
		e.Key(f.key)
		e.Bytes(f.value)
	}
	e.End()
	return finish(&e)
}

// via is the other addresses of the peers that are added.
func (p Pex) via() (via multihome.Via) {
	var n [2]int // of the peers so far, by family
	for _, a := range p.Added[:min(len(p.Added), MaxPex)] {
		family := 0
		if a.Addr.Addr().Unmap().Is6() {
			family = 1
		}
		if a.Via.IsValid() {
			via.Add(n[family], family == 1, a.Via)
		}
		n[family]++
	}
	return via
}

// compact splits up to MaxPex peers into the compact forms of both families.
func compact(peers []PexPeer) (v4, flags4, v6, flags6 []byte) {
	for _, p := range peers[:min(len(peers), MaxPex)] {
		switch ip := p.Addr.Addr().Unmap(); {
		case ip.Is4():
			v4 = binary.BigEndian.AppendUint16(append(v4, ip.AsSlice()...), p.Addr.Port())
			flags4 = append(flags4, p.Flags)
		case ip.Is6():
			v6 = binary.BigEndian.AppendUint16(append(v6, ip.AsSlice()...), p.Addr.Port())
			flags6 = append(flags6, p.Flags)
		}
	}
	return v4, flags4, v6, flags6
}

// ParsePex reads the body of a peer exchange message. Contacts that nobody can
// connect to are left out.
func ParsePex(body []byte) (Pex, error) {
	root, err := parseDict(body, ExtPex)
	if err != nil {
		return Pex{}, err
	}
	f := map[string][]byte{}
	for key, v := range root.Dict() {
		switch k := string(key); k {
		case "added", "added.f", "added6", "added6.f", "dropped", "dropped6", "via", "via6":
			f[k], _ = v.Bytes()
		}
	}
	if len(f["added"])%6+len(f["dropped"])%6+len(f["added6"])%18+len(f["dropped6"])%18 != 0 {
		return Pex{}, malformed(ExtPex, "a list of contacts ends within one")
	}
	var p Pex
	p.Added = contacts(p.Added, f["added"], f["added.f"], 4)
	p.Added = contacts(p.Added, f["added6"], f["added6.f"], 16)
	via := (&multihome.Via{V4: f["via"], V6: f["via6"]}).Resolve(f["added"], f["added6"])
	for i := range p.Added {
		p.Added[i].Via = via[p.Added[i].Addr]
	}
	p.Dropped = contacts(p.Dropped, f["dropped"], nil, 4)
	p.Dropped = contacts(p.Dropped, f["dropped6"], nil, 16)
	return p, nil
}

// contacts reads compact contacts with addresses of ipLen bytes. Flags may be fewer.
func contacts(dst []PexPeer, b, flags []byte, ipLen int) []PexPeer {
	for i := 0; len(b) > 0 && len(dst) < MaxPex; i++ {
		ip, _ := netip.AddrFromSlice(b[:ipLen])
		p := PexPeer{Addr: netip.AddrPortFrom(ip, binary.BigEndian.Uint16(b[ipLen:]))}
		if i < len(flags) {
			p.Flags = flags[i]
		}
		if b = b[ipLen+2:]; reachable(p.Addr) {
			dst = append(dst, p)
		}
	}
	return dst
}

func reachable(a netip.AddrPort) bool {
	ip := a.Addr()
	return a.Port() != 0 && !ip.IsUnspecified() && !ip.IsMulticast() && !ip.Is4In6()
}
