package simnet

import (
	"sync/atomic"
	"time"
)

// line is a queue of a given rate: a host's downlink, or one direction of a
// place's WAN link. Only the network's goroutine touches it, but for the
// counter.
type line struct {
	rate   int64 // bytes/s; 0: unlimited
	freeAt time.Duration
	paused bool // cut: what comes waits in held
	held   []*segment
	bytes  atomic.Int64 // that have passed
}

// took is how long n bytes take at a rate in bytes/s.
func took(n int, rate int64) time.Duration {
	if rate <= 0 {
		return 0
	}
	return time.Duration(float64(n) / float64(rate) * 1e9)
}

// pass sends a segment through the line and returns when its last byte is
// out. at is when its last byte has come in, and inRate how fast it came.
func (l *line) pass(at time.Duration, n int, inRate int64) time.Duration {
	l.bytes.Add(int64(n))
	if l.rate <= 0 {
		return at
	}
	need := took(n, l.rate)
	// Sending has begun while the segment was still coming in.
	begun := at - min(need, took(n, inRate))
	l.freeAt = max(l.freeAt, begun) + need
	return l.freeAt
}

// hop is one part of a path: a latency and the line behind it.
type hop struct {
	delay time.Duration
	line  *line
}
