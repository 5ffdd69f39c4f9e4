package build

import (
	"crypto/sha1"

	"shoal/internal/bt/metainfo"
)

// twins is what a worker needs to hash two pieces at once.
type twins struct {
	sha1   metainfo.SHA1Pair
	leaves [2][]byte
}

// twoPieces hashes p and its neighbour at once where that is faster: where there are SHA-1s to
// make, and both pieces lie in one file. n is the number of pieces it has done: 2 or none.
func (w *worker) twoPieces(p metainfo.Piece, jobEnd int) (n int, err error) {
	i, t := w.h.info, &w.twins
	if !w.h.v1 || !metainfo.SHA1Pairs() || int(p)+1 >= jobEnd || i.PieceLength%sha1.BlockSize != 0 {
		return 0, nil
	}
	start := i.PieceOffset(p)
	both := min(2*i.PieceLength, i.Length()-start)
	var seg metainfo.Segment
	for seg = range i.Segments(start, both) {
		break
	}
	if seg.File < 0 || seg.Length != 2*i.PieceLength {
		return 0, nil
	}
	if err := w.open(seg, int64(jobEnd)*i.PieceLength); err != nil {
		return 0, err
	}
	t.sha1.Reset()
	t.leaves[0], t.leaves[1] = t.leaves[0][:0], t.leaves[1][:0]
	for off := int64(0); off < i.PieceLength; off += bufSize / 2 {
		size := min(i.PieceLength-off, bufSize/2)
		parts := [2][]byte{w.buf[:size], w.buf[size : 2*size]}
		for lane, part := range parts {
			if _, err := w.file.ReadAt(part, seg.FileOffset+int64(lane)*i.PieceLength+off); err != nil {
				return 0, w.readError(err)
			}
		}
		w.h.cores <- struct{}{}
		t.hash(parts, w.h.v2)
		<-w.h.cores
		w.h.done.Add(2 * size)
	}
	a, b := t.sha1.Sums()
	copy(w.h.draft.Pieces[sha1.Size*int(p):], a[:])
	copy(w.h.draft.Pieces[sha1.Size*int(p+1):], b[:])
	if w.h.v2 {
		w.putRoot(p, seg.File, t.leaves[0])
		w.putRoot(p+1, seg.File, t.leaves[1])
	}
	return 2, nil
}

func (t *twins) hash(parts [2][]byte, v2 bool) {
	t.sha1.Write(parts[0], parts[1])
	if !v2 {
		return
	}
	for lane, part := range parts {
		t.leaves[lane] = metainfo.AppendLeaves(t.leaves[lane], part)
	}
}
