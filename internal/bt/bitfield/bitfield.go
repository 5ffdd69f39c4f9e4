// Package bitfield holds sets of pieces in the bit order of the BitTorrent
// wire (BEP 3): piece 0 is the highest bit of the first byte. It is plain
// arithmetic on a slice: it never does I/O and is not safe for concurrent use.
package bitfield

import (
	"encoding/binary"
	"fmt"
	"math/bits"
)

// Set is a set of the integers 0 <= i < Len(). The zero Set is empty and has
// length 0. The bits behind the last element are zero at all times.
type Set struct {
	n     int
	count int
	b     []byte // length 8*ceil(n/64), so that it can be walked by words
}

// New returns an empty set for n elements. A negative n counts as 0.
func New(n int) *Set {
	n = max(n, 0)
	return &Set{n: n, b: make([]byte, (n+63)/64*8)}
}

// FromBytes reads a bitfield message's payload for n elements: exactly
// ceil(n/8) bytes, of which the spare bits are zero. b is copied.
func FromBytes(b []byte, n int) (*Set, error) {
	s := New(n)
	if want := (s.n + 7) / 8; len(b) != want {
		return nil, fmt.Errorf("bitfield: %d bytes for %d pieces, want %d", len(b), s.n, want)
	}
	if spare := -s.n & 7; spare != 0 && b[len(b)-1]&(1<<spare-1) != 0 {
		return nil, fmt.Errorf("bitfield: spare bits behind piece %d are set", s.n-1)
	}
	copy(s.b, b)
	for i := 0; i < len(s.b); i += 8 {
		s.count += bits.OnesCount64(s.word(i))
	}
	return s, nil
}

func (s *Set) word(byteIndex int) uint64 { return binary.BigEndian.Uint64(s.b[byteIndex:]) }

// Len is the number of elements that the set can hold.
func (s *Set) Len() int { return s.n }

// Count is the number of elements in the set; it costs nothing.
func (s *Set) Count() int { return s.count }

// All reports whether every element is in the set; true for length 0.
func (s *Set) All() bool { return s.count == s.n }

// Has reports whether i is in the set; false for an i outside of it.
func (s *Set) Has(i int) bool {
	return uint(i) < uint(s.n) && s.b[i>>3]&(0x80>>(i&7)) != 0
}

// Set puts i into the set. An i outside of 0 <= i < Len() changes nothing.
func (s *Set) Set(i int) {
	if uint(i) < uint(s.n) && !s.Has(i) {
		s.b[i>>3] |= 0x80 >> (i & 7)
		s.count++
	}
}

// Clear takes i out of the set. An i outside of 0 <= i < Len() changes nothing.
func (s *Set) Clear(i int) {
	if s.Has(i) {
		s.b[i>>3] &^= 0x80 >> (i & 7)
		s.count--
	}
}

// SetAll puts every element into the set.
func (s *Set) SetAll() {
	for i := range s.b {
		s.b[i] = 0
	}
	for i := range s.n >> 3 {
		s.b[i] = 0xff
	}
	if rest := s.n & 7; rest != 0 {
		s.b[s.n>>3] = ^byte(0xff >> rest)
	}
	s.count = s.n
}

// Bytes is the payload of a bitfield message, ceil(Len()/8) bytes. It shares
// memory with the set: do not write to it, and copy it to keep it.
func (s *Set) Bytes() []byte { return s.b[: (s.n+7)/8 : (s.n+7)/8] }

// Clone returns an independent copy.
func (s *Set) Clone() *Set {
	return &Set{n: s.n, count: s.count, b: append([]byte(nil), s.b...)}
}

// Next returns the first element >= from that is in the set, -1 if none is.
// A walk is: for i := s.Next(0); i >= 0; i = s.Next(i + 1) { ... }
func (s *Set) Next(from int) int {
	return s.next(from, 0)
}

// NextClear returns the first element >= from that is not in the set, -1 if
// all of them are.
func (s *Set) NextClear(from int) int {
	return s.next(from, ^uint64(0))
}

// next finds the first bit that differs from flip's bits.
func (s *Set) next(from int, flip uint64) int {
	from = max(from, 0)
	if from >= s.n {
		return -1
	}
	at := from >> 6 << 3
	w := (s.word(at) ^ flip) & (^uint64(0) >> (from & 63))
	for w == 0 {
		if at += 8; at >= len(s.b) {
			return -1
		}
		w = s.word(at) ^ flip
	}
	if i := at<<3 + bits.LeadingZeros64(w); i < s.n {
		return i
	}
	return -1 // a spare bit, seen through flip
}

// Missing returns the first element >= from that other has and s has not, -1
// if there is none: the pieces a peer could give. Both have the same length;
// what lies behind the shorter one counts as absent from other.
func (s *Set) Missing(other *Set, from int) int {
	from = max(from, 0)
	n := min(s.n, other.n)
	if from >= n {
		return -1
	}
	at := from >> 6 << 3
	w := other.word(at) &^ s.word(at) & (^uint64(0) >> (from & 63))
	for w == 0 {
		if at += 8; at<<3 >= n {
			return -1
		}
		w = other.word(at) &^ s.word(at)
	}
	if i := at<<3 + bits.LeadingZeros64(w); i < n {
		return i
	}
	return -1
}

// Overlap is how many elements two sets of the same length share.
func (s *Set) Overlap(other *Set) int {
	n := 0
	for at := 0; at<<3 < min(s.n, other.n); at += 8 {
		n += bits.OnesCount64(s.word(at) & other.word(at))
	}
	return n
}
