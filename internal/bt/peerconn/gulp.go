package peerconn

import "time"

// gulp is how many bytes the kernel shall gather before it wakes us: at a few
// MB/s the wake-ups, one a packet, cost more than the bytes. It follows the
// rate, so that nobody takes a slow peer for a dead one.
type gulp struct {
	size int
	set  int // what the kernel was told
}

// ask tells the kernel before a wait for want bytes.
func (g *gulp) ask(s *socket, want int) {
	n := 1
	if want >= minGulp {
		n = min(want, max(g.size, minGulp))
	}
	if (n < g.set || n >= 2*g.set) && s.setReadLow(n) == nil {
		g.set = n
	}
}

// slept learns from a wait.
func (g *gulp) slept(d time.Duration) {
	switch {
	case g.set < minGulp: // not for a gulp
	case d > longWait:
		g.size = max(g.size/2, minGulp)
	case d < shortWait:
		g.size = min(max(2*g.size, 2*minGulp), maxGulp)
	}
}
