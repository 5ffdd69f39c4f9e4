package record

import (
	"errors"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
)

var shape = Shape{ID: [32]byte{1, 2, 3}, Pieces: 21, Blocks: 5, Files: 11}

const salt = 0xfeedfacecafebeef

// sample is a state with something in every field.
func sample(closed bool) State {
	st := NewState(shape)
	st.Boot, st.Closed = [16]byte{9, 8}, closed
	for _, p := range []int{0, 3, 20} {
		st.Have.Set(p)
	}
	st.Durable.Set(3)
	st.Ours.Set(10)
	st.Chosen.SetAll()
	if closed {
		st.Files = make([]File, shape.Files)
		st.Files[4] = File{Size: 5, Modified: -6, Changed: 7, Inode: 8, Links: 1}
	}
	return st
}

func encode(st State, entries ...Entry) []byte {
	b := shape.AppendSnapshot(nil, &st, salt)
	for n, e := range entries {
		b = AppendEntry(b, e, uint64(n), salt)
	}
	return b
}

func TestRoundTrip(t *testing.T) {
	for _, closed := range []bool{false, true} {
		want := sample(closed)
		b := encode(want)
		if len(b) != shape.SnapshotSize(closed) {
			t.Errorf("%d bytes, SnapshotSize says %d", len(b), shape.SnapshotSize(closed))
		}
		got, torn, err := shape.Parse(b)
		if err != nil || torn || !reflect.DeepEqual(got, want) {
			t.Errorf("closed %v: read back %+v, torn %v, %v", closed, got, torn, err)
		}
	}
}

func TestJournal(t *testing.T) {
	b := encode(sample(false),
		Entry{Have, 5, 3},
		WroteBlocks(12, 1, 2), WroteBlocks(12, 4, 1), WroteBlocks(13, 0, 5),
		Entry{Have, 13, 1},
		DurableUpTo(2),
		Entry{Lost, 6, 1},
		Entry{Own, 2, 2}, Entry{Disown, 10, 1},
		Entry{Stamp, 0, 0},
		Entry{Have, 1 << 31, 1 << 31}, Entry{Have, 20, 900}, WroteBlocks(99, 0, 1), WroteBlocks(1, 4, 2), Entry{77, 1, 1},
	)
	st, torn, err := shape.Parse(b)
	if err != nil || torn {
		t.Fatal(torn, err)
	}
	check := func(what string, set interface{ Next(int) int }, want ...int) {
		t.Helper()
		var got []int
		for i := set.Next(0); i >= 0; i = set.Next(i + 1) {
			got = append(got, i)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	check("have", st.Have, 0, 3, 5, 7, 13, 20)
	check("durable", st.Durable, 0, 3, 5, 7, 20)
	check("ours", st.Ours, 2, 3)
	check("blocks of 12", st.Written[12], 1, 2, 4)
	if len(st.Written) != 1 {
		t.Errorf("blocks of %d pieces, want only those of 12", len(st.Written))
	}
	again := NewState(shape)
	for _, e := range st.Written.Entries() {
		shape.Apply(&again, e)
	}
	if !reflect.DeepEqual(again.Written, st.Written) {
		t.Error("Written.Entries says something else")
	}
}

// TestLostIsNotDurable: a piece that came again after it was lost is durable
// only when it was made so again.
func TestLostIsNotDurable(t *testing.T) {
	st, _, err := shape.Parse(encode(NewState(shape),
		Entry{Have, 1, 1}, Entry{Lost, 1, 1}, Entry{Have, 1, 1}, DurableUpTo(1)))
	if err != nil || !st.Have.Has(1) || st.Durable.Has(1) {
		t.Error("a piece that was rewritten counts as durable", err)
	}
}

// TestTorn cuts and flips a record everywhere: it is refused, or it says what an
// untouched record with fewer entries says.
func TestTorn(t *testing.T) {
	entries := []Entry{{Have, 1, 1}, {Have, 2, 1}, {Lost, 0, 1}}
	whole := encode(sample(true), entries...)
	var known []State
	for n := range len(entries) + 1 {
		st, _, err := shape.Parse(encode(sample(true), entries[:n]...))
		if err != nil {
			t.Fatal(err)
		}
		known = append(known, st)
	}
	check := func(what string, at int, b []byte) {
		t.Helper()
		st, _, err := shape.Parse(b)
		if err != nil {
			if !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrOther) {
				t.Errorf("%s at %d: %v", what, at, err)
			}
			return
		}
		if !slices.ContainsFunc(known, func(k State) bool { return reflect.DeepEqual(k, st) }) {
			t.Errorf("%s at %d: believed a state that never was", what, at)
		}
	}
	for at := range whole {
		check("cut", at, whole[:at])
		flipped := slices.Clone(whole)
		flipped[at] ^= 1 << rand.N(8)
		check("flip", at, flipped)
		check("zeros", at, append(slices.Clone(whole[:at]), make([]byte, len(whole)-at)...))
	}
}

func TestOther(t *testing.T) {
	b := encode(sample(false))
	for _, s := range []Shape{
		{ID: [32]byte{1, 2, 4}, Pieces: 21, Blocks: 5, Files: 11},
		{ID: shape.ID, Pieces: 22, Blocks: 5, Files: 11},
		{ID: shape.ID, Pieces: 21, Blocks: 5, Files: 12},
	} {
		if _, _, err := s.Parse(b); !errors.Is(err, ErrOther) {
			t.Errorf("%+v: %v", s, err)
		}
	}
	// A journal that belongs to an older snapshot is no journal of this one.
	stale := AppendEntry(encode(sample(false)), Entry{Have, 9, 1}, 0, salt+1)
	if st, torn, err := shape.Parse(stale); err != nil || !torn || st.Have.Has(9) {
		t.Error("believed an entry of another snapshot", torn, err)
	}
}

func TestWrittenIsBounded(t *testing.T) {
	s := Shape{Pieces: 1 << 20, Blocks: 4, Files: 1}
	st := NewState(s)
	for p := range uint32(1 << 20) {
		s.Apply(&st, WroteBlocks(p, 0, 1))
	}
	if len(st.Written) != maxWritten {
		t.Errorf("remembers blocks of %d pieces", len(st.Written))
	}
}

// FuzzParse holds that no input panics, that what is accepted is of the right
// shape, and that it survives being written again.
func FuzzParse(f *testing.F) {
	f.Add(encode(sample(false), Entry{Have, 1, 2}, WroteBlocks(4, 0, 5), DurableUpTo(1), Entry{Own, 0, 11}))
	f.Add(encode(sample(true), Entry{Lost, 0, 21}))
	f.Add([]byte(magic))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		st, _, err := shape.Parse(b)
		if err != nil {
			return
		}
		if st.Have.Len() != shape.Pieces || st.Durable.Len() != shape.Pieces || st.Ours.Len() != shape.Files ||
			st.Chosen.Len() != shape.Files || st.Closed != (st.Files != nil) || len(st.Written) > shape.Pieces {
			t.Fatal("accepted a state of the wrong shape")
		}
		again, torn, err := shape.Parse(encode(st, st.Written.Entries()...))
		if err != nil || torn || !reflect.DeepEqual(again, st) {
			t.Fatalf("written again: %v, torn %v", err, torn)
		}
	})
}
