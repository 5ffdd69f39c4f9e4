package peerconn

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"shoal/internal/bt/wire"
)

// errLocal marks a failure of our own disk: the block cannot be served, but
// the connection is fine.
type errLocal struct{ error }

func (e errLocal) Unwrap() error { return e.error }

// write drains the queues until the connection is closed. Control messages
// go before uploads and in front of the next block's header, so that one
// packet train carries both.
func (c *Conn) write(ctx context.Context) error {
	c.lastSend.Store(time.Now().UnixNano())
	idle := time.AfterFunc(keepAlive/2, c.signal) // to wait for one channel is half of the work of three
	defer idle.Stop()
	var spare []byte
	for woken := false; c.Err() == nil; {
		control, us := c.next(spare)
		spare = nil
		if len(control) == 0 && len(us) == 0 {
			if woken { // by the timer, or for what has gone already
				if time.Now().UnixNano()-c.lastSend.Load() >= int64(keepAlive) {
					c.Send(wire.AppendKeepAlive)
				}
				idle.Reset(keepAlive / 2)
			}
			<-c.wake
			woken = true
			continue
		}
		woken = false
		if err := c.batch(ctx, control, us); err != nil {
			return err
		}
		if cap(control) <= 64<<10 {
			spare = control[:0]
		}
	}
	return c.Err()
}

// next takes the waiting control bytes and the uploads of the next train:
// one large block, or as many small ones as a buffer holds.
func (c *Conn) next(spare []byte) ([]byte, []Upload) {
	c.mu.Lock()
	defer c.mu.Unlock()
	control := c.control
	c.control = spare
	n := 0
	for n < len(c.uploads) && n < batchBlocks && c.uploads[n].small() {
		n++
	}
	if n == 0 {
		n = min(1, len(c.uploads))
	}
	us := append([]Upload(nil), c.uploads[:n]...)
	c.uploads = c.uploads[n:]
	if len(c.uploads) == 0 {
		c.uploads = nil
	}
	return control, us
}

// small tells whether copying a block is cheaper than a sendfile of its own.
func (u Upload) small() bool { return u.Block.Length <= stockBlock }

func (u Upload) end() int64 { return u.Off + int64(u.Block.Length) }

// pace lets the kernel spread the packets of a limited connection evenly. The
// buckets still hold the limit, of which this connection may be one of many; so
// the kernel gets some room above it, for headers and for catching up.
func (c *Conn) pace() {
	r := c.o.Up.Rate()
	if c.kernel == nil || r == c.paced || c.kernel.setPace(r+r/paceRoom) != nil {
		return
	}
	c.paced = r
}

// paceRoom is the part of the rate that pacing leaves free.
const paceRoom = 8

// batch sends control bytes and then blocks.
func (c *Conn) batch(ctx context.Context, control []byte, us []Upload) error {
	c.lastSend.Store(time.Now().UnixNano())
	c.pace()
	if len(us) == 0 {
		return c.send(control, false)
	}
	if us[0].small() {
		return c.sendSmall(ctx, control, us)
	}
	err := c.sendLarge(ctx, control, us[0])
	var local errLocal
	if err != nil && !errors.As(err, &local) {
		return err
	}
	c.told(us, []error{err})
	return nil
}

// told counts and reports uploads.
func (c *Conn) told(us []Upload, errs []error) {
	for i, u := range us {
		if errs[i] == nil {
			c.sent.Add(int64(u.Block.Length))
		}
	}
	c.h.Sent(us, errs)
}

// sendLarge sends one block, header and data in one train. A disk error before
// the header rejects the block; one after it leaves a frame that cannot be
// finished, so the connection must end.
func (c *Conn) sendLarge(ctx context.Context, control []byte, u Upload) error {
	head := wire.AppendPieceHeader(control, u.Block.Index, u.Block.Begin, int(u.Block.Length))
	for off := u.Off; off < u.end(); {
		n, err := c.sendRun(ctx, head, off, u.end()-off)
		var local errLocal
		switch {
		case errors.As(err, &local) && head != nil:
			return errors.Join(c.send(control, false), err)
		case errors.As(err, &local):
			return fmt.Errorf("in the middle of a block: %w", local.error)
		case err != nil:
			return err
		}
		head, off = nil, off+n
	}
	return nil
}

// sendRun sends head, and as many of the n bytes at off as go in one way: with
// sendfile(2) what lies in one big file, through a buffer what lies in many
// small ones.
func (c *Conn) sendRun(ctx context.Context, head []byte, off, n int64) (int64, error) {
	if c.sock == nil || c.ahead.slow {
		return c.sendRead(ctx, head, off, n)
	}
	f, fileOff, length, release, err := c.o.Source.Extent(off, n)
	if errors.Is(err, errors.ErrUnsupported) {
		return c.sendRead(ctx, head, off, length)
	}
	if err != nil {
		return 0, errLocal{err}
	}
	defer release()
	if err := c.send(head, true); err != nil {
		return 0, err
	}
	if f == nil {
		return length, c.zeros(ctx, length)
	}
	return length, c.sendFile(ctx, f, fileOff, length)
}

// sendFile sends n bytes of f from off, in strokes that are bounded because a
// cold read holds a thread.
func (c *Conn) sendFile(ctx context.Context, f *os.File, off, n int64) error {
	for n > 0 {
		stroke := min(n, strokeSize)
		if c.o.Up.Limited() {
			stroke = min(stroke, int64(c.o.Up.Chunk(strokeSize)))
		}
		if err := c.o.Up.Wait(ctx, int(stroke)); err != nil {
			return err
		}
		if err := c.allow(); err != nil {
			return err
		}
		if err := c.sock.sendFile(f, off, stroke); err != nil {
			return err
		}
		off, n = off+stroke, n-stroke
		c.ahead.sent(c.sock, stroke, time.Now())
	}
	return nil
}

const (
	minAhead   = 64 << 10
	maxAhead   = 4 << 20
	aheadTime  = 5 * time.Millisecond
	aheadEvery = 50 * time.Millisecond
)

// What the kernel hands down as one packet (GSO) is up to 64 KiB. A shaper on the
// way (tc-tbf, tc-htb) whose burst is smaller than that and its headers cuts it into
// frames, each of which costs every host and bridge behind it as much as the whole
// packet. And where connections share a line, each packet waits for whole trains of
// the others, and full queues lose whole trains. So slow connections, which are
// those that may be shaped, send short ones; to others the copy this takes (see
// sendRead) would cost more than it saves.
const (
	trainBytes = 20 << 10
	trainRate  = 32 << 20 // bytes/s
)

// ahead keeps as many bytes unsent in the socket as leave in a few
// milliseconds: fewer, and a late wake-up lets the line run dry; more, and
// control messages wait behind them.
type ahead struct {
	since time.Time
	bytes int64
	set   int64
	slow  bool // below trainRate, when it was last measured; at first, too
}

func (a *ahead) sent(s *socket, n int64, now time.Time) {
	if a.since.IsZero() {
		a.since = now
	}
	a.bytes += n
	d := now.Sub(a.since)
	if d < aheadEvery {
		return
	}
	rate := float64(a.bytes) / d.Seconds()
	a.slow = rate < trainRate
	want := int64(rate * aheadTime.Seconds())
	want = min(max(want, minAhead), maxAhead)
	if (want > 2*a.set || want < a.set/2) && s.setWriteLow(int(want)) == nil {
		a.set = want
	}
	a.since, a.bytes = now, 0
}

// sendSmall sends small blocks, as many at a time as there is memory for.
func (c *Conn) sendSmall(ctx context.Context, control []byte, us []Upload) error {
	total := 0
	for _, u := range us {
		total += int(u.Block.Length)
	}
	data, put := c.buffer(total)
	defer put()
	for len(us) > 0 {
		n, fill := 0, 0
		for n < len(us) && fill+int(us[n].Block.Length) <= len(data) {
			fill += int(us[n].Block.Length)
			n++
		}
		if err := c.sendBlocks(ctx, control, us[:n], data[:fill]); err != nil {
			return err
		}
		control, us = nil, us[n:]
	}
	return nil
}

// sendBlocks reads blocks into data, which they fill, neighbours at once, and
// sends them, headers between, with one gathering write.
func (c *Conn) sendBlocks(ctx context.Context, control []byte, us []Upload, data []byte) error {
	total := len(data)
	errs := c.readRuns(data, us)
	if err := c.o.Up.Wait(ctx, total); err != nil {
		return err
	}
	heads := make([]byte, 0, 13*len(us))
	vec := make(net.Buffers, 0, 2*len(us)+1)
	if len(control) > 0 {
		vec = append(vec, control)
	}
	for i, u := range us {
		if errs[i] == nil {
			at := len(heads)
			heads = wire.AppendPieceHeader(heads, u.Block.Index, u.Block.Begin, int(u.Block.Length))
			vec = append(vec, heads[at:], data[:u.Block.Length])
		}
		data = data[u.Block.Length:]
	}
	if err := c.allow(); err != nil {
		return err
	}
	if err := c.gather(vec); err != nil {
		return err
	}
	c.told(us, errs)
	return nil
}

// readRuns reads blocks into data, one behind the other; those that lie behind
// one another on disk too are one read. It returns an error for each block.
func (c *Conn) readRuns(data []byte, us []Upload) []error {
	errs := make([]error, len(us))
	for i := 0; i < len(us); {
		j, n := i+1, int(us[i].Block.Length)
		for ; j < len(us) && us[j].Off == us[j-1].end(); j++ {
			n += int(us[j].Block.Length)
		}
		if _, err := c.o.Source.ReadAt(data[:n], us[i].Off); err != nil {
			for k := i; k < j; k++ {
				errs[k] = err
			}
		}
		data, i = data[n:], j
	}
	return errs
}

// zeros sends padding.
func (c *Conn) zeros(ctx context.Context, n int64) error {
	var block [4096]byte
	for n > 0 {
		k := min(n, int64(len(block)))
		if err := c.o.Up.Wait(ctx, int(k)); err != nil {
			return err
		}
		if err := c.send(block[:k], false); err != nil {
			return err
		}
		n -= k
	}
	return nil
}

// allow renews the deadline of the next write.
func (c *Conn) allow() error {
	return c.nc.SetWriteDeadline(time.Now().Add(stuckLimit))
}

// send writes p; more says that data follows at once, so that the kernel
// does not send a packet for a header alone.
func (c *Conn) send(p []byte, more bool) error {
	if len(p) == 0 {
		return nil
	}
	if err := c.allow(); err != nil {
		return err
	}
	if more && c.sock != nil {
		return c.sock.sendMore(p)
	}
	return c.put(p)
}

// put sends p, in trains where the connection is slow.
func (c *Conn) put(p []byte) error {
	for c.sock != nil && c.ahead.slow && len(p) > shortWrite {
		n := min(len(p), trainBytes)
		if err := c.sock.sendTrain(p[:n]); err != nil {
			return err
		}
		p = p[n:]
	}
	if len(p) == 0 {
		return nil
	}
	_, err := c.nc.Write(p)
	return err
}

// shortWrite is what may share a packet with what comes next.
const shortWrite = 4 << 10
