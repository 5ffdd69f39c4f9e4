package announcer

import (
	"math"
	"time"

	"shoal/internal/bt/announce"
)

// Bounds of the pace. A tracker may slow us down to maxInterval and no further,
// and never make us faster than minInterval.
const (
	minInterval     = 5 * time.Second
	maxInterval     = time.Hour
	defaultInterval = 5 * time.Minute // if the tracker names none
	maxBackoff      = 30 * time.Minute
	maxRefusal      = 24 * time.Hour // of a BEP 31 "retry in"
	hurryFailed     = time.Minute    // a failing tracker is not tried sooner than this because of Hurry
	hurryMax        = time.Minute    // longest pause between hurried announces if the tracker sets none
)

// tracker is what we know of one tracker for one swarm.
type tracker struct {
	target
	tier      int
	next      time.Time // not to be asked before; the zero time is "at once"
	never     bool      // refused for good, or unusable
	working   bool      // the last attempt succeeded
	greeted   bool      // it knows us: gets "stopped" in the end
	completed bool      // it was told
	id        string    // tracker id, HTTP
	shoal     bool      // it speaks of places, and is told ledgers
	fails     int       // attempts in a row
	tried     time.Time // end of the last attempt
	refused   time.Time // BEP 31: not before, not even in a hurry
	floor     time.Time // earliest hurried announce
	rush      bool      // the next announce comes early because of Hurry
	hurried   int       // announces in a row that came early
	answered  time.Time
	err       error
	last      announce.Response // without its peers
	peers     int
}

// rota is the order in which the trackers of one swarm are asked, and when. It
// decides and does no I/O. BEP 12: a tier is asked when all before it fail; in a
// tier the tracker that answered last comes first.
//
// Trackers that failed are asked again when their back-off ends even while a
// later one works, so that a swarm does not stay split after a tracker's restart.
type rota struct {
	tiers [][]*tracker
	every bool // Options.Every
}

func newRota(tiers [][]target) *rota {
	r := &rota{}
	for i, targets := range tiers {
		var tier []*tracker
		for _, t := range targets {
			tier = append(tier, &tracker{target: t, tier: i, never: t.err != nil, err: t.err})
		}
		r.tiers = append(r.tiers, tier)
	}
	return r
}

// reach yields the trackers that count at present: those up to the first that works, or every one.
func (r *rota) reach(yield func(*tracker) bool) {
	for _, tier := range r.tiers {
		for _, t := range tier {
			if !t.never && !yield(t) || t.working && !r.every {
				return
			}
		}
	}
}

// leads tells whether no tracker before t works: it is the one whose word on places counts.
func (r *rota) leads(t *tracker) bool {
	for other := range r.all {
		if other == t || other.working {
			return other == t
		}
	}
	return false
}

// all yields every tracker in the order of the rota.
func (r *rota) all(yield func(*tracker) bool) {
	for _, tier := range r.tiers {
		for _, t := range tier {
			if !yield(t) {
				return
			}
		}
	}
}

// due is the first tracker that is to be asked now; nil if none is.
func (r *rota) due(now time.Time) *tracker {
	for t := range r.reach {
		if !t.next.After(now) {
			return t
		}
	}
	return nil
}

// wake is when due will have an answer; false if never, by what is known now.
func (r *rota) wake() (at time.Time, ok bool) {
	for t := range r.reach {
		if !ok || t.next.Before(at) {
			at, ok = t.next, true
		}
	}
	return at, ok
}

// hurry brings the next announce forward as far as the trackers allow.
func (r *rota) hurry(now time.Time) {
	for t := range r.reach {
		at := later(t.tried.Add(hurryFailed), t.refused)
		if t.working {
			at = t.floor
		}
		at = later(at, now)
		if at.Before(t.next) {
			t.next, t.rush = at, true
		}
	}
}

// complete makes trackers in charge due, as events do not wait for an interval.
func (r *rota) complete(now time.Time) {
	for t := range r.reach {
		if t.working && !t.completed {
			t.next = now
		}
	}
}

// succeed notes an answer. jitter in [0,1) spreads peers that started together.
func (r *rota) succeed(t *tracker, a announce.Response, now time.Time, jitter float64) {
	if t.hurried++; !t.rush {
		t.hurried = 0
	}
	interval, floor := pace(a, t.hurried)
	spread := min(interval/20, 30*time.Second)
	t.next = now.Add(interval + time.Duration(jitter*float64(spread)))
	t.floor = now.Add(floor)
	t.working, t.rush, t.fails, t.err, t.refused = true, false, 0, nil, time.Time{}
	t.tried, t.answered = now, now
	if a.TrackerID != "" {
		t.id = a.TrackerID
	}
	t.shoal = a.Site.Epoch > 0
	t.last = a
	t.last.V4, t.last.V6, t.last.IDs4, t.last.IDs6, t.last.Site = nil, nil, nil, nil, announce.Site{}
	r.promote(t)
}

// pace bounds what the tracker wishes: the interval to the next announce, and the
// earliest hurried one. If the tracker names no minimum, hurried ones back off.
func pace(a announce.Response, hurried int) (interval, floor time.Duration) {
	interval = a.Interval
	if interval <= 0 {
		interval = defaultInterval
	}
	interval = min(max(interval, minInterval, a.MinInterval), maxInterval)
	floor = a.MinInterval
	if floor <= 0 {
		floor = min(minInterval<<min(hurried, 10), hurryMax)
	}
	return interval, min(max(floor, minInterval), interval)
}

// promote moves t to the front of its tier.
func (r *rota) promote(t *tracker) {
	tier := r.tiers[t.tier]
	for i, other := range tier {
		if other == t {
			copy(tier[1:i+1], tier[:i])
			tier[0] = t
			return
		}
	}
}

// fail notes a failed attempt and when to try again. jitter is in [0,1).
func (r *rota) fail(t *tracker, err error, now time.Time, jitter float64) {
	t.working, t.rush, t.err, t.tried = false, false, err, now
	wait := time.Duration(float64(backoff(t.fails)) * (0.8 + 0.4*jitter))
	t.fails++
	if f := refusal(err); f != nil {
		t.never = f.Never
		if f.RetryIn > 0 {
			wait = min(f.RetryIn, maxRefusal)
			t.refused = now.Add(wait)
		}
	}
	t.next = now.Add(wait)
}

// backoff is the wait after so many failures before this one: quick at first, for
// a deploy may start a second before its tracker, then doubling up to maxBackoff.
func backoff(fails int) time.Duration {
	switch {
	case fails <= 0:
		return time.Second
	case fails == 1:
		return 2 * time.Second
	case fails >= 11:
		return maxBackoff
	}
	return min(5*time.Second<<(fails-2), maxBackoff)
}

// patience bounds one attempt: short at first so that the next tracker gets its
// turn, longer for one that may be overloaded.
func patience(fails int) time.Duration {
	return min(5*time.Second<<min(max(fails, 0), 3), 30*time.Second)
}

// later is the later of two times.
func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// wait turns a time into a timer's duration: never negative, and very long for "never".
func wait(at time.Time, ok bool, now time.Time) time.Duration {
	if !ok {
		return math.MaxInt64
	}
	return max(at.Sub(now), 0)
}
