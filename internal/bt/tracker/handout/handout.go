// Package handout decides which peers of a swarm an asker is told about. It is a pure function of counts and a
// source of chance: it knows slots, not addresses, so that a policy can be tested by a table and simulated.
//
// It never reads a clock, locks anything or allocates.
package handout

import (
	"math/rand/v2"
)

// Peers that an announce gets.
const (
	Default = 50  // when the asker does not say
	Most    = 200 // whatever it says
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

// Pool is what there is to give: the peers of one swarm and one address family stand in slots, first all that
// want no more bytes (seeds and partial seeds, BEP 21), then the others.
type Pool struct {
	Seeds   int // slots [0, Seeds)
	Leeches int // slots [Seeds, Seeds+Leeches)
}

// Asker is who asks.
type Asker struct {
	Seed bool  // wants no bytes, so that other seeds are of no use to it
	Self []int // slots that are the asker itself: same peer id, or same address; at most a few
	Want int
}

// Pick appends the slots to hand out, in random order and without repeats: for a leech a random sample of all
// others, for a seed one of those that are no seeds. Every eligible peer is equally likely. The sample is
// stratified: the eligible slots are cut into as many equal runs as are wanted, and one is taken from each,
// which needs no memory of what was taken and touches each slot once.
func Pick(dst []int, p Pool, a Asker, rng *rand.Rand) []int {
	first := 0
	if a.Seed {
		first = p.Seeds
	}
	n := p.Seeds + p.Leeches - first
	start := len(dst)
	// One more for each slot that may fall to the asker itself, so that it does not cost it a peer.
	k := min(a.Want+len(a.Self), n)
	if k <= 0 || a.Want <= 0 {
		return dst
	}
	// Rotating the runs lets each border of two runs fall anywhere, so that neighbours are not always apart.
	turn := rng.IntN(n)
	for i := range k {
		lo, hi := i*n/k, (i+1)*n/k
		slot := turn + lo + rng.IntN(hi-lo)
		if slot >= n {
			slot -= n
		}
		if slot += first; !contains(a.Self, slot) {
			dst = append(dst, slot)
		}
	}
	got := dst[start:]
	rng.Shuffle(len(got), func(i, j int) { got[i], got[j] = got[j], got[i] })
	return dst[:start+min(len(got), a.Want)]
}

func contains(s []int, v int) bool {
	for _, x := range s {
		if x == v {
			return true
		}
	}
	return false
}
