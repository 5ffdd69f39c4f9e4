package simnet

import (
	"sync/atomic"
	"time"
)

// Place is a data centre: hosts that reach each other freely and all others
// over one WAN line and, where there is one, the link to the other place.
type Place struct {
	net     *Network
	name    string
	out, in line
	cut     atomic.Bool
}

// Place returns the place of that name. Hosts without a place have one too,
// with an empty name.
func (n *Network) Place(name string) *Place {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.placeLocked(name)
}

func (n *Network) placeLocked(name string) *Place {
	p := n.places[name]
	if p == nil {
		p = &Place{net: n, name: name}
		p.out.rate, p.in.rate = n.o.WAN, n.o.WAN
		n.places[name] = p
	}
	return p
}

// Name is the place's name.
func (p *Place) Name() string { return p.name }

// SetRates limits the WAN link, out of the place and into it, in bytes a
// second; 0 is no limit.
func (p *Place) SetRates(out, in int64) {
	p.net.order(func() { p.out.rate, p.in.rate = out, in })
}

// Traffic is how many bytes have left the place and entered it.
func (p *Place) Traffic() (out, in int64) { return p.out.bytes.Load(), p.in.bytes.Load() }

// Cut holds up all that would leave or enter the place until Heal.
func (p *Place) Cut() {
	p.cut.Store(true)
	p.net.order(func() { p.out.paused, p.in.paused = true, true })
}

// Heal ends a Cut; what was held up goes on.
func (p *Place) Heal() {
	p.cut.Store(false)
	p.net.order(func() { p.net.resume(&p.out, &p.in) })
}

// reachable tells whether a connection between two places can be made now.
func (n *Network) reachable(a, b *Place) bool {
	if a == b {
		return true
	}
	l := n.linkBetween(a.name, b.name)
	return !a.cut.Load() && !b.cut.Load() && (l == nil || !l.cut.Load())
}

func (n *Network) latency(from, to *Host) time.Duration {
	return n.o.Latency(from.place.name, to.place.name)
}

// path is what a segment passes behind the sender's uplink.
func (n *Network) path(from, to *Host) []hop {
	delay := n.latency(from, to)
	if from.place == to.place {
		return []hop{{delay, &to.down}}
	}
	if l := n.linkBetween(from.place.name, to.place.name); l != nil {
		return []hop{{0, &from.place.out}, {0, l.way(from.place.name)}, {delay, &to.place.in}, {0, &to.down}}
	}
	return []hop{{0, &from.place.out}, {delay, &to.place.in}, {0, &to.down}}
}
