package swarm

import "time"

// retune fits window and request size to the measured path.
func (s *state) retune(p *peer) {
	rate := max(p.down.rate, p.down.now)
	window := ahead(rate, p.rtt, p.link.fetch.fastest())
	unit := int64(stockUnit)
	low := int64(startWindow)
	if p.shoal {
		unit, low = slowUnit, 1
		if rate > 40e6 {
			unit, low = fastUnit, 4<<20
		}
		unit = min(unit, p.unit)
	} else if p.ext.Reqq > 0 {
		window = min(window, int64(p.ext.Reqq)*stockUnit)
	} else {
		window = min(window, 250*stockUnit)
	}
	p.link.fetch.set(min(max(window, low), maxWindow), unit)
}

// ahead is how many bytes to have asked for: at the rate of bytes a second that
// they come at, twice what is under way in a round trip, so that the rate can
// grow, and enough for 30 ms of scheduling on top. Of latency, which is the
// shortest that an answer has taken, a part may be a queue at the peer, which
// must not grow by itself; hence less of it, and no more than a path may have.
func ahead(rate float64, rtt, latency time.Duration) (bytes int64) {
	path := max(2*rtt, min(latency, longPath)*5/4)
	return int64(rate * (path + scheduling).Seconds())
}
