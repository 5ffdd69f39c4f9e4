//go:build !amd64

package metainfo

import "crypto/sha256"

// leafPair puts the leaves of two whole blocks into dst.
func leafPair(dst *[2 * hashSize]byte, a, b *[BlockSize]byte) {
	*(*[hashSize]byte)(dst[:]) = sha256.Sum256(a[:])
	*(*[hashSize]byte)(dst[hashSize:]) = sha256.Sum256(b[:])
}
