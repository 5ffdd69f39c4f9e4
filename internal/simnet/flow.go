package simnet

import (
	"io"
	"net"
	"sync"
	"syscall"
	"time"
)

// segment is a run of bytes on their way.
type segment struct {
	b    []byte
	flow *flow
	rate int64 // of the line it came through last
	hop  int   // next part of the flow's path
	fin  bool  // nothing comes after it
}

// segments makes segments out of memory that was used before. Most are
// either full or a few control messages, so there are two sizes.
type segments struct {
	large        int
	bigs, smalls sync.Pool
}

const smallSegment = 512

func (p *segments) get(n int) *segment {
	pool, size := &p.bigs, p.large
	if n <= smallSegment && p.large > smallSegment {
		pool, size = &p.smalls, smallSegment
	}
	if s, ok := pool.Get().(*segment); ok {
		return s
	}
	return &segment{b: make([]byte, 0, size)}
}

func (p *segments) put(s *segment) {
	b := s.b[:0]
	*s = segment{b: b}
	if cap(b) >= p.large {
		p.bigs.Put(s)
	} else {
		p.smalls.Put(s)
	}
}

// flow is one direction of a connection.
type flow struct {
	net  *Network
	from *Host
	path []hop
	// passed is when the last segment was through each line of the path. Only
	// the network's goroutine touches it.
	passed []time.Duration

	mu      sync.Mutex
	unsent  ring[*segment]
	waiting int // bytes in unsent
	flying  int // bytes that have left unsent and were not read
	ready   ring[*segment]
	read    int           // bytes of the first ready segment that were read
	stamp   time.Duration // when it was marked
	marked  bool          // the network knows that it may be ready to send
	queued  bool          // it waits for the uplink
	fin     bool          // nothing will be written any more
	finSent bool
	eof     bool  // all has arrived
	err     error // the connection was reset
	gone    bool  // nobody will read any more

	reader, writer gate
}

func newFlow(n *Network, from, to *Host) *flow {
	f := &flow{net: n, from: from, path: n.path(from, to)}
	f.passed = make([]time.Duration, len(f.path))
	f.reader.init(&f.mu)
	f.writer.init(&f.mu)
	return f
}

// write blocks until all of p is on its way or in the socket's buffer.
func (f *flow) write(p []byte) (n int, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for {
		switch {
		case f.fin:
			return n, net.ErrClosed
		case f.err != nil:
			return n, f.err
		case f.gone:
			return n, syscall.ECONNRESET
		case f.writer.expired():
			return n, errTimeout
		}
		if f.waiting < f.net.o.Unsent {
			k := min(len(p)-n, f.net.o.Segment)
			f.append(p[n : n+k])
			n += k
			f.markLocked()
		}
		if n == len(p) {
			return n, nil
		}
		f.writer.wait()
	}
}

// append puts bytes into the last segment that was not sent, and new ones.
func (f *flow) append(p []byte) {
	f.waiting += len(p)
	for len(p) > 0 {
		var s *segment
		if n := f.unsent.len(); n > 0 {
			s = *f.unsent.at(n - 1)
			if len(s.b)+len(p) > cap(s.b) && cap(s.b) < f.net.o.Segment {
				big := f.net.segs.get(f.net.o.Segment)
				big.b, big.flow = append(big.b, s.b...), f
				*f.unsent.at(n - 1) = big
				f.net.segs.put(s)
				s = big
			}
		}
		if s == nil || len(s.b) == cap(s.b) {
			s = f.net.segs.get(len(p))
			s.flow = f
			f.unsent.push(s)
		}
		k := min(len(p), cap(s.b)-len(s.b))
		s.b = append(s.b, p[:k]...)
		p = p[k:]
	}
}

func (f *flow) markLocked() {
	if f.marked || f.queued {
		return
	}
	f.marked = true
	f.stamp = time.Since(f.net.start)
	f.net.mark(f)
}

// sendable tells whether the uplink may have something now.
func (f *flow) sendable() bool {
	switch {
	case f.gone || f.err != nil:
		return false
	case f.unsent.len() > 0:
		return f.flying < f.net.o.Window
	}
	return f.fin && !f.finSent
}

// enqueue takes the mark off; ok tells that the flow joins the uplink's queue,
// as of stamp.
func (f *flow) enqueue() (stamp time.Duration, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.marked = false
	if f.queued || !f.sendable() {
		return 0, false
	}
	f.queued = true
	return f.stamp, true
}

// take gives the uplink the next segment; more keeps the flow in its queue.
func (f *flow) take() (seg *segment, more bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.sendable() {
		f.queued = false
		return nil, false
	}
	if f.unsent.len() > 0 {
		seg = f.unsent.pop()
		f.waiting -= len(seg.b)
		f.flying += len(seg.b)
		f.writer.wake()
	} else {
		seg = f.net.segs.get(0)
		seg.flow = f
	}
	if f.fin && f.unsent.len() == 0 {
		seg.fin, f.finSent = true, true
	}
	f.queued = f.sendable()
	return seg, f.queued
}

// deliver puts a segment where it can be read.
func (f *flow) deliver(s *segment) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if s.fin {
		f.eof = true
	}
	if f.gone || f.err != nil || len(s.b) == 0 {
		f.net.segs.put(s)
	} else {
		f.ready.push(s)
	}
	f.reader.wake()
}

// readInto blocks until there is something to read.
func (f *flow) readInto(p []byte) (n int, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for f.ready.len() == 0 {
		switch {
		case f.gone:
			return 0, net.ErrClosed
		case f.err != nil:
			return 0, f.err
		case f.eof:
			return 0, io.EOF
		case f.reader.expired():
			return 0, errTimeout
		case len(p) == 0:
			return 0, nil
		}
		f.reader.wait()
	}
	if f.reader.expired() {
		return 0, errTimeout
	}
	for n < len(p) && f.ready.len() > 0 {
		s := *f.ready.at(0)
		k := copy(p[n:], s.b[f.read:])
		n += k
		if f.read += k; f.read == len(s.b) {
			f.ready.pop()
			f.read = 0
			f.net.segs.put(s)
		}
	}
	f.flying -= n
	if f.sendable() {
		f.markLocked()
	}
	return n, nil
}

// closeWrite ends the flow behind what was written.
func (f *flow) closeWrite() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.fin {
		f.fin = true
		f.writer.stop()
		if f.sendable() {
			f.markLocked()
		}
	}
}

// closeRead throws away what comes and has come.
func (f *flow) closeRead() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.gone = true
	f.discard()
}

// fail ends the flow at both ends.
func (f *flow) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err == nil {
		f.err = err
	}
	f.discard()
}

func (f *flow) discard() {
	for f.unsent.len() > 0 {
		f.net.segs.put(f.unsent.pop())
	}
	for f.ready.len() > 0 {
		f.net.segs.put(f.ready.pop())
	}
	f.waiting, f.read = 0, 0
	f.reader.stop()
	f.writer.wake()
}
