package udpfront

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"
)

// canChooseSource says that a socket bound to all addresses can be told which one to answer from.
const canChooseSource = true

// answerFrom turns the control message of a received datagram (struct in_pktinfo or in6_pktinfo) into the one
// for its answer, in place. They have the same shape: the local address of the one is the source of the other,
// but the interface must be left to routing, unless the address means nothing without it.
func answerFrom(oob []byte) []byte {
	head := unix.CmsgLen(0)
	if len(oob) < head {
		return nil
	}
	level := int32(binary.NativeEndian.Uint32(oob[head-8:]))
	info := oob[head:]
	switch {
	case level == unix.IPPROTO_IP && len(info) >= unix.SizeofInet4Pktinfo:
		clear(info[:4])
		// A datagram that came between bind and our setsockopt has no local address, only that of its header.
		if [4]byte(info[4:8]) == [4]byte{} {
			copy(info[4:8], info[8:12])
		}
	case level == unix.IPPROTO_IPV6 && len(info) >= unix.SizeofInet6Pktinfo:
		if a := netip.AddrFrom16([16]byte(info[:16])); !a.IsLinkLocalUnicast() {
			clear(info[16:20])
		}
	default:
		return nil
	}
	return oob
}
