package swarm

import (
	"crypto/sha1"
	"errors"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"testing"

	"shoal/internal/bt/bitfield"
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

func writeAll(a *partial, st Store, who *link, off int64, b []byte) (outcome, error) {
	return a.write(st, who, off, b, a.take(off, b))
}

// onePiece is a release of one piece before anything of it has come, and its disk.
func onePiece(r release) (*partial, memory) {
	pc, _ := r.info.Piece(0)
	check := r.hashes.NewChecker()
	check.Reset(pc)
	return &partial{piece: pc, size: int64(len(r.content)), check: check}, memory{b: make([]byte, len(r.content))}
}

// TestPartialOrders writes a piece in random pieces of random order, some
// twice, and some of the second copies wrong: who comes first counts, and what
// is hashed is what is on disk.
func TestPartialOrders(t *testing.T) {
	r := newRelease(t, 100_000, 128<<10)
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 0))
		part, st := onePiece(r)
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
				out, err := writeAll(part, st, nil, cuts[i], b)
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
	if _, err := writeAll(part, st, a, 0, r.content[:20_000]); err != nil {
		t.Fatal(err)
	}
	out, err := writeAll(part, st, b, 20_000, make([]byte, 30_000))
	if err != nil || !out.complete || out.ok {
		t.Fatalf("write = %+v, %v, want complete and not ok", out, err)
	}
	if len(part.credits) != 2 || part.credits[1] != (credit{b, span{20_000, 50_000}}) {
		t.Errorf("credits = %v", part.credits)
	}
	if late, _ := writeAll(part, st, a, 0, r.content[:10]); late.used != 0 {
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

// TestInherited has blocks on disk that an earlier run wrote: right ones are not
// fetched again, wrong ones are found out and nobody is blamed for them.
func TestInherited(t *testing.T) {
	const piece = 256 << 10
	r := newRelease(t, 4*piece, piece)
	seed := startHost(t, r, "seed", true, nil)
	leech := startHost(t, r, "leech", false, func(o *Options) {
		o.Written = map[metainfo.Piece]*bitfield.Set{}
		for p, n := range map[metainfo.Piece]int{0: 5, 2: 15} {
			o.Written[p] = bitfield.New(piece / metainfo.BlockSize)
			for b := range n {
				o.Written[p].Set(b)
			}
			at := int64(p) * piece
			if _, err := o.Store.WriteAt(r.content[at:at+int64(n)*metainfo.BlockSize], at); err != nil {
				t.Error(err)
			}
		}
		if _, err := o.Store.WriteAt([]byte("wrong"), 2*piece+77); err != nil {
			t.Error(err)
		}
	})
	leech.AddPeers([]netip.AddrPort{seed.addr})
	leech.wait(t, r)
	waitFor(t, "the figures", func() bool { return leech.Stats().Left == 0 })
	got, want := leech.Stats().Downloaded, int64(len(r.content))-5*metainfo.BlockSize+metainfo.BlockSize
	if got != want {
		t.Errorf("%d bytes came, want %d: all but the 5 good blocks of piece 0, and the rest of piece 2 once more", got, want)
	}
}

// hints is a Store that remembers what it is told.
type hints struct {
	fileStore
	mu                         sync.Mutex
	expected, released, forgot []metainfo.Piece
}

func (h *hints) note(to *[]metainfo.Piece, p metainfo.Piece) {
	h.mu.Lock()
	defer h.mu.Unlock()
	*to = append(*to, p)
}

func (h *hints) Expect(p metainfo.Piece)  { h.note(&h.expected, p) }
func (h *hints) Cached() []metainfo.Piece { return []metainfo.Piece{0, 1, 2, 3} }
func (h *hints) Release(p metainfo.Piece) { h.note(&h.released, p) }
func (h *hints) Forget(p metainfo.Piece)  { h.note(&h.forgot, p) }

func (h *hints) counts() (expected, released, forgot int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.expected), len(h.released), len(h.forgot)
}

// TestHints: the store hears of a piece when it is asked for, when every host
// that lacked it has it, and when it turns out damaged.
func TestHints(t *testing.T) {
	r := newRelease(t, 2<<20, 64<<10)
	var at, there *hints
	keep := func(to **hints) func(*Options) {
		return func(o *Options) {
			*to = &hints{fileStore: o.Store.(fileStore)}
			o.Store = *to
		}
	}
	source := startHost(t, r, "source", true, keep(&at))
	// One host wants the first pieces only, and so never becomes a seed. It is
	// a stock client, which tells what it has to those who have that too.
	some := startHost(t, r, "some", false, func(o *Options) {
		copy(o.PeerID[:], "-XX0001-")
		o.Want = bitfield.New(r.info.NumPieces())
		for p := range 4 {
			o.Want.Set(p)
		}
	})
	leech := startHost(t, r, "leech", false, keep(&there))
	for _, h := range []*host{some, leech} {
		h.AddPeers([]netip.AddrPort{source.addr})
	}
	leech.wait(t, r)
	if expected, _, _ := there.counts(); expected < r.info.NumPieces() {
		t.Errorf("%d of %d pieces were expected", expected, r.info.NumPieces())
	}
	<-some.Completed()
	waitFor(t, "a piece that both have to be released", func() bool { _, n, _ := at.counts(); return n > 0 })

	if _, err := source.store.f.WriteAt([]byte("damage"), 5); err != nil {
		t.Fatal(err)
	}
	late := startHost(t, r, "late", false, nil)
	late.AddPeers([]netip.AddrPort{source.addr})
	waitFor(t, "the damaged piece to be forgotten", func() bool { _, _, n := at.counts(); return n == 1 && at.forgot[0] == 0 })
}

// full is a Store that has no room for some writes.
type full struct {
	memory
	fails func() bool
}

func (f full) WriteAt(p []byte, off int64) (int, error) {
	if f.fails() {
		return 0, errors.New("full")
	}
	return f.memory.WriteAt(p, off)
}

// TestPartialShared has two sources bring a piece at the same time, each with its next bytes hashed
// while the last ones are written, and a disk that does not take all at first.
func TestPartialShared(t *testing.T) {
	r := newRelease(t, 200_000, 256<<10)
	for seed := range uint64(50) {
		rng := rand.New(rand.NewPCG(seed, 1))
		part, st := onePiece(r)
		type stroke struct {
			off, to int64
			gaps    []span
		}
		var queues [2][]stroke
		var at [2]int64
		done, failed := 0, 0
		for turn := 0; done == 0; turn++ {
			if turn > 10_000 {
				t.Fatalf("seed %d: not complete: %v", seed, part.got)
			}
			who := rng.IntN(2)
			q := &queues[who]
			if len(*q) < 3 && rng.IntN(2) == 0 {
				if at[who] == part.size {
					at[who] = 0 // asked again for what is missing
				}
				s := stroke{off: at[who], to: min(part.size, at[who]+1+rng.Int64N(30_000))}
				s.gaps = part.take(s.off, r.content[s.off:s.to])
				at[who] = s.to
				*q = append(*q, s)
				continue
			}
			if len(*q) == 0 {
				continue
			}
			s := (*q)[0]
			*q = (*q)[1:]
			out, err := part.write(full{st, func() bool { return rng.IntN(8) == 0 }}, nil, s.off, r.content[s.off:s.to], s.gaps)
			if err != nil {
				failed++
			}
			if out.complete {
				done++
				if !out.ok {
					t.Fatalf("seed %d: a good piece is called bad", seed)
				}
			}
		}
		if sha1.Sum(st.b) != sha1.Sum(r.content) {
			t.Fatalf("seed %d: what is on disk is not the piece, after %d failed writes", seed, failed)
		}
	}
}
