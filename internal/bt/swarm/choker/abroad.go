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
	more  int           // beyond one
	quick time.Duration // what a piece takes on a free way; never more again: on a full one all take long
	took  time.Duration // takes now, smoothed
	came  int           // pieces since the last change
}

// Of how long a piece takes, in quarters of what it takes on a free way.
const (
	roomBelow  = 5 // there is room for one more
	crowdAbove = 8 // there are too many
)

// Most is the limit.
func (a *Abroad) Most() int { return 1 + a.more }

// Came notes that a piece has come, and took so long. Pieces are to be of about one
// size.
func (a *Abroad) Came(took time.Duration) {
	if a.quick == 0 {
		a.quick, a.took = took, took
	}
	a.quick = min(a.quick, took)
	a.took += (took - a.took) / 4
	a.came++
}

// Step changes the limit, at most once for as many pieces as may be on their way.
// heldBack: more peers than the limit would have sent.
func (a *Abroad) Step(heldBack bool) {
	if a.came < a.Most() {
		return
	}
	switch {
	case a.took > crowdAbove*a.quick/4 && a.more > 0:
		a.more--
	case a.took < roomBelow*a.quick/4 && heldBack:
		a.more++
	default:
		return
	}
	a.came = 0
}
