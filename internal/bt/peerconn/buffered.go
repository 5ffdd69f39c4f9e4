package peerconn

import (
	"context"
	"net"
	"time"
)

// headRoom is what a buffer keeps free in front of the data for its header, so
// that both go in one write and the data lies on a page.
const headRoom = 4 << 10

// sendRead is sendRun through a buffer, which bounds what it sends.
func (c *Conn) sendRead(ctx context.Context, head []byte, off, n int64) (int64, error) {
	data, put := c.buffer(int(n))
	defer put()
	room := 0
	if c.sock == nil && 0 < len(head) && len(head) <= headRoom { // what TLS gets in one piece fills its records
		room = headRoom
	}
	p := data[room:min(int64(len(data)), int64(room)+n)]
	if _, err := c.o.Source.ReadAt(p, off); err != nil {
		return 0, errLocal{err}
	}
	if err := c.o.Up.Wait(ctx, len(p)); err != nil {
		return 0, err
	}
	out := p
	if room > 0 {
		out = data[room-len(head) : room+len(p)]
		copy(out, head)
	} else if err := c.send(head, true); err != nil {
		return 0, err
	}
	err := c.send(out, false)
	if c.kernel != nil {
		c.ahead.sent(c.kernel, int64(len(out)), time.Now())
	}
	if c.beneath != nil {
		c.beneath.slow.Store(c.ahead.slow)
	}
	return int64(len(p)), err
}

// gather writes vec: with one system call, or in large strokes where what lies
// below would make a record and a packet of each part.
func (c *Conn) gather(vec net.Buffers) error {
	var b *[]byte
	if c.sock == nil || c.ahead.slow {
		b = c.o.Budget.TryGet()
	}
	if b == nil {
		_, err := vec.WriteTo(c.nc)
		return err
	}
	defer c.o.Budget.Put(b)
	n := 0
	for i, p := range vec {
		for len(p) > 0 {
			k := copy((*b)[n:], p)
			p, n = p[k:], n+k
			if n < len(*b) && (len(p) > 0 || i < len(vec)-1) {
				continue
			}
			if err := c.put((*b)[:n]); err != nil {
				return err
			}
			n = 0
		}
	}
	return nil
}

// buffer returns memory for n bytes, out of the budget when more than a
// stock block is wanted. It is smaller than n, but never than a stock block,
// when n is more than a bulk buffer or the budget is spent.
func (c *Conn) buffer(n int) ([]byte, func()) {
	if n > stockBlock {
		if b := c.o.Budget.TryGet(); b != nil {
			return *b, func() { c.o.Budget.Put(b) }
		}
	}
	b := c.o.Budget.blocks.Get().(*[]byte)
	return *b, func() { c.o.Budget.blocks.Put(b) }
}
