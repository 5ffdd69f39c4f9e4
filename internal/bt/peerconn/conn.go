// Package peerconn runs one peer connection: it frames and unframes messages,
// streams piece payloads to and from storage in large strokes, and keeps
// every queue bounded. It never knows torrents, never picks pieces and never
// decides who is served: those orders come from its Handler.
package peerconn

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"shoal/internal/bt/rate"
	"shoal/internal/bt/wire"
)

const (
	smallSize   = 32 << 10 // read buffer of an idle connection, see Budget.Small
	leastSmall  = 1 << 10  // as small as it may be
	maxControl  = 4 << 20  // bytes of queued control messages before a peer counts as stuck
	maxUploads  = 4096     // queued block requests before a peer counts as hostile
	idleLimit   = 150 * time.Second
	keepAlive   = 100 * time.Second
	stuckLimit  = 45 * time.Second
	maxFrame    = 2 << 20  // any message but a piece
	strokeSize  = 1 << 20  // most bytes of one sendfile call: a cold read blocks a thread that long
	stockBlock  = 16 << 10 // what stock clients ask for (BEP 3)
	batchBlocks = BulkSize / stockBlock
)

// Errors that end a connection.
var (
	ErrIdle     = errors.New("nothing received for too long")
	ErrFlood    = errors.New("too many queued requests")
	ErrStuck    = errors.New("the peer does not read what it is sent")
	ErrProtocol = errors.New("protocol violation")
)

// Sink takes the payload of one piece message, in order. Take hashes p and
// returns how to write it, which is called once: so two cores can share the
// work. Both may run on other goroutines than everything else, but never two
// Takes of one sink at the same time, nor two writes of the connection; p is
// valid until it is written. Done occurs when all of it is written, which may be
// after the next block has begun; Abort instead when the connection dies before.
type Sink interface {
	Take(p []byte) (write func() error)
	Done() error
	Abort()
}

// Handler is told what a connection receives and has sent. All methods but
// Sent are called on the reading goroutine, Sent on the writing one. An error
// ends the connection.
type Handler interface {
	// Message is any message but a piece; payload is valid until it returns.
	Message(id wire.ID, payload []byte) error
	// Begin announces a piece message. A nil sink discards the payload.
	Begin(b wire.Block) (Sink, error)
	// Flush occurs before the connection waits for more bytes, and every few
	// milliseconds while it need not.
	Flush()
	// Sent occurs when uploads have left, or the error of one says why it has
	// not: then the connection still lives and the request should be rejected.
	// Both slices are the handler's to keep.
	Sent(us []Upload, errs []error)
}

// Upload is one block to send. Off is where it lies in piece space.
type Upload struct {
	Block wire.Block
	Off   int64
}

// Source is where uploads come from.
type Source interface {
	ReadAt(p []byte, off int64) (int, error)
	// Extent returns the file that holds off, where, and how many of n bytes
	// lie there in one run; a nil file means that they are zeros, and an
	// errors.ErrUnsupported that ReadAt is the better way to length bytes.
	Extent(off, n int64) (f *os.File, fileOff, length int64, release func(), err error)
}

// Options of a connection. Budget and Source are required.
type Options struct {
	Source   Source
	Budget   *Budget
	Up, Down *rate.Path
	Log      *slog.Logger
}

// Conn is one connection after its handshake.
type Conn struct {
	nc      net.Conn
	sock    *socket  // for the bytes; nil under TLS, in a simulated network, and where there is no sendfile
	kernel  *socket  // for what the kernel is told and tells: sock, or the one below TLS
	beneath *beneath // what TLS writes to, if that was prepared for us
	h       Handler
	o       Options
	in      reader
	wake    chan struct{}

	ahead ahead // this and the next: of the writer
	paced int64 // bytes/s that the kernel was told, 0: no limit

	mu       sync.Mutex
	control  []byte   // encoded messages that wait for the writer
	uploads  []Upload // FIFO
	closeErr error

	received, sent atomic.Int64 // payload bytes of piece messages
	lastSend       atomic.Int64 // unix nanoseconds
}

// New wraps nc, whose handshake is over. Nothing runs before Run, but
// messages may be queued.
func New(nc net.Conn, h Handler, o Options) *Conn {
	c := &Conn{nc: nc, h: h, o: o, ahead: ahead{set: minAhead, slow: true}, wake: make(chan struct{}, 1)}
	c.in.init(c)
	below := nc
	if secure, ok := nc.(interface{ NetConn() net.Conn }); ok {
		below = secure.NetConn()
	}
	switch b := below.(type) {
	case *beneath:
		c.beneath, c.kernel = b, b.sock
	case *net.TCPConn:
		c.kernel = newSocket(b)
	}
	if c.kernel != nil {
		_ = c.kernel.suitPath(c.RTT()) // failing costs speed only
	}
	if below == nc {
		c.sock = c.kernel
	}
	return c
}

// queued tells whether there is much to read that the kernel has already, as
// far as it says.
func (c *Conn) queued() bool { return c.kernel != nil && c.kernel.queued() >= minGulp }

// Run reads and writes until the connection ends or ctx does, and returns why.
func (c *Conn) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { c.Close(context.Cause(ctx)) })
	defer stop()
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.Close(c.write(ctx))
	}()
	c.Close(c.in.run(ctx))
	cancel()
	<-done
	return c.Err()
}

// Close ends the connection for the given reason; the first reason stands.
func (c *Conn) Close(why error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closeErr != nil {
		return
	}
	if why == nil {
		why = net.ErrClosed
	}
	c.closeErr = why
	c.nc.Close()
	c.signal()
}

// Err returns why the connection ended, nil while it lives.
func (c *Conn) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closeErr
}

// RemoteAddr is the peer's address.
func (c *Conn) RemoteAddr() net.Addr { return c.nc.RemoteAddr() }

// Received and Sent count payload bytes of piece messages.
func (c *Conn) Received() int64 { return c.received.Load() }

// Sent counts payload bytes that left in piece messages.
func (c *Conn) Sent() int64 { return c.sent.Load() }

// Send queues control messages: add appends them to what waits already. It
// never blocks; a peer that lets its queue grow without bound is dropped.
func (c *Conn) Send(add func(dst []byte) []byte) {
	c.mu.Lock()
	c.control = add(c.control)
	full := len(c.control) > maxControl
	c.mu.Unlock()
	if full {
		c.Close(ErrStuck)
	}
	c.signal()
}

// Upload queues blocks for sending, in order.
func (c *Conn) Upload(us ...Upload) {
	c.mu.Lock()
	c.uploads = append(c.uploads, us...)
	full := len(c.uploads) > maxUploads
	c.mu.Unlock()
	if full {
		c.Close(ErrFlood)
	}
	c.signal()
}

// CancelUpload takes a queued block back and tells whether it was still
// there: once it is on its way it cannot be stopped.
func (c *Conn) CancelUpload(b wire.Block) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, u := range c.uploads {
		if u.Block == b {
			c.uploads = append(c.uploads[:i], c.uploads[i+1:]...)
			return true
		}
	}
	return false
}

// DropUploads takes all queued blocks back (after a choke).
func (c *Conn) DropUploads() []Upload {
	c.mu.Lock()
	defer c.mu.Unlock()
	us := c.uploads
	c.uploads = nil
	return us
}

func (c *Conn) signal() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

func protocolError(format string, a ...any) error {
	return fmt.Errorf("%w: %s", ErrProtocol, fmt.Sprintf(format, a...))
}
