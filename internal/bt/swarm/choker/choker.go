// Package choker decides whom a host serves. It is pure: values and now in,
// verdict out.
//
// Two rules live side by side. Stock peers get the standard choker (BEP 3):
// the best by rate, and one optimistic unchoke that moves every 30 s. Shoal
// peers are never choked: they take turns (Turns), whatever they give, for
// barter raises the time to the last host (Ganesan & Seshadri, ICDCS 2005).
package choker

import (
	"cmp"
	"slices"
	"time"
)

// OptimisticPeriod is how long an optimistic unchoke lasts (BEP 3).
const OptimisticPeriod = 30 * time.Second

// Peer is what the choker knows of a stock peer.
type Peer struct {
	ID         int
	Interested bool
	Rate       float64   // bytes/s it gives us; when we are complete, what it takes
	Unchoked   bool      // now
	Since      time.Time // of the last change of Unchoked
	Joined     time.Time
}

// Choose returns the IDs to unchoke: all others are to be choked. slots counts
// the optimistic one in. optimistic is the ID that held the optimistic slot,
// -1 for none; the second result is who holds it now.
func Choose(peers []Peer, slots, optimistic int, now time.Time) ([]int, int) {
	ps := slices.DeleteFunc(slices.Clone(peers), func(p Peer) bool { return !p.Interested })
	if len(ps) <= slots {
		return ids(ps), -1
	}
	slices.SortStableFunc(ps, func(a, b Peer) int { return cmp.Compare(b.Rate, a.Rate) })
	chosen, rest := ps[:slots-1], ps[slots-1:]
	lucky := slices.IndexFunc(rest, func(p Peer) bool {
		return p.ID == optimistic && p.Unchoked && now.Sub(p.Since) < OptimisticPeriod
	})
	if lucky < 0 {
		lucky = longestWaiting(rest)
	}
	return append(ids(chosen), rest[lucky].ID), rest[lucky].ID
}

// longestWaiting prefers who has been choked for the longest time.
func longestWaiting(ps []Peer) int {
	best := 0
	for i, p := range ps {
		b := ps[best]
		switch {
		case p.Unchoked != b.Unchoked:
			if b.Unchoked {
				best = i
			}
		case p.Since.Before(b.Since):
			best = i
		}
	}
	return best
}

func ids(ps []Peer) []int {
	out := make([]int, 0, len(ps)+1)
	for _, p := range ps {
		out = append(out, p.ID)
	}
	return out
}
