package choker

import "slices"

// Senders is how many peers a host lets send to it at a time. More than its
// downlink can take only wait for each other, and their uplinks with them;
// fewer leave it idle. What a link can take is not known, so it is tried: one
// quarter more, and no less again if for three seconds that brings at least
// half of what it should. The zero value is ready.
type Senders struct {
	Behind bool    // we have fallen behind the others: a few more may send
	more   int     // beyond the least
	step   int     // of the raise that is on trial
	left   int     // seconds of the trial
	rate   float64 // before it, in bytes/s
	tried  float64 // the rate at which a raise was last in vain
}

// leastSenders ride out the gaps between two turns on equal links.
const leastSenders = 6

// trial is how many seconds a raise must prove itself.
const trial = 3

// Most is the limit.
func (s *Senders) Most() int {
	most := leastSenders + s.more
	if s.Behind {
		most += moreBehind
	}
	return most
}

// Of how far a host may have fallen behind and still catch up.
const (
	lagUnit    = 50 // parts of what others usually have: less is chance
	mostLag    = 5  // such parts: who lacks more is slow, or came late
	moreBehind = 2  // senders
)

// Behind tells whether a host that has so many pieces has fallen behind the others
// that lack some. Hosts with equal links drift apart, for who has found fewer
// senders gets less of each uplink; everybody waits for the last one in the end,
// when its own line is full and nobody can help it any more. Who lacks far more
// could not take it faster, and would only hold up the others.
func Behind(has int, others []int) bool {
	if len(others) == 0 {
		return false
	}
	slices.Sort(others)
	usual := others[len(others)/2]
	lag := (usual - has) / max(1, usual/lagUnit)
	return lag >= 1 && lag <= mostLag
}

// Step takes the rate of the last second, in bytes/s, and whether more peers
// than the limit would have sent.
func (s *Senders) Step(rate float64, heldBack bool) {
	if s.left > 0 {
		s.left--
		before := float64(s.Most() - s.step)
		if rate < s.rate*(1+float64(s.step)/before/2) {
			s.more -= s.step
			s.left, s.tried = 0, rate
		}
		return
	}
	if !heldBack || rate < s.tried*5/4 && rate > s.tried*3/4 {
		return
	}
	s.rate, s.step, s.left = rate, max(1, s.Most()/4), trial
	s.more += s.step
}
