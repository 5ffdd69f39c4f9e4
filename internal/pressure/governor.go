package pressure

import (
	"fmt"
	"time"
)

// Signals are how busy a host was in the last moment: the shares of it in which
// some task waited, each 0 to 1, and what others took of its CPUs.
type Signals struct {
	CPU, IO, Memory float64
	Others          float64       // share of all CPU time that other processes worked
	Queue           time.Duration // what our packets wait in queues of the network, the median of all connections
}

// threshold is where a signal means busy, and where it is calm: between the two
// a transfer comes back with care.
type threshold struct {
	name       string
	busy, calm float64
	of         func(Signals) float64
}

// thresholds: some stall is ordinary on a host that works at all, of CPU most
// (one task waiting behind another is enough, and our own count), of memory
// least. A host
// whose CPUs others fill has nothing to give, stall or not. For the queue see
// RFC 6817, which aims at 100 ms.
func thresholds() []threshold {
	return []threshold{
		{"CPU pressure", 0.50, 0.25, func(s Signals) float64 { return s.CPU }},
		{"I/O pressure", 0.30, 0.15, func(s Signals) float64 { return s.IO }},
		{"memory pressure", 0.05, 0.02, func(s Signals) float64 { return s.Memory }},
		{"CPU use of others", 0.85, 0.70, func(s Signals) float64 { return s.Others }},
		{"network queue (s)", 0.10, 0.06, func(s Signals) float64 { return s.Queue.Seconds() }},
	}
}

// Steps of the governor, for one Step a half second.
const (
	floor = 256 << 10 // bytes a second that are always left: a swarm must not lose the peer
	rise  = 1.25      // while all is calm
	creep = 1.06      // while it is neither calm nor busy
	calms = 3         // steps without a busy signal before it rises
)

// Governor is how much a transfer may take now: it falls fast while the host is
// busy and comes back slowly, as TCP does (additive increase would take minutes
// over the range from a floor to a full line). The zero value takes all.
type Governor struct {
	Cap  int64  // bytes a second, 0: no cap
	Why  string // the signal that holds it down, "" for none
	was  int64  // what flowed when it was capped first
	calm int    // steps since the last busy signal
}

// Step is the governor after a further half second in which so many bytes a
// second flowed.
func (g Governor) Step(s Signals, flowed int64) Governor {
	busy, calm := "", true
	for _, t := range thresholds() {
		v := t.of(s)
		if v >= t.busy && busy == "" {
			busy = fmt.Sprintf("%s %.2f", t.name, v)
		}
		calm = calm && v <= t.calm
	}
	switch {
	case busy != "" && g.Cap == 0:
		g.was = flowed
		g.Cap = max(floor, flowed/2)
		g.Why, g.calm = busy, 0
	case busy != "":
		g.Cap = max(floor, min(g.Cap, max(flowed, floor))/2)
		g.Why, g.calm = busy, 0
	case g.Cap > 0:
		pace := creep
		if calm {
			pace = rise
		}
		if g.calm++; g.calm >= calms {
			g.Cap = int64(float64(g.Cap) * pace)
		}
		if g.Cap > 2*max(g.was, 4*floor) {
			g = Governor{}
		}
	}
	return g
}
