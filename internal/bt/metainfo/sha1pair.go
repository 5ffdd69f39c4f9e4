package metainfo

import (
	"crypto/sha1"
	"encoding/binary"
	"hash"
)

// SHA1Pair hashes two pieces at once. A SHA-1 waits for each of its own rounds,
// so two that know nothing of each other take little longer than one. Reset
// makes it ready; it is not safe for concurrent use.
type SHA1Pair struct {
	state [16]uint32 // of both lanes: D C B A, 0 0 0 E
	n     uint64     // bytes of each so far

	a, b hash.Hash // instead, where there is no instruction for it
}

// Reset begins two hashes.
func (s *SHA1Pair) Reset() {
	s.n = 0
	s.state = [16]uint32{ // FIPS 180-4, 5.3.1
		0x10325476, 0x98badcfe, 0xefcdab89, 0x67452301, 0, 0, 0, 0xc3d2e1f0,
		0x10325476, 0x98badcfe, 0xefcdab89, 0x67452301, 0, 0, 0, 0xc3d2e1f0,
	}
	if !SHA1Pairs() {
		s.a, s.b = sha1.New(), sha1.New()
	}
}

// Write goes on with a and b, which have the same length, a multiple of
// sha1.BlockSize. Anything else is a mistake of the caller, and panics.
func (s *SHA1Pair) Write(a, b []byte) {
	if len(a) != len(b) || len(a)%sha1.BlockSize != 0 {
		panic("metainfo: a pair of hashes is of whole blocks of the same length")
	}
	switch {
	case len(a) == 0:
	case s.a != nil:
		s.a.Write(a)
		s.b.Write(b)
	default:
		twoSHA1(&s.state, &a[0], &b[0], len(a)/sha1.BlockSize)
		s.n += uint64(len(a))
	}
}

// Sums are both hashes. After them comes Reset.
func (s *SHA1Pair) Sums() (a, b [sha1.Size]byte) {
	if s.a != nil {
		return [sha1.Size]byte(s.a.Sum(nil)), [sha1.Size]byte(s.b.Sum(nil))
	}
	var end [sha1.BlockSize]byte // a bit, zeros, the length in bits
	end[0] = 0x80
	binary.BigEndian.PutUint64(end[56:], s.n*8)
	twoSHA1(&s.state, &end[0], &end[0], 1)
	for i, at := range [5]int{3, 2, 1, 0, 7} { // of A B C D E
		binary.BigEndian.PutUint32(a[4*i:], s.state[at])
		binary.BigEndian.PutUint32(b[4*i:], s.state[8+at])
	}
	return a, b
}
