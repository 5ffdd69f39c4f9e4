package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"io"

	"golang.org/x/sync/errgroup"

	"shoal/internal/bt/metainfo"
	"shoal/internal/bt/peerconn"
	"shoal/internal/bt/wire"
)

// handshakeLimit is how long a peer may take to say which swarm it means.
const handshakeLimit = 10 * time.Second

// The ports that peers traditionally use (BEP 3): tried in turn when nobody
// asked for one, since firewalls know them.
const (
	firstPort = 6881
	lastPort  = 6889
)

// accepter takes a connection whose handshake asked for one of its swarms. It
// owns the connection from then on and sends the reply.
type accepter interface {
	Accept(c net.Conn, hs wire.Handshake)
}

// listener is the one socket of a process on which peers of all its torrents
// arrive. It reads the handshake, which names the swarm, and passes the
// connection on.
type listener struct {
	net.Listener
	more   []net.Listener // on other addresses of this host
	log    *slog.Logger
	dscp   int
	secure Secure // nil: plain

	mu     sync.RWMutex
	routes map[metainfo.InfoHash]accepter
}

// listen opens addr ("host:port", both may be empty). An empty addr takes the
// first free traditional port, or any.
// dscp marks what is sent on accepted connections.
func listen(ctx context.Context, addr string, dscp int, log *slog.Logger) (*listener, error) {
	l := &listener{log: log, dscp: dscp, routes: map[metainfo.InfoHash]accepter{}}
	conf := net.ListenConfig{Control: peerconn.Control}
	var err error
	if addr != "" {
		l.Listener, err = conf.Listen(ctx, "tcp", addr)
		if err != nil {
			return nil, fmt.Errorf("listen for peers on %s: %w", addr, err)
		}
		return l, nil
	}
	for port := firstPort; port <= lastPort; port++ {
		if l.Listener, err = conf.Listen(ctx, "tcp", ":"+strconv.Itoa(port)); err == nil {
			return l, nil
		}
	}
	if l.Listener, err = conf.Listen(ctx, "tcp", ":0"); err != nil {
		return nil, fmt.Errorf("listen for peers on any port: %w", err)
	}
	return l, nil
}

// Close closes all sockets.
func (l *listener) Close() error {
	for _, more := range l.more {
		more.Close()
	}
	return l.Listener.Close()
}

// addrPort is where the listener is bound; the address is unspecified when it
// is bound to all of them.
func (l *listener) addrPort() netip.AddrPort {
	return endOf(l)
}

// route sends the peers of the swarms to a until the returned function is
// called. A swarm that already has an accepter is refused: two torrents with
// one name would fight for its peers.
func (l *listener) route(swarms []metainfo.InfoHash, a accepter) (unroute func(), err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, ih := range swarms {
		if l.routes[ih] != nil {
			return nil, fmt.Errorf("swarm %x is already served by this process", ih)
		}
	}
	for _, ih := range swarms {
		l.routes[ih] = a
	}
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		for _, ih := range swarms {
			delete(l.routes, ih)
		}
	}, nil
}

// accept serves the sockets until ctx ends, and waits for what it started.
func (l *listener) accept(ctx context.Context) error {
	pending := newAdmission()
	g, ctx := errgroup.WithContext(ctx)
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	for _, socket := range append([]net.Listener{l.Listener}, l.more...) {
		g.Go(func() error { return l.acceptAt(ctx, socket, pending) })
	}
	return g.Wait()
}

// take takes the next connection, marked.
func (l *listener) take(socket net.Listener) (net.Conn, error) {
	c, err := socket.Accept()
	if err == nil {
		mark(c, l.dscp)
	}
	return c, err
}

// acceptAt serves one of them.
func (l *listener) acceptAt(ctx context.Context, socket net.Listener, pending *admission) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		c, err := l.take(socket)
		if ctx.Err() != nil {
			if err == nil {
				c.Close()
			}
			return nil
		}
		if err != nil {
			if err := l.pause(ctx, err); err != nil {
				return err
			}
			continue
		}
		host := hostOf(c)
		if !pending.enter(host) {
			l.log.Debug("too many connections without a handshake", "from", host)
			c.Close()
			continue
		}
		wg.Go(func() {
			defer pending.leave(host)
			l.greet(ctx, c)
		})
	}
}

// pause waits after a failed accept: out of file descriptors is a state that
// passes, a closed socket is not.
func (l *listener) pause(ctx context.Context, err error) error {
	if errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("accept peers: %w", err)
	}
	l.log.Warn("cannot accept a connection", "err", err)
	select {
	case <-time.After(100 * time.Millisecond):
	case <-ctx.Done():
	}
	return nil
}

// greet reads the handshake of c and hands c over, or closes it.
func (l *listener) greet(ctx context.Context, c net.Conn) {
	if l.secure != nil {
		from := c.RemoteAddr()
		ctx, cancel := context.WithTimeout(ctx, handshakeLimit)
		defer cancel()
		var err error
		if c, err = l.secure.Server(ctx, peerconn.Beneath(c)); err != nil {
			l.log.Debug("not a member", "from", from, "err", err)
			return
		}
	}
	hs, err := readHandshake(ctx, c)
	if err != nil {
		l.log.Debug("no handshake", "from", c.RemoteAddr(), "err", err)
		c.Close()
		return
	}
	l.mu.RLock()
	a := l.routes[hs.InfoHash]
	l.mu.RUnlock()
	if a == nil {
		l.log.Debug("asked for a swarm that is not served here", "from", c.RemoteAddr(), "swarm", fmt.Sprintf("%x", hs.InfoHash))
		c.Close()
		return
	}
	a.Accept(c, hs)
}

// readHandshake reads the 68 bytes with a deadline, and gives up at the first
// byte of anything else (an encrypted greeting, HTTP, a port scan).
func readHandshake(ctx context.Context, c net.Conn) (wire.Handshake, error) {
	stop := context.AfterFunc(ctx, func() { c.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	if err := c.SetReadDeadline(time.Now().Add(handshakeLimit)); err != nil {
		return wire.Handshake{}, err
	}
	var b [wire.HandshakeLen]byte
	if _, err := io.ReadFull(c, b[:1]); err != nil {
		return wire.Handshake{}, err
	}
	if b[0] != 19 { // the length of "BitTorrent protocol" (BEP 3)
		return wire.Handshake{}, fmt.Errorf("starts with byte %d, not with a handshake", b[0])
	}
	if _, err := io.ReadFull(c, b[1:]); err != nil {
		return wire.Handshake{}, err
	}
	if !stop() {
		return wire.Handshake{}, ctx.Err()
	}
	if err := c.SetReadDeadline(time.Time{}); err != nil {
		return wire.Handshake{}, err
	}
	return wire.ParseHandshake(b[:])
}

// hostOf is the address of the other end, without its port.
func hostOf(c net.Conn) netip.Addr {
	a, ok := c.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	return a.AddrPort().Addr().Unmap()
}
