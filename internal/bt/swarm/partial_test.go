package swarm

import (
	"crypto/sha1"
	"math/rand/v2"
	"slices"
	"testing"

	"shoal/internal/bt/metainfo"
	"shoal/internal/bt/wire"
)

func TestSpans(t *testing.T) {
	got := []span{}
	for _, s := range []span{{10, 20}, {30, 40}, {20, 30}, {0, 5}, {5, 10}} {
		if m := missing(got, s); len(m) != 1 || m[0] != s {
			t.Fatalf("missing(%v, %v) = %v", got, s, m)
		}
		got = add(got, s)
	}
	if !slices.Equal(got, []span{{0, 40}}) {
		t.Fatalf("got = %v, want one span", got)
	}
	tests := []struct {
		got  []span
		s    span
		want []span
	}{
		{nil, span{0, 10}, []span{{0, 10}}},
		{[]span{{0, 10}}, span{0, 10}, nil},
		{[]span{{2, 4}, {6, 8}}, span{0, 10}, []span{{0, 2}, {4, 6}, {8, 10}}},
		{[]span{{2, 4}, {6, 8}}, span{3, 7}, []span{{4, 6}}},
	}
	for _, tt := range tests {
		if m := missing(tt.got, tt.s); !slices.Equal(m, tt.want) {
			t.Errorf("missing(%v, %v) = %v, want %v", tt.got, tt.s, m, tt.want)
		}
	}
}

// memory is a Store of bytes.
type memory struct {
	fileStore
	b []byte
}

func (m memory) WriteAt(p []byte, off int64) (int, error) { return copy(m.b[off:], p), nil }
func (m memory) ReadAt(p []byte, off int64) (int, error)  { return copy(p, m.b[off:]), nil }

// TestPartialOrders writes a piece in random pieces of random order, some
// twice, and some of the second copies wrong: who comes first counts, and what
// is hashed is what is on disk.
func TestPartialOrders(t *testing.T) {
	r := newRelease(t, 100_000, 128<<10)
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 0))
		pc, _ := r.info.Piece(0)
		check := r.hashes.NewChecker()
		check.Reset(pc)
		part := &partial{piece: pc, size: int64(len(r.content)), check: check}
		st := memory{b: make([]byte, len(r.content))}
		var cuts []int64
		for at := int64(0); at < part.size; {
			cuts = append(cuts, at)
			at += 1 + rng.Int64N(20_000)
		}
		cuts = append(cuts, part.size)
		done := 0
		for _, i := range rng.Perm(len(cuts) - 1) {
			for range 1 + rng.IntN(2) {
				b := slices.Clone(r.content[cuts[i]:cuts[i+1]])
				out, err := part.write(st, nil, cuts[i], b)
				if err != nil {
					t.Fatal(err)
				}
				if out.complete {
					done++
					if !out.ok {
						t.Fatalf("seed %d: a good piece is called bad", seed)
					}
				}
			}
		}
		if done != 1 || sha1.Sum(st.b) != sha1.Sum(r.content) {
			t.Fatalf("seed %d: completed %d times", seed, done)
		}
	}
}

func TestPartialBad(t *testing.T) {
	r := newRelease(t, 50_000, 64<<10)
	pc, _ := r.info.Piece(0)
	check := r.hashes.NewChecker()
	check.Reset(pc)
	part := &partial{piece: pc, size: 50_000, check: check}
	st := memory{b: make([]byte, 50_000)}
	a, b := &link{}, &link{}
	if _, err := part.write(st, a, 0, r.content[:20_000]); err != nil {
		t.Fatal(err)
	}
	out, err := part.write(st, b, 20_000, make([]byte, 30_000))
	if err != nil || !out.complete || out.ok {
		t.Fatalf("write = %+v, %v, want complete and not ok", out, err)
	}
	if len(part.credits) != 2 || part.credits[1] != (credit{b, span{20_000, 50_000}}) {
		t.Errorf("credits = %v", part.credits)
	}
	if late, _ := part.write(st, a, 0, r.content[:10]); late.used != 0 {
		t.Error("a finished piece takes more bytes")
	}
}

func TestFetcher(t *testing.T) {
	part := &partial{piece: metainfo.Piece(3), size: 40_000}
	f := newFetcher(32<<10, 16<<10, true)
	f.give(part)
	reqs, hungry := f.pump(nil)
	if hungry || len(reqs) != 2*17 {
		t.Fatalf("pump: %d bytes of requests, hungry %v; want two requests, not hungry", len(reqs), hungry)
	}
	first := wire.Block{Index: 3, Begin: 0, Length: 16384}
	if f.arrived(wire.Block{Index: 3, Begin: 0, Length: 1}) != nil {
		t.Error("a block that was not asked for is taken")
	}
	if f.arrived(first) == nil || f.arrived(first) != nil {
		t.Error("a request must be struck off exactly once")
	}
	if _, hungry = f.pump(nil); !hungry {
		t.Error("all is requested, and the window has room: want hungry")
	}
	if bytes, jobs := f.backlog(); bytes != 40_000-16384 || jobs != 1 {
		t.Errorf("backlog = %d bytes, %d jobs", bytes, jobs)
	}
	if cancel := f.take(part); len(cancel) != 2 || f.outstanding() != 0 {
		t.Errorf("take: %v, %d outstanding", cancel, f.outstanding())
	}
}

// TestFetcherResumesInTheMiddle: what another peer has brought is not asked for
// again, and stock requests end at block boundaries.
func TestFetcherResumesInTheMiddle(t *testing.T) {
	part := &partial{piece: 0, size: 40_000, got: []span{{0, 20_000}}}
	f := newFetcher(1<<20, 16<<10, true)
	f.give(part)
	f.pump(nil)
	want := []wire.Block{{Begin: 20_000, Length: 32768 - 20_000}, {Begin: 32768, Length: 40_000 - 32768}}
	for i, o := range f.out {
		if o.block != want[i] {
			t.Errorf("request %d = %+v, want %+v", i, o.block, want[i])
		}
	}
}
