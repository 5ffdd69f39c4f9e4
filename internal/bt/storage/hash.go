package storage

import (
	"context"
	"errors"
	"sync"

	"golang.org/x/sync/errgroup"

	"shoal/internal/bt/bitfield"
	"shoal/internal/bt/metainfo"
)

const (
	// hashBuffer is what is read at a time: small enough to stay in a core's own
	// cache between the read and the hash.
	hashBuffer = 256 << 10
	// hashRun is what one worker takes at a time: long enough for the disk to
	// read in sequence.
	hashRun = 8 << 20
)

// hashing is one pass of all cores over a set of pieces.
type hashing struct {
	d        *Disk
	pieces   *bitfield.Set
	progress func(done, total int64)
	// result is told about every piece, one at a time. err is why it could not
	// be read, nil if it was.
	result func(p metainfo.Piece, ok bool, err error)

	mu          sync.Mutex
	next        int
	done, total int64
}

// run hashes the pieces. It ends early only when the context does.
func (h *hashing) run(ctx context.Context) error {
	for i := h.pieces.Next(0); i >= 0; i = h.pieces.Next(i + 1) {
		h.total += h.d.info.PieceData(metainfo.Piece(i))
	}
	if h.total == 0 {
		return nil
	}
	g, ctx := errgroup.WithContext(ctx)
	for range h.d.o.Threads {
		g.Go(func() error { return h.work(ctx) })
	}
	return g.Wait()
}

func (h *hashing) work(ctx context.Context) error {
	checker, buf := h.d.hashes.NewChecker(), make([]byte, hashBuffer)
	for {
		first, n := h.take()
		if n == 0 {
			return nil
		}
		h.readAhead(first + n)
		for p := first; p < first+n; p++ {
			if err := context.Cause(ctx); err != nil {
				return err
			}
			if h.d.o.Pace != nil {
				if err := h.d.o.Pace(ctx, int(h.d.info.PieceData(metainfo.Piece(p)))); err != nil {
					return err
				}
			}
			ok, err := h.d.hashPiece(checker, metainfo.Piece(p), buf)
			h.tell(metainfo.Piece(p), ok, err)
		}
	}
}

// take gives a worker the next run of neighbouring pieces.
func (h *hashing) take() (first, n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	first = h.pieces.Next(h.next)
	if first < 0 {
		return 0, 0
	}
	most := int(max(1, hashRun/h.d.info.PieceLength))
	for n = 1; n < most && h.pieces.Has(first+n); n++ {
	}
	h.next = first + n
	return first, n
}

// readAhead asks for what comes behind the run that was just taken, so that the
// disk works while we hash.
func (h *hashing) readAhead(behind int) {
	h.mu.Lock()
	next := h.pieces.Next(behind)
	h.mu.Unlock()
	if next < 0 || h.d.o.Cache == Drop { // the pages would stay
		return
	}
	from := h.d.info.PieceOffset(metainfo.Piece(next))
	h.d.eachFileRange(from, min(from+hashRun, h.d.info.Length()), worthAsking, willRead)
}

func (h *hashing) tell(p metainfo.Piece, ok bool, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.done += h.d.info.PieceData(p)
	h.result(p, ok, err)
	if h.progress != nil {
		h.progress(h.done, h.total)
	}
}

// hashPiece reads and verifies one piece.
func (d *Disk) hashPiece(c *metainfo.Checker, p metainfo.Piece, buf []byte) (bool, error) {
	if d.inHole(p) {
		return d.zero.matches(p), nil
	}
	c.Reset(p)
	start, size := d.info.PieceOffset(p), d.info.PieceData(p)
	for off := int64(0); off < size; off += int64(len(buf)) {
		part := buf[:min(int64(len(buf)), size-off)]
		if _, err := d.ReadAt(part, start+off); err != nil {
			return false, err
		}
		if !c.WriteAt(part, off) {
			return false, errOrder
		}
	}
	return c.OK(), nil
}

var errOrder = errors.New("storage: cannot happen: the checker refused bytes in order")
