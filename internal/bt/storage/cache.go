package storage

import (
	"errors"
	"sync"
	"sync/atomic"

	"shoal/internal/bt/bitfield"
	"shoal/internal/bt/metainfo"
)

// foliosUpTo is the size in bytes to which kernels join pages of the cache.
// Such a folio leaves the cache only when a whole range that covers it is
// dropped.
const foliosUpTo = 2 << 20

// worthAsking is the size in bytes of a file range for which advice to the kernel
// is worth a system call, or even opening the file.
const worthAsking = 64 << 10

// window bounds the pages that we leave in the page cache (CachePolicy Drop).
// It remembers what was read or written, in spans of 2 MiB or a piece, oldest
// first. When there is too much, or all of a span is released, the span's pages
// are written and dropped; long before that, writing them is begun, so that
// dropping seldom waits. Waiting is wanted when it happens: it holds a fast
// network to the disk's pace.
type window struct {
	d     *Disk
	limit int64
	size  int64       // of a full span, a multiple of the piece length
	plain atomic.Bool // reads that leave no pages are not to be had here

	mu     sync.Mutex
	theirs *bitfield.Set // pieces that were cached before we came; nil: not known yet
	spans  map[int64]*span
	oldest *span // single chain, oldest first
	newest *span
	fresh  *span // oldest span whose writing has not begun
	total  int64

	useless  []*span // released, to be dropped
	dropping bool    // somebody does
	work     sync.WaitGroup
}

// span is a range of piece space of which something may be cached.
type span struct {
	number          int64 // it lies in [number*size, (number+1)*size)
	from, to        int64
	noted, released [2]uint64 // bits of its pieces, of which there are 128 at most
	gone            bool      // dropped; it leaves the chain when it becomes the oldest
	next            *span
}

func (s *span) bytes() int64 { return s.to - s.from }

func newWindow(d *Disk, limit int64) *window {
	size := max(d.info.PieceLength, foliosUpTo/d.info.PieceLength*d.info.PieceLength)
	return &window{d: d, limit: limit, size: size, spans: map[int64]*span{}}
}

// bit is where a piece stands in the bits of its span.
func (w *window) bit(p metainfo.Piece) (word int, mask uint64) {
	n := int64(p) % (w.size / w.d.info.PieceLength)
	return int(n >> 6 & 1), 1 << (n & 63)
}

// read is a readAt of a file for the range of piece space at off, which leaves no
// pages of ours behind where the kernel can do that. It is noted all the same:
// pages that two read at a time do stay.
func (w *window) read(h *handle, p []byte, fileOff, off int64) (n int, err error) {
	err = errors.ErrUnsupported
	if !w.plain.Load() {
		n, err = readUncached(h.fd, p, fileOff)
	}
	if errors.Is(err, errors.ErrUnsupported) {
		w.plain.Store(true)
		n, err = h.readAt(p, fileOff)
	}
	if n > 0 {
		w.note(off, int64(n))
	}
	return n, err
}

// lookAround finds out, once and before we read anything, which pieces somebody
// else keeps in the page cache, so that we leave them there. Files that are too
// small to matter are not asked.
func (w *window) lookAround() {
	w.mu.Lock()
	known := w.theirs != nil
	w.mu.Unlock()
	if known {
		return
	}
	theirs := bitfield.New(w.d.info.NumPieces())
	for p := range theirs.Len() {
		off := w.d.info.PieceOffset(metainfo.Piece(p))
		for s := range w.d.info.Segments(off, w.d.info.PieceData(metainfo.Piece(p))) {
			if s.File >= 0 && s.Length >= worthAsking && w.cached(s, off) {
				theirs.Set(p)
			}
			off += s.Length
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.theirs = theirs
}

func (w *window) cached(s metainfo.Segment, off int64) bool {
	file, fileOff := w.d.at(s, off)
	h, err := w.d.hold(file, false)
	if err != nil {
		return false
	}
	defer h.release()
	return cached(h.val.fd, fileOff, s.Length)
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
			w.d.eachFileRange(begin.from, begin.to, worthAsking, startWriteback)
		}
		if drop != nil {
			w.d.eachFileRange(drop.from, drop.to, 1, dropPages)
		}
	}
}

func (w *window) add(p metainfo.Piece, off, n int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.theirs != nil && w.theirs.Has(int(p)) {
		return
	}
	number := off / w.size
	s := w.spans[number]
	if s == nil {
		s = &span{number: number, from: off, to: off}
		w.chain(s)
	}
	before := s.bytes()
	s.from, s.to = min(s.from, off), max(s.to, off+n)
	w.total += s.bytes() - before
	word, mask := w.bit(p)
	s.noted[word] |= mask
	s.released[word] &^= mask
}

// chain makes s the newest span. The caller holds mu.
func (w *window) chain(s *span) {
	w.spans[s.number] = s
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
		c := *w.fresh
		begin, w.fresh = &c, w.fresh.next
	}
	for w.oldest != nil && (w.oldest.gone || w.total > w.limit) {
		s := w.oldest
		w.unchain(s)
		if !s.gone {
			w.forget(s)
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

// forget takes s out of the account. The caller holds mu.
func (w *window) forget(s *span) {
	delete(w.spans, s.number)
	w.total -= s.bytes()
	s.gone = true
}

// release has the span of a piece dropped, outside of the caller, once all that
// was noted of it is released.
func (w *window) release(p metainfo.Piece) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.spans[w.d.info.PieceOffset(p)/w.size]
	if s == nil {
		return
	}
	word, mask := w.bit(p)
	s.released[word] |= mask
	if s.noted[0]&^s.released[0] != 0 || s.noted[1]&^s.released[1] != 0 {
		return
	}
	w.forget(s)
	w.useless = append(w.useless, s)
	if !w.dropping {
		w.dropping = true
		w.work.Go(w.dropUseless)
	}
}

// dropUseless drops what is released until there is no more of it.
func (w *window) dropUseless() {
	for {
		w.mu.Lock()
		spans := w.useless
		w.useless = nil
		w.dropping = len(spans) > 0
		w.mu.Unlock()
		if len(spans) == 0 {
			return
		}
		for _, s := range spans {
			w.d.eachFileRange(s.from, s.to, 1, dropPages)
		}
	}
}

// Cached lists the pieces that take page cache by our doing, nil with
// CachePolicy Keep.
func (d *Disk) Cached() []metainfo.Piece {
	if d.window == nil {
		return nil
	}
	return d.window.pieces()
}

func (w *window) pieces() (list []metainfo.Piece) {
	w.mu.Lock()
	defer w.mu.Unlock()
	length := w.d.info.PieceLength
	for _, s := range w.spans {
		for off := s.from; off < s.to; off = (off/length + 1) * length {
			p := metainfo.Piece(off / length)
			if word, mask := w.bit(p); s.noted[word]&^s.released[word]&mask != 0 {
				list = append(list, p)
			}
		}
	}
	return list
}

// Release tells that nobody near needs the piece any more: with CachePolicy
// Drop its pages leave the page cache soon, together with those around it.
func (d *Disk) Release(p metainfo.Piece) {
	if d.window != nil {
		d.window.release(p)
	}
}

// eachFileRange calls do for every file range of at least that many bytes behind
// a range of piece space.
func (d *Disk) eachFileRange(from, to, least int64, do func(fd int, off, n int64)) {
	off := from
	for s := range d.info.Segments(from, to-from) {
		if s.File >= 0 && s.Length >= least {
			file, fileOff := d.at(s, off)
			if h, err := d.hold(file, false); err == nil { // gone: nothing is cached
				do(h.val.fd, fileOff, s.Length)
				h.release()
			}
		}
		off += s.Length
	}
}
