package handout

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestWant(t *testing.T) {
	for _, c := range []struct {
		numwant int
		leaving bool
		want    int
	}{{-1, false, 50}, {0, false, 0}, {1, false, 1}, {200, false, 200}, {201, false, 200}, {1 << 30, false, 200},
		{-1, true, 0}, {30, true, 0}} {
		if got := Want(c.numwant, c.leaving); got != c.want {
			t.Errorf("Want(%d, %v) = %d, want %d", c.numwant, c.leaving, got, c.want)
		}
	}
}

// TestPick holds, for every small pool and asker, what must be true of any handout: as many as are wanted and
// there, no repeats, never the asker, no seed to a seed.
func TestPick(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var got []int
	for seeds := range 7 {
		for leeches := range 7 {
			for want := range 9 {
				for self := -1; self < seeds+leeches; self++ {
					a := Asker{Want: want, Seed: self >= 0 && self < seeds}
					if self >= 0 {
						a.Self = []int{self}
					}
					eligible := leeches
					if !a.Seed {
						eligible += seeds
						if self >= 0 {
							eligible--
						}
					}
					got = Pick(got[:0], Pool{seeds, leeches}, a, rng)
					if len(got) != min(want, eligible) {
						t.Fatalf("%d+%d want %d self %d: got %d peers", seeds, leeches, want, self, len(got))
					}
					slices.Sort(got)
					for i, s := range got {
						if s < 0 || s >= seeds+leeches || s == self || a.Seed && s < seeds || i > 0 && got[i-1] == s {
							t.Fatalf("%d+%d want %d self %d: got %v", seeds, leeches, want, self, got)
						}
					}
				}
			}
		}
	}
}

// TestPickUniform checks that no slot and no place in the list is preferred.
func TestPickUniform(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	const seeds, leeches, want, rounds = 10, 90, 7, 40_000
	var slots, firsts [seeds + leeches]int
	var got []int
	for range rounds {
		got = Pick(got[:0], Pool{seeds, leeches}, Asker{Want: want, Self: []int{50}}, rng)
		firsts[got[0]]++
		for _, s := range got {
			slots[s]++
		}
	}
	for s := range slots {
		if s == 50 {
			continue
		}
		// A binomial count stays within five standard deviations.
		check := func(what string, got int, p float64) {
			if mean := p * rounds; math.Abs(float64(got)-mean) > 5*math.Sqrt(mean) {
				t.Errorf("slot %d %s %d times, want about %.0f", s, what, got, mean)
			}
		}
		check("handed out", slots[s], float64(want)/(seeds+leeches-1))
		check("first", firsts[s], 1.0/(seeds+leeches-1))
	}
}

func BenchmarkPick(b *testing.B) {
	rng := rand.New(rand.NewPCG(3, 4))
	var got []int
	b.ReportAllocs()
	for b.Loop() {
		got = Pick(got[:0], Pool{100, 10_000}, Asker{Want: 50}, rng)
	}
}
