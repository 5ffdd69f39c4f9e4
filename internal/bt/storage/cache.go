package storage

import (
	"errors"
	"sync"
	"sync/atomic"

	"shoal/internal/bt/metainfo"
)

// window bounds the pages that we leave in the page cache (CachePolicy Drop).
// It remembers by piece what was read or written, oldest first. When there is
// too much, or a piece is released, the piece's pages are written and dropped;
// long before that, writing them is begun, so that dropping seldom waits.
// Waiting is wanted when it happens: it holds a fast network to the disk's pace.
type window struct {
	d     *Disk
	limit int64
	plain atomic.Bool // reads that leave no pages are not to be had here

	mu     sync.Mutex
	spans  map[metainfo.Piece]*span
	oldest *span // single chain, oldest first
	newest *span
	fresh  *span // oldest span whose writing has not begun
	total  int64
}

// span is the part of a piece that may be cached: a range of piece space.
type span struct {
	piece    metainfo.Piece
	from, to int64
	released bool // dropped already; it leaves the chain when it becomes the oldest
	next     *span
}

func (s *span) bytes() int64 { return s.to - s.from }

func newWindow(d *Disk, limit int64) *window {
	return &window{d: d, limit: limit, spans: map[metainfo.Piece]*span{}}
}

// read is a readAt of a file for the range of piece space at off, which leaves no
// pages of ours behind, or notes them.
func (w *window) read(h *handle, p []byte, fileOff, off int64) (int, error) {
	if !w.plain.Load() {
		n, err := readUncached(h.fd, p, fileOff)
		if !errors.Is(err, errors.ErrUnsupported) {
			return n, err
		}
		w.plain.Store(true)
	}
	theirs := w.foreign(h, fileOff, off, int64(len(p)))
	n, err := h.readAt(p, fileOff)
	if !theirs && n > 0 {
		w.note(off, int64(n))
	}
	return n, err
}

// foreign tells that a range is in the page cache and not by our doing, so that
// we must not take it out.
func (w *window) foreign(h *handle, fileOff, off, n int64) bool {
	w.mu.Lock()
	s := w.spans[metainfo.Piece(off/w.d.info.PieceLength)]
	w.mu.Unlock()
	return s == nil && cached(h.fd, fileOff, n)
}

// note records that a range of piece space is in the page cache by our doing,
// and makes room for it.
func (w *window) note(off, n int64) {
	for n > 0 {
		p := metainfo.Piece(off / w.d.info.PieceLength)
		part := min(n, int64(p+1)*w.d.info.PieceLength-off)
		w.add(p, off, part)
		off, n = off+part, n-part
	}
	for {
		begin, drop := w.due()
		if begin == nil && drop == nil {
			return
		}
		if begin != nil {
			w.d.eachFileRange(begin.from, begin.to, startWriteback)
		}
		if drop != nil {
			w.d.eachFileRange(drop.from, drop.to, dropPages)
		}
	}
}

func (w *window) add(p metainfo.Piece, off, n int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if s := w.spans[p]; s != nil {
		before := s.bytes()
		s.from, s.to = min(s.from, off), max(s.to, off+n)
		w.total += s.bytes() - before
		return
	}
	w.total += n
	s := &span{piece: p, from: off, to: off + n}
	w.spans[p] = s
	if w.newest == nil {
		w.oldest = s
	} else {
		w.newest.next = s
	}
	w.newest = s
	if w.fresh == nil {
		w.fresh = s
	}
}

// due takes the next span to begin writing and the next one to drop. Writing
// begins when a quarter of the window is filled.
func (w *window) due() (begin, drop *span) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.fresh != nil && w.fresh.next != nil && w.total > w.limit/4 {
		begin, w.fresh = copyOf(w.fresh), w.fresh.next
	}
	for w.oldest != nil && (w.oldest.released || w.total > w.limit) {
		s := w.oldest
		w.unchain(s)
		if !s.released {
			delete(w.spans, s.piece)
			w.total -= s.bytes()
			return begin, s
		}
	}
	return begin, nil
}

// unchain takes the oldest span out of the chain. The caller holds mu.
func (w *window) unchain(s *span) {
	w.oldest = s.next
	if w.oldest == nil {
		w.newest = nil
	}
	if w.fresh == s {
		w.fresh = s.next
	}
}

func copyOf(s *span) *span {
	c := *s
	return &c
}

// release drops a piece now.
func (w *window) release(p metainfo.Piece) {
	w.mu.Lock()
	s := w.spans[p]
	if s != nil {
		delete(w.spans, p)
		w.total -= s.bytes()
		s.released = true
	}
	w.mu.Unlock()
	if s != nil {
		w.d.eachFileRange(s.from, s.to, dropPages)
	}
}

// Release tells that nobody near needs the piece any more: with CachePolicy
// Drop its pages leave the page cache.
func (d *Disk) Release(p metainfo.Piece) {
	if d.window != nil {
		d.window.release(p)
	}
}

// eachFileRange calls do for every file range behind a range of piece space.
func (d *Disk) eachFileRange(from, to int64, do func(fd int, off, n int64)) {
	off := from
	for s := range d.info.Segments(from, to-from) {
		if s.File >= 0 {
			file, fileOff := d.at(s, off)
			if h, err := d.hold(file, false); err == nil { // gone: nothing is cached
				do(h.val.fd, fileOff, s.Length)
				h.release()
			}
		}
		off += s.Length
	}
}
