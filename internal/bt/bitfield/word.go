package bitfield

// Word returns the elements 64*i to 64*i+63 as one word, the first of them in
// the highest bit. i must be below ceil(Len()/64).
func (s *Set) Word(i int) uint64 { return s.word(8 * i) }
