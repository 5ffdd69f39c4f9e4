package simnet

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"time"
)

// Options of a network. The zero value is a good network inside of one data
// centre.
type Options struct {
	// Segment is the most bytes that a connection sends at a time; 0: 17 KiB,
	// a stock block with its header and some control messages.
	Segment int
	// Window is the most bytes of one connection and direction that are on
	// their way or not yet read; 0: 256 KiB.
	Window int
	// Unsent is how many bytes may wait in a socket before a write to it
	// blocks; the last segment may go beyond. 0: 16 KiB. It is what
	// TCP_NOTSENT_LOWAT is on Linux.
	Unsent int
	// FIFO has small segments (up to 512 bytes) wait in the queue of a line
	// behind all others, as in a plain router with a deep buffer. Without it
	// they overtake the bulk of other connections, as with fair queueing, or
	// where buffers are shallow.
	FIFO bool
	// Resolution is the grain of time; 0: 250 µs.
	Resolution time.Duration
	// WAN is the rate of each place's link to the others in bytes a second, each
	// way, until its SetRates; 0 is no limit.
	WAN int64
	// Latency is the time one way between two places; nil: 100 µs.
	Latency func(from, to string) time.Duration
}

const (
	defaultSegment    = 17 << 10
	defaultWindow     = 256 << 10
	defaultUnsent     = 16 << 10
	defaultResolution = 250 * time.Microsecond
	defaultLatency    = 100 * time.Microsecond
	never             = time.Duration(1<<63 - 1)
)

// Network is a set of hosts. Its methods and those of its hosts and
// connections may be called from any goroutine.
type Network struct {
	o     Options
	start time.Time
	timer *time.Timer // wakes Run
	segs  segments
	wheel *wheel // of Run alone

	mu     sync.Mutex
	armed  time.Duration // when the timer fires, since start
	busy   bool          // Run is at work and will look at marked when it is done
	marked []*flow       // have something to send
	orders []func()      // changes to what only Run may touch
	hosts  map[netip.Addr]*Host
	places map[string]*Place
	links  map[[2]string]*Link
}

// New returns a network without hosts.
func New(o Options) *Network {
	if o.Segment <= 0 {
		o.Segment = defaultSegment
	}
	if o.Window <= 0 {
		o.Window = defaultWindow
	}
	if o.Unsent <= 0 {
		o.Unsent = defaultUnsent
	}
	if o.Resolution <= 0 {
		o.Resolution = defaultResolution
	}
	if o.Latency == nil {
		o.Latency = func(_, _ string) time.Duration { return defaultLatency }
	}
	n := &Network{
		o: o, start: time.Now(), timer: time.NewTimer(time.Hour), armed: never, wheel: newWheel(o.Resolution),
		hosts: map[netip.Addr]*Host{}, places: map[string]*Place{}, links: map[[2]string]*Link{},
	}
	n.segs.large = o.Segment
	return n
}

// AddHost connects a host. Up and down are bytes a second, 0 for no limit.
func (n *Network) AddHost(addr netip.Addr, place string, up, down int64) (*Host, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !addr.IsValid() || n.hosts[addr] != nil {
		return nil, fmt.Errorf("simnet: the address %v is not valid or taken", addr)
	}
	h := &Host{
		net: n, addr: addr, place: n.placeLocked(place), listeners: map[uint16]*Listener{},
		conns: map[*Conn]struct{}{}, lastPort: 32767,
	}
	h.up.rate, h.down.rate = up, down
	n.hosts[addr] = h
	return h, nil
}

func (n *Network) host(addr netip.Addr) *Host {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.hosts[addr]
}

// Run moves the bytes until ctx ends.
func (n *Network) Run(ctx context.Context) error {
	defer n.timer.Stop()
	for {
		select {
		case <-n.timer.C:
			n.step()
		case <-ctx.Done():
			return nil
		}
	}
}

// step handles all that is due.
func (n *Network) step() {
	n.mu.Lock()
	n.busy, n.armed = true, never
	n.mu.Unlock()
	for {
		now := time.Since(n.start)
		n.takeIn()
		n.wheel.run(int64(now/n.o.Resolution), n.handle)
		if n.rest() {
			return
		}
	}
}

// takeIn does what was ordered and lets marked flows queue for their uplinks.
func (n *Network) takeIn() {
	n.mu.Lock()
	marked, orders := n.marked, n.orders
	n.marked, n.orders = nil, nil
	n.mu.Unlock()
	for _, order := range orders {
		order()
	}
	for _, f := range marked {
		if stamp, ok := f.enqueue(); ok {
			up := &f.from.up
			up.flows.push(f)
			if up.sending == nil {
				n.transmit(f.from, max(stamp, up.freeAt))
			}
		}
	}
}

// rest sets the timer; false when there is more to do at once.
func (n *Network) rest() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	now := time.Since(n.start)
	wake := never
	if tick, ok := n.wheel.next(); ok {
		wake = time.Duration(tick) * n.o.Resolution
	}
	if len(n.marked)+len(n.orders) > 0 {
		wake = min(wake, n.boundary(now))
	}
	if wake <= now {
		return false
	}
	n.busy = false
	if wake != never {
		n.arm(wake, now)
	}
	return true
}

// boundary is the first multiple of the resolution after now. Never now
// itself: in fake time that makes Run wait until everybody else has finished
// with this moment.
func (n *Network) boundary(now time.Duration) time.Duration {
	return (now/n.o.Resolution + 1) * n.o.Resolution
}

// arm is called with mu held.
func (n *Network) arm(wake, now time.Duration) {
	if wake < n.armed {
		n.armed = wake
		n.timer.Reset(wake - now)
	}
}

// mark notes that a flow may have become ready to send.
func (n *Network) mark(f *flow) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.marked = append(n.marked, f)
	n.nudge()
}

// order has Run do something soon.
func (n *Network) order(do func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.orders = append(n.orders, do)
	n.nudge()
}

func (n *Network) nudge() {
	if !n.busy {
		now := time.Since(n.start)
		n.arm(n.boundary(now), now)
	}
}

// transmit lets the next flow of a host have the uplink, from the time at.
func (n *Network) transmit(h *Host, at time.Duration) {
	up := &h.up
	for up.sending == nil && up.flows.len() > 0 {
		f := up.flows.pop()
		seg, more := f.take()
		if more {
			up.flows.push(f)
		}
		if seg == nil {
			continue
		}
		up.sending = seg
		seg.rate = up.rate
		up.freeAt = at + took(len(seg.b), up.rate)
		n.wheel.add(event{at: up.freeAt, host: h})
	}
}

func (n *Network) handle(e event) {
	if e.seg != nil {
		n.arrived(e.seg, e.at)
		return
	}
	seg := e.host.up.sending
	e.host.up.sending = nil
	e.host.up.bytes.Add(int64(len(seg.b)))
	n.transmit(e.host, e.at)
	n.wheel.add(event{at: e.at + seg.flow.path[0].delay, seg: seg})
}

// arrived occurs when the last byte of a segment has come to its next line,
// or to its end.
func (n *Network) arrived(seg *segment, at time.Duration) {
	path := seg.flow.path
	if seg.hop == len(path) {
		seg.flow.deliver(seg)
		return
	}
	l := path[seg.hop].line
	if l.paused {
		l.held = append(l.held, seg)
		return
	}
	out := l.pass(at, len(seg.b), seg.rate)
	if len(seg.b) <= smallSegment && !n.o.FIFO {
		out = at
	}
	if l.rate > 0 {
		seg.rate = l.rate
	}
	// Nothing overtakes its own connection's bytes.
	out = max(out, seg.flow.passed[seg.hop])
	seg.flow.passed[seg.hop] = out
	seg.hop++
	if seg.hop < len(path) {
		out += path[seg.hop].delay
	}
	// Even if it is there at once: the order of a connection's segments is the
	// order in which their events are added.
	n.wheel.add(event{at: out, seg: seg})
}
