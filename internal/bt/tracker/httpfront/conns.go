package httpfront

import (
	"net"
	"net/netip"
	"sync"
)

// connBound bounds the open connections of all its listeners together, and those of one address. At the bound
// of all it stops accepting, so that clients wait in the system's queue; who has too many himself is hung up on.
type connBound struct {
	slots   chan struct{}
	each    int
	exempt  func(netip.Addr) bool
	stopped chan struct{}

	mu   sync.Mutex
	open map[netip.Addr]int
}

func newConnBound(all, each int, exempt func(netip.Addr) bool) *connBound {
	return &connBound{slots: make(chan struct{}, all), each: each, exempt: exempt,
		stopped: make(chan struct{}), open: make(map[netip.Addr]int)}
}

// stop wakes a listener that waits for a free slot. Call it once.
func (b *connBound) stop() { close(b.stopped) }

func (b *connBound) listen(l net.Listener) net.Listener { return &boundListener{l, b} }

type boundListener struct {
	net.Listener
	bound *connBound
}

// Accept gives the next connection that is within the bounds.
func (l *boundListener) Accept() (net.Conn, error) {
	for {
		select {
		case l.bound.slots <- struct{}{}:
		case <-l.bound.stopped:
			return nil, net.ErrClosed
		}
		c, err := l.Listener.Accept()
		if err != nil {
			<-l.bound.slots
			return nil, err
		}
		from := remote(c)
		if l.bound.enter(from) {
			return &boundConn{Conn: c, from: from, bound: l.bound}, nil
		}
		_ = c.Close()
		<-l.bound.slots
	}
}

func remote(c net.Conn) netip.Addr {
	at, ok := c.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	return at.AddrPort().Addr().Unmap().WithZone("")
}

func (b *connBound) enter(a netip.Addr) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.open[a] >= b.each && !a.IsLoopback() && !b.exempt(a) {
		return false
	}
	b.open[a]++
	return true
}

func (b *connBound) leave(a netip.Addr) {
	b.mu.Lock()
	if b.open[a]--; b.open[a] <= 0 {
		delete(b.open, a)
	}
	b.mu.Unlock()
	<-b.slots
}

// boundConn gives its slot back when it is closed.
type boundConn struct {
	net.Conn
	from  netip.Addr
	bound *connBound
	once  sync.Once
}

// Close closes the connection.
func (c *boundConn) Close() error {
	err := c.Conn.Close()
	c.once.Do(func() { c.bound.leave(c.from) })
	return err
}
