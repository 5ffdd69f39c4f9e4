// Package handout decides which peers of a swarm an asker is told about: most of them near it, a few far away, so
// that every data centre hangs together closely and with the others firmly. It is a pure function of slots, counts
// and a source of chance: it knows no addresses, so that a policy can be tested by a table and simulated.
//
// It never reads a clock, locks anything or keeps anything.
package handout

import (
	"math"
	"math/bits"
	"math/rand/v2"
	"slices"
)

// Peers that an announce gets.
const (
	Default = 50  // when the asker does not say
	Most    = 200 // whatever it says
)

// Shape of the graph when there are several data centres.
const (
	leastInside = 12 // peers of the asker's own data centre, where it has so many: see Degree
	outside     = 4  // peers of other ones, and as many as there are other ones, ...
	fewest      = 12 // ... up to this; also in all: who finds less inside gets more from outside
	sourceRoom  = 64 // peers of other data centres that each seed has room for, shared out evenly, ...
	siteRoom    = 4  // ... with at least so many for each
)

// Want is how many peers to give to an asker that asked for numwant (below zero: it did not say). One that
// leaves gets none.
func Want(numwant int, leaving bool) int {
	switch {
	case leaving:
		return 0
	case numwant < 0:
		return Default
	}
	return min(numwant, Most)
}

// Degree is how many peers of its own data centre of n peers a shoal peer is told of: a random graph of equal
// degrees that grows with the logarithm of its size has short paths and no bottleneck. More would only cost
// connections (uber/kraken saw 84 % of the possible rate at degree 5, with equal degrees).
func Degree(n int) int { return max(leastInside, 2*bits.Len(uint(max(n-1, 0)))) }

// Site is a data centre as one swarm and address family has it: the slots of its peers, first those that want no
// more bytes (seeds and partial seeds, BEP 21), then the others. Peers of unknown place are one more site.
type Site struct {
	Slots []uint32
	Seeds int // Slots[:Seeds]
	Told  int // how many of them were told of seeds of other sites
}

// open is what there is for the asker: a seed has no use for other seeds.
func (s *Site) open(seed bool) []uint32 {
	if seed {
		return s.Slots[s.Seeds:]
	}
	return s.Slots
}

// Asker is who asks.
type Asker struct {
	Site  int      // index of its data centre; below zero when nobody of it is there
	Seed  bool     // wants no bytes
	Shoal bool     // is content with Degree(n) of its data centre; others get as many as they want
	Self  []uint32 // slots that are the asker itself: same peer id, or same address; at most a few
	Want  int
	Told  bool // is one of its site's Told
	Sites int  // data centres that there are, whether they have come already or not
}

// Pick appends the slots to hand out, in random order and without repeats. handed tells by slot how often a peer was
// handed out: of two at random the one that was handed out less is taken, which makes degrees equal where chance
// alone would leave some poor, and yet lets any two meet.
//
// With one site everybody gets as many as it wants. With several, a list has peers of the asker's own one, and a few
// of others, more when its own is small. As long as there are few seeds, their room is shared out: each data centre
// has as much of it as the others, and what one does not need stays free, for it may be about to come. told says that
// a seed of another site is in the list.
func Pick(dst []uint32, sites []Site, handed []uint32, a Asker, rng *rand.Rand) (list []uint32, told bool) {
	if a.Want <= 0 {
		return dst, false
	}
	w := look(sites, &a)
	p := picker{dst: dst, start: len(dst), handed: handed, a: a, dice: dice{state: rng.Uint64()}}
	if w.sites == 0 {
		if a.Site >= 0 {
			p.take(sites[a.Site].open(a.Seed), a.Want)
		}
		return p.dst, false
	}
	far := min(max(outside, w.sites), fewest)
	if a.Seed {
		far = max(far, w.sites*perSite(w.seeds))
	}
	far = min(far, a.Want/2)
	if a.Site >= 0 {
		near := a.Want - far
		if a.Shoal {
			near = min(near, Degree(len(sites[a.Site].Slots)))
		}
		p.take(sites[a.Site].open(a.Seed), near)
	}
	got := len(p.dst) - p.start
	p.abroad(sites, w, min(max(far, fewest-got), a.Want-got))
	p.shuffle(p.dst[p.start:], len(p.dst))
	return p.dst, p.told
}

// world is what the asker's own data centre is not.
type world struct {
	sites int // with anybody for the asker
	peers int // for the asker
	seeds int // in all, its own data centre included
}

func look(sites []Site, a *Asker) (w world) {
	for i := range sites {
		w.seeds += sites[i].Seeds
		if n := len(sites[i].open(a.Seed)); i != a.Site && n > 0 {
			w.sites++
			w.peers += n
		}
	}
	return w
}

// perSite is how many peers of each other data centre one of so many seeds is told of, or tells.
func perSite(seeds int) int { return (siteRoom + seeds - 1) / max(seeds, 1) }

// room tells whether the asker may be told of a far seed.
func room(sites []Site, w world, a *Asker) bool {
	if a.Told || a.Site < 0 {
		return true
	}
	others := max(a.Sites, len(sites)) - 1
	return sites[a.Site].Told < w.seeds*max(siteRoom, sourceRoom/max(others, 1))
}

// picker gathers one list.
type picker struct {
	dst    []uint32
	start  int // where the list begins in dst
	handed []uint32
	a      Asker
	dice   dice
	told   bool // a far seed is in it
}

// dice is a source of chance for one list, which takes a hundred numbers: SplitMix64 (Steele, Lea and Flood, "Fast
// Splittable Pseudorandom Number Generators", 2014), and two numbers of each that it gives. As a value on the stack it
// costs a third of a rand.Rand.
type dice struct{ state, rest uint64 }

// below is a number from 0 to n-1, for n below 2^32: the multiplication of Lemire's "Fast Random Integer Generation in
// an Interval" (2019) without its correction, which for swarms of any size would change one number in thousands.
func (d *dice) below(n int) int {
	word := d.rest
	d.rest = 0
	if word == 0 {
		d.state += 0x9e3779b97f4a7c15
		word = d.state
		word = (word ^ word>>30) * 0xbf58476d1ce4e5b9
		word = (word ^ word>>27) * 0x94d049bb133111eb
		word ^= word >> 31
		d.rest = word >> 32
	}
	return int(word & math.MaxUint32 * uint64(n) >> 32)
}

// shuffle puts k of a list, any of them, in front and in any order.
func (p *picker) shuffle(list []uint32, k int) {
	for i := range min(k, len(list)-1) {
		j := i + p.dice.below(len(list)-i)
		list[i], list[j] = list[j], list[i]
	}
}

// take adds up to k of these slots. The candidates, twice as many, are a stratified sample: the slots are cut into
// as many equal runs, and one is taken from each, which needs no memory of what was taken. Then they fight in pairs.
func (p *picker) take(from []uint32, k int) {
	n := len(from)
	// One more for each slot that may fall to the asker itself, so that it does not cost it a peer.
	c := min(2*k+len(p.a.Self), n)
	if k <= 0 || c == 0 {
		return
	}
	start := len(p.dst)
	// Rotating the runs lets each border of two runs fall anywhere, so that neighbours are not always apart.
	turn := p.dice.below(n)
	run, more, carry := n/c, n%c, 0
	for lo, hi := 0, 0; lo < n; lo = hi {
		hi = lo + run
		if carry += more; carry >= c {
			carry -= c
			hi++
		}
		at := turn + lo
		if hi-lo > 1 {
			at += p.dice.below(hi - lo)
		}
		if at >= n {
			at -= n
		}
		if slot := from[at]; !slices.Contains(p.a.Self, slot) {
			p.dst = append(p.dst, slot)
		}
	}
	got := p.dst[start:]
	k = min(k, len(got))
	p.shuffle(got, k)
	for i := range min(k, len(got)-k) {
		if rival := got[k+i]; p.handed[rival] < p.handed[got[i]] {
			got[i] = rival
		}
	}
	p.dst = p.dst[:start+k]
}

// abroad adds up to k peers of other data centres.
func (p *picker) abroad(sites []Site, w world, k int) {
	end := len(p.dst) + max(k, 0)
	seeds := !p.a.Seed && room(sites, w, &p.a)
	switch {
	case p.a.Seed:
		p.everywhere(sites, perSite(w.seeds), end)
	case seeds:
		p.seed(sites, end)
		fallthrough
	default:
		p.each(sites, w, end)
	}
	p.draw(sites, w, end, seeds)
	if !p.a.Seed && len(p.dst) == p.start {
		p.seed(sites, end) // better a seed too many than nobody
	}
}

// everywhere adds up to each leeches of each other data centre.
func (p *picker) everywhere(sites []Site, each, end int) {
	p.others(sites, func(s *Site) bool {
		p.take(s.open(true), min(each, end-len(p.dst)))
		return len(p.dst) < end
	})
}

// each adds one leech of each other data centre: whoever owns a piece has to reach those who have it, and one who is
// connected to nobody of that data centre does not even know. Where one is so small that it would have to take more
// than fewest connections a host, chance decides.
func (p *picker) each(sites []Site, w world, end int) {
	p.others(sites, func(s *Site) bool {
		if open := s.open(true); p.dice.below(max(w.peers, 1)) < fewest*len(open) {
			p.take(open, min(1, end-len(p.dst)))
		}
		return len(p.dst) < end
	})
}

// seed adds one seed of another data centre.
func (p *picker) seed(sites []Site, end int) {
	p.others(sites, func(s *Site) bool {
		before := len(p.dst)
		p.take(s.Slots[:s.Seeds], min(1, end-len(p.dst)))
		p.told = p.told || len(p.dst) > before
		return !p.told
	})
}

// others visits the other data centres, beginning anywhere, until do has enough.
func (p *picker) others(sites []Site, do func(*Site) bool) {
	first := p.dice.below(len(sites))
	for i := range sites {
		at := (first + i) % len(sites)
		if at != p.a.Site && !do(&sites[at]) {
			return
		}
	}
}

// draw adds peers of other data centres up to end, or fewer when chance does not find as many. Each is drawn as
// likely, so that one of a small data centre is not told of more often than one of a big one.
func (p *picker) draw(sites []Site, w world, end int, seeds bool) {
	for tries := 4 * (end - len(p.dst)); tries > 0 && len(p.dst) < end; tries-- {
		one, two := p.any(sites, w, seeds), p.any(sites, w, seeds)
		if two >= 0 && (one < 0 || p.handed[two] < p.handed[one]) {
			one = two
		}
		if one >= 0 {
			p.dst = append(p.dst, uint32(one))
		}
	}
}

// any is a peer of another data centre that is not in the list; below zero when chance chose one that cannot be.
func (p *picker) any(sites []Site, w world, seeds bool) (slot int) {
	n := p.dice.below(w.peers)
	for i := range sites {
		if i == p.a.Site {
			continue
		}
		open := sites[i].open(p.a.Seed)
		if n >= len(open) {
			n -= len(open)
			continue
		}
		if !p.a.Seed && !seeds && n < sites[i].Seeds {
			return -1
		}
		if slices.Contains(p.dst[p.start:], open[n]) || slices.Contains(p.a.Self, open[n]) {
			return -1
		}
		return int(open[n])
	}
	return -1
}
