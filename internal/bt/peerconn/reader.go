package peerconn

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"time"

	"shoal/internal/bt/wire"
)

// reader unframes what a peer sends. Small frames are parsed in place out of
// one buffer; the body of a large piece message goes straight from the socket
// into a bulk buffer and from there, still warm, to its sink.
type reader struct {
	c        *Conn
	small    []byte
	bulk     *[]byte // not nil: buf is this one
	buf      []byte
	r, w     int
	between  bool // at the start of a frame
	large    bool // large blocks come one behind the other
	index    uint32
	hashes   bool // here, the piece of that index: the second core has enough to do
	deadline time.Time
	flushed  time.Time // when the handler was last told that we may wait
	gulp     gulp
	stage    stage
}

// flushEvery is how long a handler may have to wait to hear that what it
// gathers is all for now, while there is always more to read.
const flushEvery = 4 * time.Millisecond

// pieceHead is what comes before the payload of a piece message: length, id,
// index and begin.
const pieceHead = 13

func (r *reader) init(c *Conn) {
	r.c = c
	r.small = make([]byte, max(leastSmall, cmp.Or(c.o.Budget.Small, smallSize)))
	r.buf = r.small
}

func (r *reader) run(ctx context.Context) error {
	defer r.shrink()
	defer r.c.h.Flush() // what came last counts, whatever has ended the connection
	defer r.stage.stop(r.c.o.Budget)
	for {
		n, id, err := r.header()
		if err != nil {
			return err
		}
		switch {
		case n == 0: // keep-alive
		case id == wire.Piece:
			err = r.piece(ctx, int64(n)-1)
		case n > wire.FrameLimit(id, 0):
			err = protocolError("a %v message of %d bytes", id, n)
		default:
			err = r.message(id, n-1)
		}
		if err != nil {
			return err
		}
	}
}

// header reads a frame's length and, if there is one, its id.
func (r *reader) header() (n int, id wire.ID, err error) {
	r.between = true
	err = r.need(4)
	r.between = false
	if err != nil {
		return 0, 0, err
	}
	n = int(binary.BigEndian.Uint32(r.buf[r.r:]))
	if n == 0 {
		r.r += 4
		return 0, 0, nil
	}
	if err := r.need(5); err != nil {
		return 0, 0, err
	}
	id = wire.ID(r.buf[r.r+4])
	r.r += 5
	return n, id, nil
}

// message hands a whole small frame to the handler.
func (r *reader) message(id wire.ID, n int) error {
	if n <= len(r.small) {
		if err := r.need(n); err != nil {
			return err
		}
		p := r.buf[r.r : r.r+n]
		r.r += n
		return r.c.h.Message(id, p)
	}
	// Bitfields and metadata of big releases: rare, so a buffer of its own,
	// grown with what really arrives and not with what was promised.
	p := make([]byte, 0, min(n, smallSize))
	for len(p) < n {
		if r.r == r.w {
			if err := r.need(1); err != nil {
				return err
			}
		}
		k := min(n-len(p), r.w-r.r)
		p = append(p, r.buf[r.r:r.r+k]...)
		r.r += k
	}
	return r.c.h.Message(id, p)
}

// piece streams the payload of one piece message.
func (r *reader) piece(ctx context.Context, n int64) error {
	if n < 8 {
		return protocolError("a piece message of %d bytes", n)
	}
	if err := r.need(8); err != nil {
		return err
	}
	b := wire.Block{Index: binary.BigEndian.Uint32(r.buf[r.r:]), Begin: binary.BigEndian.Uint32(r.buf[r.r+4:]), Length: uint32(n - 8)}
	r.r += 8
	sink, err := r.c.h.Begin(b)
	if err != nil {
		return err
	}
	if sink == nil {
		if n > wire.MaxFrame {
			return protocolError("an unrequested block of %d bytes", n)
		}
		sink = discard{}
	}
	if b.Index != r.index { // the bytes of a piece are hashed in their order, so by one of the two
		r.index, r.hashes = b.Index, r.stage.busy()
	}
	r.large = n-8 > smallSize
	if r.large {
		return r.stream(ctx, sink, int(b.Begin), int(n-8))
	}
	if err := r.stage.drain(r.c.o.Budget); err != nil {
		sink.Abort()
		return err
	}
	if err := r.body(ctx, sink, int(n-8)); err != nil {
		sink.Abort()
		return err
	}
	return sink.Done()
}

// body delivers the payload of a small block: at once if it fits into the
// buffer.
func (r *reader) body(ctx context.Context, sink Sink, n int) error {
	if n <= len(r.buf)/2 {
		if err := r.need(n); err != nil {
			return err
		}
	}
	for n > 0 {
		if r.r == r.w {
			r.r, r.w = 0, 0
			if _, err := r.read(min(n, len(r.buf)), n); err != nil {
				return err
			}
		}
		k := min(n, r.w-r.r)
		if err := r.deliver(ctx, sink, r.r, k); err != nil {
			return err
		}
		r.r += k
		n -= k
	}
	return nil
}

// stream delivers the payload of a large block in whole buffers that end where
// a multiple of their size does in the piece: so source and destination of
// every copy in the kernel, from the packets and into the file, lie alike to
// their pages. Copies that do not take twice the time.
func (r *reader) stream(ctx context.Context, sink Sink, begin, n int) error {
	r.grow()
	for end := begin + n; begin < end; {
		queued, err := true, error(nil)
		if r.r == r.w {
			at := begin % len(r.buf)
			r.r, r.w = at, at
			queued, err = r.fill(min(len(r.buf), at+end-begin))
		} // else some came with the header
		k := min(end-begin, r.w-r.r) // what came before an error is good too
		begin += k
		last := begin == end
		if queued && r.hand(sink, k, last) {
			continue
		}
		err = errors.Join(r.stage.drain(r.c.o.Budget), r.deliver(ctx, sink, r.r, k), err)
		r.r += k
		switch {
		case err != nil:
			sink.Abort()
			return err
		case last:
			return sink.Done()
		}
	}
	return nil
}

// hand gives the full buffer to the second core and takes an empty one; false
// when that is not possible.
func (r *reader) hand(sink Sink, n int, last bool) bool {
	if r.bulk == nil || n < minGulp || n < r.w-r.r || r.c.o.Down.Limited() || !r.stage.start() {
		return false
	}
	b := r.c.o.Budget.TryGet()
	if b == nil {
		return false
	}
	r.c.received.Add(int64(n))
	k := stroke{sink: sink, buf: r.bulk, from: r.r, to: r.r + n, last: last}
	if r.hashes {
		k.write = sink.Take(k.bytes())
	}
	r.stage.hand(k)
	r.bulk, r.buf = b, *b
	r.r, r.w = 0, 0
	return true
}

// fill reads until the buffer is filled up to stop, or for as long as it may
// take that somebody hears of progress. queued tells whether all of it was
// there already.
func (r *reader) fill(stop int) (queued bool, err error) {
	for waited := time.Duration(0); r.w < stop && waited < longWait; {
		d, err := r.read(stop-r.w, stop-r.w)
		if err != nil {
			return false, err
		}
		waited += d
		queued = waited == 0
	}
	if r.c.sock == nil {
		queued = r.c.queued()
	}
	return queued, nil
}

// deliver hands n bytes at from on, and waits if they were too many for a limit.
func (r *reader) deliver(ctx context.Context, sink Sink, from, n int) error {
	r.c.received.Add(int64(n))
	if err := sink.Take(r.buf[from : from+n])(); err != nil {
		return err
	}
	return r.c.o.Down.Wait(ctx, n)
}

// need makes n unread bytes available in the buffer. n is at most half a
// bulk buffer.
func (r *reader) need(n int) error {
	for r.w-r.r < n {
		if r.r == r.w {
			r.r, r.w = 0, 0
		}
		if len(r.buf)-r.r < n {
			r.w = copy(r.buf, r.buf[r.r:r.w])
			r.r = 0
			if len(r.buf) < n {
				r.grow()
			}
		}
		room := len(r.buf) - r.w
		if r.large { // no more than the header, so that the payload is read to its place
			most := n
			if n <= 5 {
				most = pieceHead
			}
			room = min(room, most-(r.w-r.r))
		}
		before := r.w
		if _, err := r.read(room, n-(r.w-r.r)); err != nil {
			return err
		}
		if r.w-before == room && r.bulk == nil && !r.large {
			r.grow() // more was waiting than the small buffer holds
		}
	}
	return nil
}

// read takes up to limit bytes from the socket and tells how long it waited for
// them. The caller is content with no fewer than want before it can go on, so
// the kernel need not wake us earlier.
func (r *reader) read(limit, want int) (waited time.Duration, err error) {
	now := time.Now()
	if now.Sub(r.flushed) >= flushEvery {
		r.flush(now)
	}
	if d := now.Add(idleLimit); d.Sub(r.deadline) > idleLimit/8 {
		r.deadline = d
		if err := r.c.nc.SetReadDeadline(d); err != nil {
			return 0, err
		}
	}
	sock := r.c.sock
	for sock != nil {
		if err := r.stage.settle(r.c.o.Budget, false); err != nil {
			return 0, err
		}
		n, err := sock.tryRead(r.buf[r.w : r.w+limit])
		if n > 0 || err != nil {
			r.w += n
			return 0, err
		}
		r.flush(now)
		if r.stage.out == 0 {
			break
		}
		if err := r.stage.settle(r.c.o.Budget, true); err != nil {
			return 0, err
		}
	}
	if sock == nil {
		if err := r.rest(now); err != nil {
			return 0, err
		}
	}
	if r.between && r.r == r.w { // idle: give the big buffer back before waiting
		r.shrink()
		limit = min(limit, len(r.buf))
	}
	if sock != nil {
		r.gulp.ask(sock, want)
	}
	n, err := r.c.nc.Read(r.buf[r.w : r.w+limit])
	waited = time.Since(now)
	r.gulp.slept(waited)
	r.w += n
	if n == 0 && err == nil {
		err = io.ErrNoProgress
	}
	if n > 0 {
		err = nil // it comes again
	}
	return waited, err
}

// rest is for a connection that cannot say whether a read will wait: unless the
// kernel has much for us, it may.
func (r *reader) rest(now time.Time) error {
	if r.c.queued() {
		return r.stage.settle(r.c.o.Budget, false)
	}
	err := r.stage.drain(r.c.o.Budget)
	r.flush(now)
	return err
}

func (r *reader) flush(now time.Time) {
	r.c.h.Flush()
	r.flushed = now
}

const (
	longWait  = 100 * time.Millisecond // for bytes of a block
	shortWait = longWait / 8
	minGulp   = 16 << 10
	maxGulp   = BulkSize
)

// grow swaps a bulk buffer in, if the budget has one.
func (r *reader) grow() {
	if r.bulk != nil {
		return
	}
	b := r.c.o.Budget.TryGet()
	if b == nil {
		return
	}
	r.w = copy(*b, r.buf[r.r:r.w])
	r.r = 0
	r.bulk, r.buf = b, *b
}

// shrink gives the bulk buffer back; the buffer must be empty, or the
// connection over.
func (r *reader) shrink() {
	if r.bulk == nil {
		return
	}
	r.c.o.Budget.Put(r.bulk)
	r.bulk, r.buf = nil, r.small
	r.r, r.w, r.large = 0, 0, false
}
