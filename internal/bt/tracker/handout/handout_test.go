package handout

import (
	"fmt"
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

func TestDegree(t *testing.T) {
	for n, want := range map[int]int{0: 12, 1: 12, 64: 12, 65: 14, 128: 14, 200: 16, 1000: 20, 2000: 22, 100_000: 34} {
		if got := Degree(n); got != want {
			t.Errorf("Degree(%d) = %d, want %d", n, got, want)
		}
	}
}

// sitesOf makes sites of so many seeds and leeches each, and the counts of their slots.
func sitesOf(sizes ...[2]int) (sites []Site, handed []uint32) {
	for _, n := range sizes {
		s := Site{Seeds: max(n[0], 0)}
		if n[0] < 0 {
			s.Told = 1000
		}
		for range s.Seeds + n[1] {
			s.Slots = append(s.Slots, uint32(len(handed)))
			handed = append(handed, 0)
		}
		sites = append(sites, s)
	}
	return sites, handed
}

// TestPick holds, for every small pool and asker, what must be true of any handout: as many as are wanted and
// there, no repeats, never the asker, no seed to a seed. With a second site the asker's own one comes first.
func TestPick(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var got []uint32
	for seeds := range 7 {
		for leeches := range 7 {
			for want := range 9 {
				for self := -1; self < seeds+leeches; self++ {
					for _, other := range [][2]int{{0, 0}, {1, 0}, {0, 5}, {1, 20}} {
						sites, handed := sitesOf([2]int{seeds, leeches}, other)
						a := Asker{Want: want, Seed: self >= 0 && self < seeds, Shoal: want%2 == 0}
						eligible := leeches
						if self >= 0 {
							a.Self = []uint32{uint32(self)}
						}
						if !a.Seed {
							if eligible += seeds; self >= 0 {
								eligible--
							}
						}
						name := fmt.Sprintf("%d+%d and %v want %d self %d", seeds, leeches, other, want, self)
						got, _ = Pick(got[:0], sites, handed, a, rng)
						checkPick(t, name, sites, a, got)
						if other == [2]int{} && len(got) != min(want, eligible) {
							t.Fatalf("%s: got %d peers", name, len(got))
						}
						if other == [2]int{1, 20} && len(got) != want {
							t.Fatalf("%s: got %d peers", name, len(got))
						}
					}
				}
			}
		}
	}
}

func checkPick(t *testing.T, name string, sites []Site, a Asker, got []uint32) {
	t.Helper()
	seen := map[uint32]bool{}
	for _, slot := range got {
		i := slices.IndexFunc(sites, func(s Site) bool { return slices.Contains(s.open(a.Seed), slot) })
		if i < 0 || seen[slot] || slices.Contains(a.Self, slot) {
			t.Fatalf("%s: got %v", name, got)
		}
		seen[slot] = true
	}
	if len(got) > a.Want {
		t.Fatalf("%s: got %d peers", name, len(got))
	}
}

// TestPickUniform checks that no slot and no place in the list is preferred, when all were handed out alike.
func TestPickUniform(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	const seeds, leeches, want, rounds = 10, 90, 7, 40_000
	sites, handed := sitesOf([2]int{seeds, leeches})
	var slots, firsts [seeds + leeches]int
	var got []uint32
	for range rounds {
		got, _ = Pick(got[:0], sites, handed, Asker{Want: want, Self: []uint32{50}}, rng)
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

// TestPlaces is the table of what an asker gets when there are data centres: how many of its own, of others, and
// how many seeds of others.
func TestPlaces(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	many := [2]int{0, 200}
	full := [2]int{-1, 200} // as many of them were told of the source as may be
	for _, c := range []struct {
		name                string
		sites               [][2]int
		a                   Asker
		inside, out, source int // source: seeds of other data centres, at most
	}{
		{"shoal peer", [][2]int{many, many, {1, 0}}, Asker{Shoal: true, Want: 50}, 16, 4, 1},
		{"shoal peer, the source's room is taken", [][2]int{full, many, {1, 0}}, Asker{Shoal: true, Want: 50}, 16, 4, 0},
		{"shoal peer that was told before", [][2]int{full, many, {1, 0}}, Asker{Shoal: true, Want: 50, Told: true}, 16, 4, 1},
		{"stock client", [][2]int{many, many, {1, 0}}, Asker{Want: 50}, 46, 4, 1},
		{"wants few", [][2]int{many, many}, Asker{Want: 3}, 2, 1, 0},
		{"wants one", [][2]int{many, many}, Asker{Want: 1}, 1, 0, 0},
		{"small data centre", [][2]int{{0, 6}, {0, 6}, {0, 6}, {1, 6}}, Asker{Shoal: true, Want: 50}, 6, 6, 1},
		{"small data centre, stock", [][2]int{{0, 6}, {0, 6}, {0, 6}, {1, 6}}, Asker{Want: 50}, 6, 6, 1},
		{"first of its data centre", [][2]int{many, many}, Asker{Site: -1, Shoal: true, Want: 50}, 0, 12, 0},
		{"nobody but the source elsewhere", [][2]int{many, {1, 0}}, Asker{Shoal: true, Want: 50}, 16, 1, 1},
		{"nobody but the source elsewhere, its room is taken", [][2]int{full, {1, 0}}, Asker{Shoal: true, Want: 50}, 16, 0, 0},
		{"nobody but the source at all", [][2]int{{0, 0}, {1, 0}}, Asker{Shoal: true, Want: 50}, 0, 1, 1},
		{"nobody but the source at all, its room is taken", [][2]int{{-1, 0}, {1, 0}}, Asker{Shoal: true, Want: 50}, 0, 1, 1},
		{"the source", [][2]int{{1, 200}, many, many, many}, Asker{Seed: true, Shoal: true, Want: 50}, 16, 12, 0},
		{"the source, many data centres", [][2]int{{1, 200}, many, many, many, many, many, many, many, many, many}, Asker{Seed: true, Shoal: true, Want: 50}, 16, 25, 0},
		{"one of many seeds", [][2]int{{100, 100}, many, many, many}, Asker{Seed: true, Shoal: true, Want: 50}, 16, 4, 0},
		{"one of many seeds, alone inside", [][2]int{{100, 0}, many}, Asker{Seed: true, Shoal: true, Want: 50}, 0, 12, 0},
	} {
		sites, handed := sitesOf(c.sites...)
		for range 200 {
			got, told := Pick(nil, sites, handed, c.a, rng)
			checkPick(t, c.name, sites, c.a, got)
			inside, source := 0, 0
			for _, slot := range got {
				i := slices.IndexFunc(sites, func(s Site) bool { return slices.Contains(s.Slots, slot) })
				switch {
				case i == c.a.Site:
					inside++
				case slices.Contains(sites[i].Slots[:sites[i].Seeds], slot):
					source++
				}
			}
			if told != (c.source > 0) {
				t.Fatalf("%s: told %v", c.name, told)
			}
			if inside != c.inside || len(got)-inside != c.out || source > c.source {
				t.Fatalf("%s: got %d inside, %d outside, %d of them seeds; want %d, %d, at most %d", c.name, inside,
					len(got)-inside, source, c.inside, c.out, c.source)
			}
		}
	}
}

// TestGrowth lets nine data centres of very different sizes come in at random, one host after the other, as in a
// deploy, and looks at the graph that they get: degrees inside are nearly equal and nobody is poor; each data centre
// hangs together by itself; the source is told to its share of each, small and late ones included.
func TestGrowth(t *testing.T) {
	sizes := []int{400, 200, 200, 100, 100, 50, 20, 10, 3}
	for round := range uint64(5) {
		rng := rand.New(rand.NewPCG(7, round))
		g := grow(sizes, rng)
		for dc, n := range sizes {
			low, high := 1<<30, 0
			for _, slot := range g.sites[dc].Slots[g.sites[dc].Seeds:] {
				d := g.degree(slot)
				low, high = min(low, d), max(high, d)
			}
			// Each brings Degree of the size at its time; later ones bring as many again.
			if d := min(Degree(n), n-1); low < min(leastInside, n-1) || high > 3*d {
				t.Errorf("round %d, %d hosts: degrees inside from %d to %d, want from %d to %d", round, n, low, high, min(leastInside, n-1), 3*d)
			}
			if got := g.reach(dc); got != n+g.sites[dc].Seeds {
				t.Errorf("round %d, %d hosts: only %d hang together", round, n, got)
			}
			if dc == 0 {
				continue
			}
			if told := g.told[dc]; told != min(n, sourceRoom/(len(sizes)-1)) {
				t.Errorf("round %d, %d hosts: %d were told of the source", round, n, told)
			}
		}
	}
}

// graph is who was told of whom.
type graph struct {
	sites []Site
	place []int // by slot
	edges []map[uint32]bool
	told  []int // hosts of each data centre that were told of the source
}

// grow adds the hosts of all data centres in random order to a source in the first one.
func grow(sizes []int, rng *rand.Rand) *graph {
	g := &graph{sites: make([]Site, len(sizes)), told: make([]int, len(sizes))}
	g.sites[0] = Site{Slots: []uint32{0}, Seeds: 1}
	g.place, g.edges = []int{0}, []map[uint32]bool{{}}
	handed := []uint32{0}
	var order []int
	for dc, n := range sizes {
		order = append(order, slices.Repeat([]int{dc}, n)...)
	}
	rng.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
	for i, dc := range order {
		slot := uint32(i + 1)
		handed = append(handed, 0)
		g.sites[dc].Slots = append(g.sites[dc].Slots, slot)
		g.place, g.edges = append(g.place, dc), append(g.edges, map[uint32]bool{})
		list, told := Pick(nil, g.sites, handed, Asker{Site: dc, Shoal: true, Self: []uint32{slot}, Want: Default}, rng)
		if told {
			g.sites[dc].Told++
		}
		for _, other := range list {
			handed[other]++
			g.edges[slot][other], g.edges[other][slot] = true, true
			if other == 0 && dc != 0 {
				g.told[dc]++
			}
		}
	}
	return g
}

// degree is the number of a host's neighbours in its own data centre.
func (g *graph) degree(slot uint32) (n int) {
	for other := range g.edges[slot] {
		if g.place[other] == g.place[slot] {
			n++
		}
	}
	return n
}

// reach is how many hosts of a data centre can be reached from one of them without leaving it.
func (g *graph) reach(dc int) int {
	first := g.sites[dc].Slots[0]
	seen, todo := map[uint32]bool{first: true}, []uint32{first}
	for len(todo) > 0 {
		slot := todo[0]
		todo = todo[1:]
		for other := range g.edges[slot] {
			if g.place[other] == dc && !seen[other] {
				seen[other], todo = true, append(todo, other)
			}
		}
	}
	return len(seen)
}

func BenchmarkPick(b *testing.B) {
	one, handed := sitesOf([2]int{100, 10_000})
	var nine [][2]int
	for range 9 {
		nine = append(nine, [2]int{1, 200})
	}
	several, handed9 := sitesOf(nine...)
	for name, c := range map[string]struct {
		sites  []Site
		handed []uint32
		a      Asker
	}{"one": {one, handed, Asker{Want: 50}}, "nine": {several, handed9, Asker{Want: 50, Shoal: true}}} {
		b.Run(name, func(b *testing.B) {
			rng := rand.New(rand.NewPCG(3, 4))
			var got []uint32
			b.ReportAllocs()
			for b.Loop() {
				got, _ = Pick(got[:0], c.sites, c.handed, c.a, rng)
			}
		})
	}
}
