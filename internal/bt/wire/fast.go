package wire

import (
	"crypto/sha1"
	"encoding/binary"
	"net/netip"
	"slices"
)

// AllowedFastCount is how many pieces BEP 6 suggests to give away while choking.
const AllowedFastCount = 10

// AllowedFastSet is the canonical set of pieces (BEP 6) that a peer at addr may
// request while choked: the same k of numPieces pieces whoever computes it. The
// order is the generation's. It is empty for IPv6 addresses, for which the BEP
// has no rule, and holds every piece when there are no more than k.
func AllowedFastSet(addr netip.Addr, infoHash [20]byte, numPieces, k int) []uint32 {
	addr = addr.Unmap()
	if !addr.Is4() || numPieces <= 0 || k <= 0 {
		return nil
	}
	k = min(k, numPieces)
	ip := addr.As4()
	ip[3] = 0 // a /24 gets one set
	x := sha1.Sum(append(ip[:], infoHash[:]...))
	set := make([]uint32, 0, k)
	for {
		for i := 0; i < len(x); i += 4 {
			p := binary.BigEndian.Uint32(x[i:]) % uint32(numPieces)
			if !slices.Contains(set, p) {
				set = append(set, p)
			}
			if len(set) == k {
				return set
			}
		}
		x = sha1.Sum(x[:])
	}
}
