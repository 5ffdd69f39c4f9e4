package peerconn

import (
	"context"
	"encoding/binary"
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
	deadline time.Time
	lowat    int
}

func (r *reader) init(c *Conn) {
	r.c = c
	r.small = make([]byte, smallSize)
	r.buf = r.small
}

func (r *reader) run(ctx context.Context) error {
	defer r.shrink()
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
	if err := r.need(4); err != nil {
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
	if n <= smallSize {
		if err := r.need(n); err != nil {
			return err
		}
		p := r.buf[r.r : r.r+n]
		r.r += n
		return r.c.h.Message(id, p)
	}
	// Bitfields and metadata of big releases: rare, so a buffer of its own,
	// grown with what really arrives and not with what was promised.
	p := make([]byte, 0, smallSize)
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
	if err := r.body(ctx, sink, int(n-8)); err != nil {
		sink.Abort()
		return err
	}
	return sink.Done()
}

// body delivers n payload bytes: whole blocks at once where they fit into the
// buffer, else stroke by stroke as they come.
func (r *reader) body(ctx context.Context, sink Sink, n int) error {
	if n > smallSize {
		r.grow()
	}
	if n <= len(r.buf)/2 {
		if err := r.need(n); err != nil {
			return err
		}
	}
	for n > 0 {
		if r.r == r.w {
			r.r, r.w = 0, 0
			r.c.h.Flush()
			if err := r.read(min(n, len(r.buf)), n); err != nil {
				return err
			}
		}
		k := min(n, r.w-r.r)
		p := r.buf[r.r : r.r+k]
		r.r += k
		n -= k
		r.c.received.Add(int64(k))
		if err := sink.Write(p); err != nil {
			return err
		}
		if err := r.c.o.Down.Wait(ctx, k); err != nil {
			return err
		}
	}
	return nil
}

// need makes n unread bytes available in the buffer. n is at most half a
// bulk buffer.
func (r *reader) need(n int) error {
	for r.w-r.r < n {
		r.c.h.Flush()
		if r.r == r.w {
			r.r, r.w = 0, 0
			if r.bulk != nil && n <= 5 {
				r.shrink() // idle: give the big buffer back before waiting
			}
		}
		if len(r.buf)-r.r < n {
			r.w = copy(r.buf, r.buf[r.r:r.w])
			r.r = 0
			if len(r.buf) < n {
				r.grow()
			}
		}
		full := len(r.buf) - r.w
		before := r.w
		if err := r.read(full, n-(r.w-r.r)); err != nil {
			return err
		}
		if r.w-before == full && r.bulk == nil {
			r.grow() // more was waiting than the small buffer holds
		}
	}
	return nil
}

// read takes up to limit bytes from the socket; the caller is content with no
// fewer than want before it can go on, so the kernel need not wake us earlier.
func (r *reader) read(limit, want int) error {
	r.setLowat(want)
	now := time.Now()
	if d := now.Add(idleLimit); d.Sub(r.deadline) > idleLimit/8 {
		r.deadline = d
		if err := r.c.nc.SetReadDeadline(d); err != nil {
			return err
		}
	}
	n, err := r.c.nc.Read(r.buf[r.w : r.w+limit])
	r.w += n
	if n > 0 {
		return nil
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	return err
}

// setLowat asks the kernel to wake us only when a good gulp is there: at a
// few MB/s the wake-ups, one a packet, cost more than the bytes.
func (r *reader) setLowat(want int) {
	if r.c.tcp == nil {
		return
	}
	if want < 16<<10 {
		want = 1
	} else {
		want = min(want, 128<<10)
	}
	if want == r.lowat || (r.lowat > 1 && want > 1 && want > r.lowat) {
		return
	}
	if rcvLowat(r.c.tcp, want) == nil {
		r.lowat = want
	}
}

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
	r.r, r.w = 0, 0
}

// discard swallows blocks that nobody asked for (any more).
type discard struct{}

func (discard) Write([]byte) error { return nil }
func (discard) Done() error        { return nil }
func (discard) Abort()             {}
