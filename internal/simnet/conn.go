package simnet

import (
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"
)

// Conn is one end of a connection. It implements net.Conn; addresses are
// *net.TCPAddr.
type Conn struct {
	host        *Host
	local, peer netip.AddrPort
	in, out     *flow
}

var _ net.Conn = (*Conn)(nil)

// pair connects two hosts.
func (n *Network) pair(a, b *Host, aAddr, bAddr netip.AddrPort) (*Conn, *Conn) {
	ab, ba := newFlow(n, a, b), newFlow(n, b, a)
	ca := &Conn{host: a, local: aAddr, peer: bAddr, in: ba, out: ab}
	cb := &Conn{host: b, local: bAddr, peer: aAddr, in: ab, out: ba}
	for _, c := range []*Conn{ca, cb} {
		c.host.mu.Lock()
		c.host.conns[c] = struct{}{}
		c.host.mu.Unlock()
	}
	return ca, cb
}

// Read implements net.Conn.
func (c *Conn) Read(p []byte) (int, error) {
	n, err := c.in.readInto(p)
	return n, c.wrap("read", err)
}

// Write implements net.Conn.
func (c *Conn) Write(p []byte) (int, error) {
	n, err := c.out.write(p)
	return n, c.wrap("write", err)
}

// wrap leaves io.EOF as it is, as package net does.
func (c *Conn) wrap(op string, err error) error {
	switch err {
	case errTimeout, net.ErrClosed, syscall.ECONNRESET:
		return &net.OpError{Op: op, Net: "sim", Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: err}
	}
	return err
}

// Close sends what was written and ends the connection; the other side can
// read what was sent, and cannot write any more.
func (c *Conn) Close() error {
	c.forget()
	c.out.closeWrite()
	c.in.closeRead()
	return nil
}

// reset ends the connection at once, at both ends.
func (c *Conn) reset() {
	c.forget()
	c.out.fail(syscall.ECONNRESET)
	c.in.fail(syscall.ECONNRESET)
}

func (c *Conn) forget() {
	c.host.mu.Lock()
	defer c.host.mu.Unlock()
	delete(c.host.conns, c)
}

// LocalAddr implements net.Conn.
func (c *Conn) LocalAddr() net.Addr { return netAddr(c.local) }

// RemoteAddr implements net.Conn.
func (c *Conn) RemoteAddr() net.Addr { return netAddr(c.peer) }

// SetDeadline implements net.Conn.
func (c *Conn) SetDeadline(t time.Time) error {
	_ = c.SetReadDeadline(t)
	return c.SetWriteDeadline(t)
}

// SetReadDeadline implements net.Conn.
func (c *Conn) SetReadDeadline(t time.Time) error {
	c.in.mu.Lock()
	defer c.in.mu.Unlock()
	c.in.reader.set(t)
	return nil
}

// SetWriteDeadline implements net.Conn.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	c.out.writer.set(t)
	return nil
}

// backlog is how many connections wait for Accept before more are refused.
const backlog = 1024

// Listener implements net.Listener.
type Listener struct {
	host *Host
	addr netip.AddrPort

	mu      sync.Mutex
	some    sync.Cond
	waiting ring[*Conn]
	closed  bool
}

func newListener(h *Host, addr netip.AddrPort) *Listener {
	l := &Listener{host: h, addr: addr}
	l.some.L = &l.mu
	return l
}

// offer queues a connection for Accept; false when it cannot be taken.
func (l *Listener) offer(c *Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || l.waiting.len() >= backlog {
		return false
	}
	l.waiting.push(c)
	l.some.Signal()
	return true
}

// Accept implements net.Listener.
func (l *Listener) Accept() (net.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.waiting.len() == 0 {
		if l.closed {
			return nil, &net.OpError{Op: "accept", Net: "sim", Addr: l.Addr(), Err: net.ErrClosed}
		}
		l.some.Wait()
	}
	return l.waiting.pop(), nil
}

// Close implements net.Listener; connections that nobody has accepted are reset.
func (l *Listener) Close() error {
	l.host.mu.Lock()
	if l.host.listeners[l.addr.Port()] == l {
		delete(l.host.listeners, l.addr.Port())
	}
	l.host.mu.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	for l.waiting.len() > 0 {
		l.waiting.pop().reset()
	}
	l.some.Broadcast()
	return nil
}

// Addr implements net.Listener.
func (l *Listener) Addr() net.Addr { return netAddr(l.addr) }
