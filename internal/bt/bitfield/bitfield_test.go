package bitfield

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

func TestBitOrder(t *testing.T) {
	s := New(10)
	s.Set(0)
	s.Set(7)
	s.Set(9)
	if got, want := s.Bytes(), []byte{0x81, 0x40}; !bytes.Equal(got, want) {
		t.Fatalf("Bytes() = %x, want %x", got, want)
	}
}

func TestFromBytes(t *testing.T) {
	for _, c := range []struct {
		name string
		b    []byte
		n    int
		ok   bool
	}{
		{"empty", nil, 0, true},
		{"exact", []byte{0xff}, 8, true},
		{"spare zero", []byte{0xff, 0xc0}, 10, true},
		{"spare set", []byte{0xff, 0xe0}, 10, false},
		{"short", []byte{0xff}, 10, false},
		{"long", []byte{0xff, 0xc0, 0}, 10, false},
		{"bytes for nothing", []byte{0}, 0, false},
		{"negative", []byte{0}, -3, false},
	} {
		s, err := FromBytes(c.b, c.n)
		if (err == nil) != c.ok {
			t.Errorf("%s: err = %v, want ok %v", c.name, err, c.ok)
			continue
		}
		if err == nil && (!bytes.Equal(s.Bytes(), c.b) || s.Count() != c.n || !s.All()) {
			t.Errorf("%s: %x count %d, want %x count %d", c.name, s.Bytes(), s.Count(), c.b, c.n)
		}
	}
}

func TestOutsideIsIgnored(t *testing.T) {
	s := New(3)
	for _, i := range []int{-1, 3, 7, 64, 1 << 40} {
		s.Set(i)
		s.Clear(i)
		if s.Has(i) || s.Count() != 0 {
			t.Fatalf("element %d outside of the set was taken", i)
		}
	}
}

// TestAgainstMap compares every operation with a plain map of integers.
func TestAgainstMap(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int{0, 1, 7, 8, 9, 63, 64, 65, 127, 128, 200} {
		s, o, m := New(n), New(n), map[int]bool{}
		for range 4 * n {
			i := rng.IntN(n)
			if rng.IntN(3) == 0 {
				s.Clear(i)
				delete(m, i)
			} else {
				s.Set(i)
				m[i] = true
			}
			o.Set(rng.IntN(n))
			compare(t, s, o, m)
		}
		c := s.Clone()
		c.SetAll()
		if !c.All() || c.NextClear(0) != -1 || (n > 0 && c.Next(n-1) != n-1) {
			t.Fatalf("n %d: SetAll left holes", n)
		}
		if _, err := FromBytes(c.Bytes(), n); err != nil {
			t.Fatalf("n %d: SetAll set spare bits: %v", n, err)
		}
		compare(t, s, o, m) // the clone was independent
	}
}

func compare(t *testing.T, s, o *Set, m map[int]bool) {
	t.Helper()
	if s.Count() != len(m) || s.All() != (len(m) == s.Len()) {
		t.Fatalf("Count() = %d, want %d", s.Count(), len(m))
	}
	first := func(from int, ok func(int) bool) int {
		for i := max(from, 0); i < s.Len(); i++ {
			if ok(i) {
				return i
			}
		}
		return -1
	}
	for from := -1; from <= s.Len()+1; from++ {
		if s.Has(from) != m[from] {
			t.Fatalf("Has(%d) = %v", from, s.Has(from))
		}
		if got, want := s.Next(from), first(from, func(i int) bool { return m[i] }); got != want {
			t.Fatalf("Next(%d) = %d, want %d", from, got, want)
		}
		if got, want := s.NextClear(from), first(from, func(i int) bool { return !m[i] }); got != want {
			t.Fatalf("NextClear(%d) = %d, want %d", from, got, want)
		}
		if got, want := s.Missing(o, from), first(from, func(i int) bool { return !m[i] && o.Has(i) }); got != want {
			t.Fatalf("Missing(%d) = %d, want %d", from, got, want)
		}
	}
}
