package announce

import (
	"encoding/binary"
	"net/netip"
)

// Bytes of one peer in compact form (BEP 23, BEP 7).
const (
	Size4 = 4 + 2
	Size6 = 16 + 2
)

// AppendCompact adds a peer's compact form: 6 bytes for IPv4 (also when mapped into IPv6), else 18.
func AppendCompact(dst []byte, a netip.AddrPort) []byte {
	ip := a.Addr().Unmap()
	if ip.Is4() {
		b := ip.As4()
		dst = append(dst, b[:]...)
	} else {
		b := ip.As16()
		dst = append(dst, b[:]...)
	}
	return binary.BigEndian.AppendUint16(dst, a.Port())
}

// Add puts a peer into the response's list of its family.
func (r *Response) Add(a netip.AddrPort) {
	if a.Addr().Unmap().Is4() {
		r.V4 = AppendCompact(r.V4, a)
	} else {
		r.V6 = AppendCompact(r.V6, a)
	}
}

// Peers are the peers of both families as values, without those that nobody can connect to (port 0, no or
// multicast address) and without repeats. Fresh memory.
func (r *Response) Peers() []netip.AddrPort {
	n := len(r.V4)/Size4 + len(r.V6)/Size6
	out := make([]netip.AddrPort, 0, n)
	seen := make(map[netip.AddrPort]struct{}, n)
	add := func(a netip.AddrPort) {
		if _, dup := seen[a]; dup || !usable(a) {
			return
		}
		seen[a] = struct{}{}
		out = append(out, a)
	}
	for b := r.V4; len(b) >= Size4; b = b[Size4:] {
		add(netip.AddrPortFrom(netip.AddrFrom4([4]byte(b)), binary.BigEndian.Uint16(b[4:])))
	}
	for b := r.V6; len(b) >= Size6; b = b[Size6:] {
		add(netip.AddrPortFrom(netip.AddrFrom16([16]byte(b)).Unmap(), binary.BigEndian.Uint16(b[16:])))
	}
	return out
}

func usable(a netip.AddrPort) bool {
	ip := a.Addr()
	return a.Port() != 0 && ip.IsValid() && !ip.IsUnspecified() && !ip.IsMulticast()
}
