package storage

import (
	"context"
	"crypto/sha1"
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
	w := hashWorker{d: h.d, checker: h.d.hashes.NewChecker(), buf: make([]byte, hashBuffer)}
	for {
		first, n := h.take()
		if n == 0 {
			return nil
		}
		h.readAhead(first + n)
		for p, end := metainfo.Piece(first), metainfo.Piece(first+n); p < end; p++ {
			if err := context.Cause(ctx); err != nil {
				return err
			}
			if err := h.pace(ctx, p); err != nil {
				return err
			}
			if p+1 < end && w.twins(p) {
				if err := h.pace(ctx, p+1); err != nil {
					return err
				}
				if both, done := w.hashTwins(p); done {
					h.tell(p, both[0], nil)
					p++
					h.tell(p, both[1], nil)
					continue
				}
			}
			ok, err := w.hashPiece(p)
			h.tell(p, ok, err)
		}
	}
}

// pace asks whether a piece may be read now.
func (h *hashing) pace(ctx context.Context, p metainfo.Piece) error {
	if h.d.o.Pace == nil {
		return nil
	}
	return h.d.o.Pace(ctx, int(h.d.info.PieceData(p)))
}

// take gives a worker the next run of neighbouring pieces.
func (h *hashing) take() (first, n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	first = h.pieces.Next(h.next)
	if first < 0 {
		return 0, 0
	}
	most := int(max(2, hashRun/h.d.info.PieceLength))
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

// hashWorker is what one core hashes with.
type hashWorker struct {
	d       *Disk
	checker *metainfo.Checker
	buf     []byte
	pair    metainfo.SHA1Pair
}

// hashPiece reads and verifies one piece.
func (w *hashWorker) hashPiece(p metainfo.Piece) (bool, error) {
	d, c := w.d, w.checker
	if d.inHole(p) {
		return d.zero.matches(p), nil
	}
	c.Reset(p)
	start, size := d.info.PieceOffset(p), d.info.PieceData(p)
	for off := int64(0); off < size; off += int64(len(w.buf)) {
		part := w.buf[:min(int64(len(w.buf)), size-off)]
		if _, err := d.ReadAt(part, start+off); err != nil {
			return false, err
		}
		if !c.WriteAt(part, off) {
			return false, errOrder
		}
	}
	return c.OK(), nil
}

// twins tells whether p and the piece behind it are faster to verify at once.
func (w *hashWorker) twins(p metainfo.Piece) bool {
	d := w.d
	return !d.hashes.UsesV2() && metainfo.SHA1Pairs() && d.info.PieceLength%sha1.BlockSize == 0 &&
		d.info.PieceSize(p+1) == d.info.PieceLength && !d.inHole(p) && !d.inHole(p+1)
}

// hashTwins reads and verifies p and the piece behind it, padding included. done is false if not
// all could be read: then each has to be looked at alone.
func (w *hashWorker) hashTwins(p metainfo.Piece) (ok [2]bool, done bool) {
	d, length := w.d, w.d.info.PieceLength
	w.pair.Reset()
	for off := int64(0); off < length; off += hashBuffer / 2 {
		size := min(length-off, hashBuffer/2)
		parts := [2][]byte{w.buf[:size], w.buf[size : 2*size]}
		for lane, part := range parts {
			if _, err := d.ReadAt(part, d.info.PieceOffset(p)+int64(lane)*length+off); err != nil {
				return ok, false
			}
		}
		w.pair.Write(parts[0], parts[1])
	}
	a, b := w.pair.Sums()
	return [2]bool{d.hashes.MatchesSHA1(p, a), d.hashes.MatchesSHA1(p+1, b)}, true
}

var errOrder = errors.New("storage: cannot happen: the checker refused bytes in order")
