package build

import (
	"context"
	"crypto/sha1"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"shoal/internal/bt/metainfo"
)

const (
	bufSize      = 256 << 10 // bytes read and hashed at a time: stays in the core's cache
	jobBytes     = 4 << 20   // of piece space that a worker takes at a time
	adviseFrom   = 1 << 20   // bytes of a file in a job from which the kernel is asked to read ahead
	progressStep = 100 * time.Millisecond
	hashSize     = 32
)

// hasher hashes one tree. Its fields are shared by the workers, which write to
// different parts of the results.
type hasher struct {
	tree   *tree
	info   *metainfo.Info
	draft  *metainfo.Draft
	v1, v2 bool
	layers map[int][]byte // of the files longer than a piece, by index
	cores  chan struct{}  // a token for each core that may hash

	jobPieces int
	next      atomic.Int64 // job to take
	done      atomic.Int64 // bytes hashed
}

// hashTree fills in the draft's hashes and returns the v2 piece layers. Pieces are hashed in parallel, in jobs
// of neighbours, so that one huge file and many small ones go equally fast.
// There are more workers than cores may hash at once: while some hash, others
// wait for the disk.
func hashTree(ctx context.Context, t *tree, info *metainfo.Info, draft *metainfo.Draft, o Options) (metainfo.Layers, error) {
	h := &hasher{
		tree: t, info: info, draft: draft, v1: info.HasV1(), v2: info.HasV2(),
		layers: map[int][]byte{}, cores: make(chan struct{}, o.Threads),
		jobPieces: int(max(2, jobBytes/info.PieceLength)),
	}
	if h.v1 {
		draft.Pieces = make([]byte, 20*info.NumPieces())
	}
	for n := range info.Files {
		if f := &info.Files[n]; h.v2 && f.Length > info.PieceLength {
			first, end := info.FilePieces(n)
			h.layers[n] = make([]byte, int(end-first)*hashSize)
		}
	}
	stop := h.report(o.Progress)
	err := h.run(ctx, 2*o.Threads+2)
	stop()
	if err != nil {
		return nil, err
	}
	layers := metainfo.Layers{}
	for n, layer := range h.layers {
		info.Files[n].Root = metainfo.LayerRoot(layer, info.PieceLength)
		layers[info.Files[n].Root] = layer
	}
	return layers, h.recheck()
}

func (h *hasher) run(ctx context.Context, workers int) error {
	g, ctx := errgroup.WithContext(ctx)
	jobs := (h.info.NumPieces() + h.jobPieces - 1) / h.jobPieces
	for range min(workers, jobs) {
		g.Go(func() error {
			w := h.newWorker()
			defer w.close()
			defer w.closeFolder()
			for {
				job := int(h.next.Add(1)) - 1
				if job >= jobs {
					return nil
				}
				if err := w.job(ctx, job*h.jobPieces, min((job+1)*h.jobPieces, h.info.NumPieces())); err != nil {
					return err
				}
			}
		})
	}
	return g.Wait()
}

// report tells progress until the function that it returns is called.
func (h *hasher) report(progress func(done, total int64)) (stop func()) {
	if progress == nil {
		return func() {}
	}
	quit, finished := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(finished)
		tick := time.NewTicker(progressStep)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				progress(h.done.Load(), h.info.ContentLength())
			case <-quit:
				progress(h.done.Load(), h.info.ContentLength())
				return
			}
		}
	}()
	return func() { close(quit); <-finished }
}

// recheck looks again at what no job has seen last: files that several jobs
// have read, a part of which may have changed after its job, and entries
// without bytes.
func (h *hasher) recheck() error {
	for n := range h.info.Files {
		first, end := h.info.FilePieces(n)
		if end > first && int(first)/h.jobPieces == int(end-1)/h.jobPieces {
			continue
		}
		f := &h.tree.files[n]
		if f.file.LinkText != "" {
			if text, err := h.tree.root.Readlink(f.rel); err != nil || text != f.file.LinkText {
				return &FileError{Path: f.rel, Err: fmt.Errorf("%w: it was a symbolic link to %q", ErrChanged, f.file.LinkText)}
			}
			continue
		}
		info, err := h.tree.root.Lstat(f.rel)
		if err != nil {
			return &FileError{Path: f.rel, Err: gone(err)}
		}
		if err := f.same(info); err != nil {
			return err
		}
	}
	return nil
}

// same refuses a file that is not as it was when it was found.
func (f *found) same(info os.FileInfo) error {
	if what := f.was.diff(stampOf(info)); what != "" {
		return &FileError{Path: f.rel, Err: fmt.Errorf("%w: %s", ErrChanged, what)}
	}
	return nil
}

// ErrChanged says that a file changed while it was hashed.
var ErrChanged = errors.New("the file changed while it was hashed")

// worker hashes one piece at a time.
type worker struct {
	h      *hasher
	buf    []byte
	sha1   hash.Hash
	leaves []byte
	twins  twins

	file *os.File // open one
	n    int      // its index, -1 for none

	// The folder of the last file stays open for its neighbours.
	folder     *os.Root // nil: none
	folderPath []string
}

func (h *hasher) newWorker() *worker {
	return &worker{h: h, buf: make([]byte, bufSize), sha1: sha1.New(), n: -1}
}

func (w *worker) close() {
	if w.file != nil {
		w.file.Close()
		w.file, w.n = nil, -1
	}
}

// job hashes the pieces from first up to end, and sees to it that each file was
// the same before and after.
func (w *worker) job(ctx context.Context, first, end int) error {
	for p := first; p < end; {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		n, err := w.twoPieces(metainfo.Piece(p), end)
		if n == 0 && err == nil {
			n, err = 1, w.piece(metainfo.Piece(p), end)
		}
		if err != nil {
			return err
		}
		p += n
	}
	return w.leave()
}

func (w *worker) piece(p metainfo.Piece, jobEnd int) error {
	i := w.h.info
	w.sha1.Reset()
	w.leaves = w.leaves[:0]
	file := -1
	for seg := range i.Segments(i.PieceOffset(p), i.PieceSize(p)) {
		if seg.File < 0 {
			w.padding(seg.Length)
			continue
		}
		file = seg.File
		if err := w.segment(seg, int64(jobEnd)*i.PieceLength); err != nil {
			return err
		}
	}
	if w.h.v1 {
		w.sha1.Sum(w.h.draft.Pieces[20*int(p) : 20*int(p) : 20*int(p)+20])
	}
	if w.h.v2 {
		w.putRoot(p, file, w.leaves)
	}
	return nil
}

// putRoot notes the v2 hash of a piece of a file.
func (w *worker) putRoot(p metainfo.Piece, file int, leaves []byte) {
	i := w.h.info
	layer, long := w.h.layers[file]
	root := metainfo.PieceRoot(leaves, i.PieceLength, !long)
	if long {
		start, _ := i.FilePieces(file)
		copy(layer[int(p-start)*hashSize:], root[:])
	} else {
		i.Files[file].Root = root
	}
}

// padding hashes zeros, for SHA-1 alone: trees have none.
func (w *worker) padding(n int64) {
	if !w.h.v1 {
		return
	}
	w.h.cores <- struct{}{}
	defer func() { <-w.h.cores }()
	for n > 0 {
		part := min(n, int64(len(zeros)))
		w.sha1.Write(zeros[:part])
		n -= part
	}
}

// zeros is padding; nothing writes to it.
var zeros [32 << 10]byte

// segment hashes a run of bytes of one file. jobEnd is where in piece space the
// job ends, up to which the kernel may read ahead.
func (w *worker) segment(seg metainfo.Segment, jobEnd int64) error {
	if err := w.open(seg, jobEnd); err != nil {
		return err
	}
	for seg.Length > 0 {
		b := w.buf[:min(seg.Length, bufSize)]
		if _, err := w.file.ReadAt(b, seg.FileOffset); err != nil {
			return w.readError(err)
		}
		w.h.cores <- struct{}{}
		w.hash(b)
		<-w.h.cores
		w.h.done.Add(int64(len(b)))
		seg.FileOffset += int64(len(b))
		seg.Length -= int64(len(b))
	}
	return nil
}

func (w *worker) hash(b []byte) {
	if w.h.v1 {
		w.sha1.Write(b)
	}
	if !w.h.v2 {
		return
	}
	w.leaves = metainfo.AppendLeaves(w.leaves, b)
}

// readError explains a read that failed: a short file is one that changed.
func (w *worker) readError(err error) error {
	f := &w.h.tree.files[w.n]
	if info, statErr := w.file.Stat(); statErr == nil {
		if changed := f.same(info); changed != nil {
			return changed
		}
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return &FileError{Path: f.rel, Err: fmt.Errorf("read: %w", err)}
}

// open makes the segment's file the open one.
func (w *worker) open(seg metainfo.Segment, jobEnd int64) error {
	if w.n == seg.File {
		return nil
	}
	if err := w.leave(); err != nil {
		return err
	}
	f := &w.h.tree.files[seg.File]
	file, err := w.openFile(f)
	if err != nil {
		return &FileError{Path: f.rel, Err: gone(err)}
	}
	w.file, w.n = file, seg.File
	info, err := file.Stat()
	if err != nil {
		return &FileError{Path: f.rel, Err: err}
	}
	if err := f.same(info); err != nil {
		return err
	}
	ahead := min(f.file.Length-seg.FileOffset, jobEnd-(w.h.info.Files[seg.File].Offset+seg.FileOffset))
	if ahead >= adviseFrom {
		adviseAhead(file, seg.FileOffset, ahead)
	}
	return nil
}

// openFile opens a file through its folder.
func (w *worker) openFile(f *found) (*os.File, error) {
	depth := len(f.file.Path) - 1
	if depth <= 0 {
		return w.h.tree.root.OpenFile(f.rel, openFlags, 0)
	}
	path := f.file.Path[:depth]
	if w.folder == nil || !slices.Equal(path, w.folderPath) {
		w.closeFolder()
		folder, err := w.h.tree.root.OpenRoot(metainfo.DisplayPath(path))
		if err != nil {
			return nil, err
		}
		w.folder, w.folderPath = folder, path
	}
	return w.folder.OpenFile(f.file.Path[depth], openFlags, 0)
}

func (w *worker) closeFolder() {
	if w.folder != nil {
		w.folder.Close()
		w.folder = nil
	}
}

// leave closes the open file after a last look at it.
func (w *worker) leave() error {
	if w.file == nil {
		return nil
	}
	info, err := w.file.Stat()
	f := &w.h.tree.files[w.n]
	w.close()
	if err != nil {
		return &FileError{Path: f.rel, Err: err}
	}
	return f.same(info)
}
