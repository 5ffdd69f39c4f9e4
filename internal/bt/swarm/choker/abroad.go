package choker

import "time"

// Abroad is how many peers of one other site a host lets send to it at a time.
// The way there is shared with all of its neighbours, and whoever takes more of it
// gains by that: so the gain, which Senders goes by, says nothing. Too many at once
// fill the queues of the link until it drops what it carries, and a
// piece that takes long to come is late for everybody it goes on to. What does
// tell is the time that a piece takes, against what it took when the way was free
// (L. S. Brakmo and L. L. Peterson, "TCP Vegas", IEEE JSAC 1995). The zero value
// is ready.
type Abroad struct {
	limit
	quick time.Duration // what a piece takes on a free way; never more again: on a full one all take long
}

// Of how long a piece takes, in quarters of what it takes on a free way.
const (
	roomBelow  = 5 // there is room for one more
	crowdAbove = 8 // there are too many
)

// Came notes that a piece has come now, and took so long. Pieces are to be of about one
// size.
func (a *Abroad) Came(now time.Time, took time.Duration) {
	if a.quick == 0 || took < a.quick {
		a.quick = took
	}
	a.limit.Came(now, took)
}

// Step changes the limit. heldBack: more peers than the limit would have sent.
func (a *Abroad) Step(now time.Time, heldBack bool) {
	a.step(now, roomBelow*a.quick/4, crowdAbove*a.quick/4, heldBack)
}
