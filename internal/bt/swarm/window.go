package swarm

import "time"

// longLine is the rate in bytes/s that a long path is taken to have until one is
// measured: 1 Gbit/s.
const longLine = 125e6

// retune fits window and request size to the measured path. Under a limit no more
// is asked for than passes it in that time: the rest would lie in the socket
// until we come to it, and be lost and sent again when we are stopped.
func (s *state) retune(p *peer) {
	rate, line := max(p.down.rate, p.down.now), float64(longLine)
	limit := p.link.down.Rate()
	if limit > 0 {
		rate, line = min(rate, float64(limit)), min(line, float64(limit))
	}
	latency := p.link.fetch.fastest()
	window := ahead(rate, p.rtt, latency)
	unit := int64(stockUnit)
	low := firstWindow(limit)
	if p.shoal {
		unit, low = slowUnit, 1
		if p.alone && p.site == nil && s.only(p) { // nobody waits for what we ask for beforehand
			low = max(low, int64(line*pathOf(p.rtt, latency).Seconds()))
		}
		if rate > 40e6 {
			unit, low = fastUnit, 4<<20
		}
		unit = min(int64(p.link.down.Chunk(int(unit))), p.unit)
	} else if p.ext.Reqq > 0 {
		window = min(window, int64(p.ext.Reqq)*stockUnit)
	} else {
		window = min(window, 250*stockUnit)
	}
	p.link.fetch.set(min(max(window, low), maxWindow), unit)
}

// firstWindow is how much to ask for before anything is measured, under a limit
// in bytes a second or, with 0, none.
func firstWindow(limit int64) (bytes int64) {
	if limit == 0 {
		return startWindow
	}
	return min(startWindow, max(stockUnit, int64(float64(limit)*scheduling.Seconds())))
}

// only tells whether nobody else has leave for us to fetch, or is being asked:
// then our whole line is this peer's. Else what is asked of one beforehand
// stands in line there, and is not left for another who is free sooner.
func (s *state) only(p *peer) bool {
	for q := range s.peers {
		if q != p && (q.licence > 0 || q.pieces > 0) {
			return false
		}
	}
	return true
}

// ahead is how many bytes to have asked for: at the rate of bytes a second that
// they come at, twice what is under way in a round trip, so that the rate can
// grow, and enough for 30 ms of scheduling on top. Of latency, which is the
// shortest that an answer has taken, a part may be a queue at the peer, which
// must not grow by itself; hence less of it, and no more than a path may have.
func ahead(rate float64, rtt, latency time.Duration) (bytes int64) {
	return int64(rate * (pathOf(rtt, latency) + scheduling).Seconds())
}

func pathOf(rtt, latency time.Duration) time.Duration {
	return max(2*rtt, min(latency, longPath)*5/4)
}
