package metainfo

import (
	"crypto/sha256"
	"encoding/binary"
)

// twoBlocks goes on with two SHA-256 hashes at once, by n >= 1 blocks of 64
// bytes each at a and b, in this order of the words of each state: F E B A, H G
// D C. It needs the SHA extensions and SSE 4.1, which come before them.
//
//go:noescape
func twoBlocks(state *[16]uint32, a, b *byte, n int)

// hasSHA tells whether the processor has the SHA extensions.
func hasSHA() bool

var pairs = hasSHA()

// leafStart is the state of two lanes at the start (FIPS 180-4, 5.3.3).
var leafStart = [16]uint32{
	0x9b05688c, 0x510e527f, 0xbb67ae85, 0x6a09e667, 0x5be0cd19, 0x1f83d9ab, 0xa54ff53a, 0x3c6ef372,
	0x9b05688c, 0x510e527f, 0xbb67ae85, 0x6a09e667, 0x5be0cd19, 0x1f83d9ab, 0xa54ff53a, 0x3c6ef372,
}

// leafEnd is the padding of a whole block: a bit, and the length in bits.
var leafEnd = func() (end [64]byte) {
	end[0] = 0x80
	binary.BigEndian.PutUint64(end[56:], BlockSize*8)
	return end
}()

// leafPair puts the leaves of two whole blocks into dst. A hash waits for each
// of its rounds, so two hashes take little longer than one.
func leafPair(dst *[2 * hashSize]byte, a, b *[BlockSize]byte) {
	if !pairs {
		*(*[hashSize]byte)(dst[:]) = sha256.Sum256(a[:])
		*(*[hashSize]byte)(dst[hashSize:]) = sha256.Sum256(b[:])
		return
	}
	state := leafStart
	twoBlocks(&state, &a[0], &b[0], BlockSize/64)
	twoBlocks(&state, &leafEnd[0], &leafEnd[0], 1)
	for lane := range 2 {
		for i, at := range [8]int{3, 2, 7, 6, 1, 0, 5, 4} { // of A B C D E F G H
			binary.BigEndian.PutUint32(dst[lane*hashSize+4*i:], state[8*lane+at])
		}
	}
}
