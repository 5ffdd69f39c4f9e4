package multihome

import (
	"encoding/binary"
	"net/netip"
)

// Bounds and sizes of the lists.
const (
	MaxVia = 512        // entries of each that are read
	Size4  = 2 + 4 + 2  // bytes of an entry of V4
	Size6  = 2 + 16 + 2 // and of V6
)

// six marks the number of a peer with an IPv6 address.
const six = 1 << 15

// Via says at which other address some peers of two compact lists should be connected to. Each entry is the number of
// the peer in its list, two bytes whose highest bit is set when that is the list of IPv6 peers, and an endpoint in
// compact form: of 6 bytes in V4, of 18 in V6.
type Via struct {
	V4, V6 []byte
}

// Add says where the peer with that number in the list of IPv4 or IPv6 peers is to be connected to.
func (v *Via) Add(number int, inSix bool, at netip.AddrPort) {
	if number < 0 || number >= six || !Usable(at) {
		return
	}
	if inSix {
		number |= six
	}
	list, most := &v.V4, MaxVia*Size4
	if at.Addr().Is6() {
		list, most = &v.V6, MaxVia*Size6
	}
	if len(*list) >= most {
		return
	}
	*list = binary.BigEndian.AppendUint16(*list, uint16(number))
	*list = binary.BigEndian.AppendUint16(append(*list, at.Addr().AsSlice()...), at.Port())
}

// Resolve gives the other address of each peer that has one, by the address in the lists of compact peers, which are
// read as they came. Entries that make no sense are left out. nil when there is none.
func (v *Via) Resolve(peers4, peers6 []byte) map[netip.AddrPort]netip.AddrPort {
	var out map[netip.AddrPort]netip.AddrPort
	read := func(list []byte, size int) {
		for n := 0; len(list) >= size && n < MaxVia; n, list = n+1, list[size:] {
			number, at := int(binary.BigEndian.Uint16(list)), endpoint(list[2:size])
			peers, each := peers4, 6
			if number&six != 0 {
				peers, each, number = peers6, 18, number&^six
			}
			if (number+1)*each > len(peers) || !Usable(at) {
				continue
			}
			peer := endpoint(peers[number*each : (number+1)*each])
			if !Usable(peer) || peer == at {
				continue
			}
			if out == nil {
				out = map[netip.AddrPort]netip.AddrPort{}
			}
			out[peer] = at
		}
	}
	read(v.V4, Size4)
	read(v.V6, Size6)
	return out
}

// endpoint reads the compact form: an address and two bytes of port.
func endpoint(b []byte) netip.AddrPort {
	ip, _ := netip.AddrFromSlice(b[:len(b)-2])
	return netip.AddrPortFrom(ip.Unmap(), binary.BigEndian.Uint16(b[len(b)-2:]))
}

// Compact is the compact form of an endpoint.
func Compact(at netip.AddrPort) []byte {
	return binary.BigEndian.AppendUint16(at.Addr().Unmap().AsSlice(), at.Port())
}

// Endpoint reads the compact form; the zero value when it is none, or nobody could be there.
func Endpoint(b []byte) netip.AddrPort {
	if len(b) != 6 && len(b) != 18 {
		return netip.AddrPort{}
	}
	if at := endpoint(b); Usable(at) {
		return at
	}
	return netip.AddrPort{}
}
