package picker

import (
	"math/rand/v2"
	"slices"
	"testing"

	"shoal/internal/bt/bitfield"
)

func wordsOf(n int, pieces ...int) *bitfield.Set {
	s := bitfield.New(n)
	for _, p := range pieces {
		s.Set(p)
	}
	return s
}

func TestPick(t *testing.T) {
	const n = 130
	tests := []struct {
		name  string
		avail map[uint32]int
		taken []uint32
		peer  *bitfield.Set
		want  uint32
		ok    bool
	}{
		{"only piece of the peer", nil, nil, wordsOf(n, 129), 129, true},
		{"rarest of two", map[uint32]int{3: 2, 70: 1}, nil, wordsOf(n, 3, 70), 70, true},
		{"rarest is taken", map[uint32]int{3: 2, 70: 1}, []uint32{70}, wordsOf(n, 3, 70), 3, true},
		{"nothing left", nil, []uint32{5}, wordsOf(n, 5), 0, false},
		{"empty peer", nil, nil, wordsOf(n), 0, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := New(n, 1)
			for piece, c := range tt.avail {
				for range c {
					p.Add(piece, 1)
				}
			}
			for _, piece := range tt.taken {
				p.Take(piece)
			}
			got, ok := p.Pick(tt.peer)
			if got != tt.want || ok != tt.ok {
				t.Errorf("Pick = %d, %v, want %d, %v", got, ok, tt.want, tt.ok)
			}
		})
	}
}

func TestTieBreakDiffersByHost(t *testing.T) {
	same := 0
	for seed := range uint64(50) {
		a, _ := New(1000, seed).Pick(nil)
		b, _ := New(1000, seed+1000).Pick(nil)
		if a == b {
			same++
		}
	}
	if same > 3 {
		t.Errorf("%d of 50 pairs of hosts start with the same piece", same)
	}
}

// TestAgainstModel plays random changes against a naive count.
func TestAgainstModel(t *testing.T) {
	const n = 200
	r := rand.New(rand.NewPCG(1, 2))
	p := New(n, 7)
	count, in := make([]int, n), make([]bool, n)
	for i := range in {
		in[i] = true
	}
	peer := bitfield.New(n)
	for step := range 20000 {
		piece := uint32(r.IntN(n))
		switch r.IntN(8) {
		case 0, 1:
			p.Add(piece, 1)
			count[piece]++
		case 2:
			p.Add(piece, -1)
			count[piece] = max(0, count[piece]-1)
		case 3:
			p.Take(piece)
			in[piece] = false
		case 4, 5, 6, 7:
			p.Return(piece)
			in[piece] = true
		}
		check(t, p, count, in, step)
		if r.IntN(3) == 0 { // else the search goes on where it was
			peer = bitfield.New(n)
			for range r.IntN(150) {
				peer.Set(r.IntN(n))
			}
		}
		for range r.IntN(4) {
			if got, ok := checkPick(t, p, peer, count, in); ok {
				p.Take(got)
				in[got] = false
			}
			if r.IntN(2) == 0 {
				peer.Set(r.IntN(n))
			}
			if other := uint32(r.IntN(n)); r.IntN(4) == 0 {
				p.Take(other)
				in[other] = false
			}
		}
	}
}

func check(t *testing.T, p *Picker, count []int, in []bool, step int) {
	t.Helper()
	if !slices.IsSortedFunc(p.order, func(a, b uint32) int { return count[a] - count[b] }) {
		t.Fatalf("step %d: order is not sorted by availability", step)
	}
	left := 0
	for i := range in {
		if in[i] {
			left++
		}
		if p.Open(uint32(i)) != in[i] || p.Avail(uint32(i)) != count[i] {
			t.Fatalf("step %d: piece %d open %v avail %d, want %v %d", step, i, p.Open(uint32(i)), p.Avail(uint32(i)), in[i], count[i])
		}
	}
	if p.Len() != left {
		t.Fatalf("step %d: Len %d, want %d", step, p.Len(), left)
	}
}

func checkPick(t *testing.T, p *Picker, peer *bitfield.Set, count []int, in []bool) (uint32, bool) {
	t.Helper()
	best := -1
	for i := range count {
		if in[i] && peer.Has(i) && (best < 0 || count[i] < best) {
			best = count[i]
		}
	}
	got, ok := p.Pick(peer)
	if ok != (best >= 0) || ok != p.Common(peer) || ok && count[got] != best {
		t.Fatalf("Pick = %d, %v, want one with availability %d", got, ok, best)
	}
	return got, ok
}

func BenchmarkPickTake(b *testing.B) {
	const n = 60000
	r := rand.New(rand.NewPCG(1, 2))
	p := New(n, 7)
	for i := range uint32(n) {
		for range r.IntN(30) {
			p.Add(i, 1)
		}
	}
	peer := bitfield.New(n)
	for range n / 2 {
		peer.Set(r.IntN(n))
	}
	for b.Loop() {
		piece, _ := p.Pick(peer)
		p.Take(piece)
		p.Return(piece)
	}
}

func TestShuffledInRuns(t *testing.T) {
	const n, run = 1003, 25
	order := Shuffled(n, run, rand.New(rand.NewPCG(1, 2)))
	if sorted := slices.Sorted(slices.Values(order)); len(sorted) != n || sorted[0] != 0 || sorted[n-1] != n-1 || len(slices.Compact(sorted)) != n {
		t.Fatalf("not a permutation of %d pieces", n)
	}
	breaks := 0
	for i := 1; i < n; i++ {
		switch {
		case order[i]%run != 0 && order[i] != order[i-1]+1:
			t.Fatalf("piece %d comes behind %d", order[i], order[i-1])
		case order[i] != order[i-1]+1:
			breaks++
		}
	}
	if breaks < n/run/2 {
		t.Errorf("only %d of %d runs begin elsewhere: that is not shuffled", breaks, n/run)
	}
}
