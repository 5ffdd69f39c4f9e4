package wire

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"net/netip"
)

// PeerPriority is the canonical priority of the connection between two endpoints
// (BEP 40): both ends compute the same number, and the higher one is kept when
// slots are short. An address mapped into IPv6 counts as IPv4; endpoints of
// different families are hashed by their masked 16-byte forms.
func PeerPriority(a, b netip.AddrPort) uint32 {
	ipA, ipB := a.Addr().Unmap(), b.Addr().Unmap()
	if ipA == ipB {
		return crcSorted(binary.BigEndian.AppendUint16(nil, a.Port()), binary.BigEndian.AppendUint16(nil, b.Port()))
	}
	if ipA.Is4() && ipB.Is4() {
		return crcSorted(maskPair(ipA.AsSlice(), ipB.AsSlice(), 2))
	}
	x, y := ipA.As16(), ipB.As16()
	return crcSorted(maskPair(x[:], y[:], 6))
}

// maskPair keeps the first whole bytes of x and y and masks the rest with 0x55;
// if they agree in those bytes one more byte is kept, and another if they agree in that.
func maskPair(x, y []byte, whole int) ([]byte, []byte) {
	for keep := whole; keep < len(x) && bytes.Equal(x[:keep], y[:keep]); keep++ {
		whole = keep + 1
	}
	for i := whole; i < len(x); i++ {
		x[i] &= 0x55
		y[i] &= 0x55
	}
	return x, y
}

func crcSorted(x, y []byte) uint32 {
	if bytes.Compare(x, y) > 0 {
		x, y = y, x
	}
	return crc32.Checksum(append(x, y...), crc32.MakeTable(crc32.Castagnoli))
}
