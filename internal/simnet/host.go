package simnet

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Host is a machine with one address.
type Host struct {
	net   *Network
	addr  netip.Addr
	place *Place
	up    uplink
	down  line

	mu        sync.Mutex
	listeners map[uint16]*Listener
	conns     map[*Conn]struct{}
	lastPort  uint16
}

// uplink is what a host sends through: one segment at a time, its flows in
// turn. Only the network's goroutine touches it, but for the counter.
type uplink struct {
	rate    int64 // bytes/s; 0: unlimited
	freeAt  time.Duration
	sending *segment
	flows   ring[*flow] // that have something to send and room in their windows
	bytes   atomic.Int64
}

// Addr is the host's address.
func (h *Host) Addr() netip.Addr { return h.addr }

// SetRates changes the rates of a host's link, in bytes a second, 0 for no
// limit. The segment that is being sent is not affected.
func (h *Host) SetRates(up, down int64) {
	h.net.order(func() { h.up.rate, h.down.rate = up, down })
}

// Traffic is how many bytes the host has sent and received, whatever became
// of them.
func (h *Host) Traffic() (sent, received int64) { return h.up.bytes.Load(), h.down.bytes.Load() }

// Kill resets all connections of the host and closes its listeners, as the
// death of its processes would.
func (h *Host) Kill() {
	h.mu.Lock()
	var conns []*Conn
	for c := range h.conns {
		conns = append(conns, c)
	}
	var listeners []*Listener
	for _, l := range h.listeners {
		listeners = append(listeners, l)
	}
	h.mu.Unlock()
	for _, l := range listeners {
		l.Close()
	}
	for _, c := range conns {
		c.reset()
	}
}

// Listen takes connections on a port; 0 chooses one.
func (h *Host) Listen(port uint16) (*Listener, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if port == 0 {
		port = h.freePort()
	}
	addr := netip.AddrPortFrom(h.addr, port)
	if h.listeners[port] != nil {
		return nil, &net.OpError{Op: "listen", Net: "sim", Addr: netAddr(addr), Err: syscall.EADDRINUSE}
	}
	l := newListener(h, addr)
	h.listeners[port] = l
	return l, nil
}

// freePort is called with mu held.
func (h *Host) freePort() uint16 {
	for {
		h.lastPort++
		if h.lastPort < 1024 {
			h.lastPort = 32768
		}
		if h.listeners[h.lastPort] == nil {
			return h.lastPort
		}
	}
}

func (h *Host) listener(port uint16) *Listener {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.listeners[port]
}

// redial is how often a connection attempt to where nothing can get is
// repeated, as TCP repeats its SYN.
const redial = time.Second

// Dial connects to an address, which takes a round trip.
func (h *Host) Dial(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
	c, err := h.dial(ctx, to)
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: "sim", Addr: netAddr(to), Err: err}
	}
	return c, nil
}

func (h *Host) dial(ctx context.Context, to netip.AddrPort) (*Conn, error) {
	peer := h.net.host(to.Addr())
	for peer == nil || !h.net.reachable(h.place, peer.place) {
		if err := wait(ctx, redial); err != nil {
			return nil, err
		}
	}
	delay := h.net.latency(h, peer)
	if err := wait(ctx, delay); err != nil {
		return nil, err
	}
	l := peer.listener(to.Port())
	if l == nil {
		if err := wait(ctx, delay); err != nil {
			return nil, err
		}
		return nil, syscall.ECONNREFUSED
	}
	h.mu.Lock()
	from := netip.AddrPortFrom(h.addr, h.freePort())
	h.mu.Unlock()
	ours, theirs := h.net.pair(h, peer, from, to)
	if !l.offer(theirs) {
		ours.reset()
		return nil, syscall.ECONNREFUSED
	}
	if err := wait(ctx, delay); err != nil {
		ours.Close()
		return nil, err
	}
	return ours, nil
}

// wait lets d pass, or returns why ctx has ended.
func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func netAddr(a netip.AddrPort) net.Addr { return net.TCPAddrFromAddrPort(a) }
