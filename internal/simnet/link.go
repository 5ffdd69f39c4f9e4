package simnet

import (
	"sync/atomic"
	"time"
)

// Link is the line between two places, in both directions. Bytes pass it
// between the WAN lines of the two.
type Link struct {
	net  *Network
	ends [2]string // in order
	ways [2]line   // from the first to the second, and back
	cut  atomic.Bool
}

// Link returns the line between two different places; before it is asked for
// there is none, which is no limit. It counts for connections made later.
func (n *Network) Link(a, b string) *Link {
	n.mu.Lock()
	defer n.mu.Unlock()
	ends := inOrder(a, b)
	l := n.links[ends]
	if l == nil {
		l = &Link{net: n, ends: ends}
		n.links[ends] = l
	}
	return l
}

func inOrder(a, b string) [2]string {
	if a > b {
		a, b = b, a
	}
	return [2]string{a, b}
}

// linkBetween is nil when nobody has asked for that link.
func (n *Network) linkBetween(a, b string) *Link {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.links[inOrder(a, b)]
}

// way is the direction that begins at a place.
func (l *Link) way(from string) *line {
	if from == l.ends[0] {
		return &l.ways[0]
	}
	return &l.ways[1]
}

// SetRate limits each direction, in bytes a second; 0 is no limit.
func (l *Link) SetRate(rate int64) {
	l.net.order(func() { l.ways[0].rate, l.ways[1].rate = rate, rate })
}

// Traffic is how many bytes have passed from a place to the other end.
func (l *Link) Traffic(from string) int64 { return l.way(from).bytes.Load() }

// Cut holds up all that would pass until Heal.
func (l *Link) Cut() {
	l.cut.Store(true)
	l.net.order(func() { l.ways[0].paused, l.ways[1].paused = true, true })
}

// Heal ends a Cut; what was held up goes on.
func (l *Link) Heal() {
	l.cut.Store(false)
	l.net.order(func() { l.net.resume(&l.ways[0], &l.ways[1]) })
}

// resume lets lines go on. Only the network's goroutine calls it.
func (n *Network) resume(lines ...*line) {
	at := time.Since(n.start)
	for _, l := range lines {
		l.paused = false
		held := l.held
		l.held = nil
		for _, seg := range held {
			n.arrived(seg, at)
		}
	}
}
