package storage

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"shoal/internal/bt/metainfo"
)

// at is where a segment of piece space lies: a file of the layout and an offset
// in it. Bytes of files that are not chosen lie in the part file.
func (d *Disk) at(s metainfo.Segment, off int64) (file int, fileOff int64) {
	if d.is(s.File, chosen) {
		return s.File, s.FileOffset
	}
	return d.lay.parts(), off
}

func (d *Disk) inside(op string, off, n int64) error {
	if off < 0 || n < 0 || off > d.info.Length()-n {
		return fmt.Errorf("storage: %s of %d bytes at %d is outside of the %d bytes of the torrent", op, n, off, d.info.Length())
	}
	return nil
}

// ReadAt fills p from piece space at off; padding reads as zeros. It returns
// fewer bytes only with an error, which names the file.
func (d *Disk) ReadAt(p []byte, off int64) (int, error) {
	if err := d.inside("read", off, int64(len(p))); err != nil {
		return 0, err
	}
	done := 0
	for s := range d.info.Segments(off, int64(len(p))) {
		part := p[done : done+int(s.Length)]
		if s.File < 0 {
			clear(part)
			done += len(part)
			continue
		}
		n, err := d.readSegment(s, off+int64(done), part)
		done += n
		if err != nil {
			return done, err
		}
	}
	return done, nil
}

func (d *Disk) readSegment(s metainfo.Segment, off int64, p []byte) (int, error) {
	file, fileOff := d.at(s, off)
	h, done, err := d.holdToRead(file, int64(len(p)))
	if err != nil {
		return 0, err
	}
	defer done()
	var n int
	if d.window != nil {
		n, err = d.window.read(h, p, fileOff, off)
	} else {
		n, err = h.readAt(p, fileOff)
	}
	if err == nil {
		return n, nil
	}
	if errors.Is(err, io.EOF) {
		err = fmt.Errorf("%w: the file ends at or before byte %d", io.ErrUnexpectedEOF, fileOff+int64(n))
	}
	return n, fault("read", d.path(file), err)
}

// holdToRead opens a file of which n bytes are to be read. One that is small and read as a whole is
// not kept open: nobody will come back to it soon, and others have more use for the descriptor.
func (d *Disk) holdToRead(file int, n int64) (h *handle, done func(), err error) {
	if n < sendfileFrom && file != d.lay.parts() && n == d.length(file) {
		fd, err := d.tree.open(file, unix.O_RDONLY)
		return &handle{fd: fd}, func() { _ = unix.Close(fd) }, d.fault("open", file, err)
	}
	slot, err := d.hold(file, false)
	if err != nil {
		return nil, nil, err
	}
	return slot.val, slot.release, nil
}

// WriteAt stores p at off in piece space; padding is skipped. Files and folders
// that are not there yet are made.
func (d *Disk) WriteAt(p []byte, off int64) (int, error) {
	if err := d.inside("write", off, int64(len(p))); err != nil {
		return 0, err
	}
	done := 0
	for s := range d.info.Segments(off, int64(len(p))) {
		part := p[done : done+int(s.Length)]
		if s.File < 0 {
			done += len(part)
			continue
		}
		n, err := d.writeSegment(s, off+int64(done), part)
		done += n
		if err != nil {
			return done, err
		}
	}
	d.noteWritten(off, int64(len(p)))
	if d.window != nil {
		d.window.note(off, int64(len(p)))
	}
	return done, nil
}

// noteWritten tells the record which whole blocks were written.
func (d *Disk) noteWritten(off, n int64) {
	for end := off + n; off < end; {
		p := metainfo.Piece(off / d.info.PieceLength)
		start, data := d.info.PieceOffset(p), d.info.PieceData(p)
		from, to := off-start, min(end-start, d.info.PieceLength)
		off = start + to
		if from == 0 && to >= data && d.fits(p) {
			continue // MarkHave follows at once; until then hashing a few small files tells
		}
		first := (d.meet(p, from, to) + metainfo.BlockSize - 1) / metainfo.BlockSize
		last := to / metainfo.BlockSize
		if to >= data {
			last = int64(d.blocks(p))
		}
		d.rec.wrote(uint32(p), int(first), int(max(0, last-first)))
	}
}

// meet moves the start of a write to a piece back to that of its block if the
// write before had begun the block and ended there: bytes come as the network
// cuts them.
func (d *Disk) meet(p metainfo.Piece, from, to int64) int64 {
	begun, over := from%metainfo.BlockSize, to%metainfo.BlockSize
	if begun == 0 && over == 0 {
		return from
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if begun > 0 && d.edges[p] == from {
		from -= begun
	}
	delete(d.edges, p)
	if over > 0 && to-over >= from {
		d.edges[p] = to
	}
	return from
}

// settled forgets where the last write to each of these pieces ended.
func (d *Disk) settled(ps ...metainfo.Piece) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, p := range ps {
		delete(d.edges, p)
	}
}

// fits tells whether every file of a piece is no longer than a piece.
func (d *Disk) fits(p metainfo.Piece) bool {
	for s := range d.info.Segments(d.info.PieceOffset(p), d.info.PieceData(p)) {
		if s.File >= 0 && d.length(s.File) > d.info.PieceLength {
			return false
		}
	}
	return true
}

func (d *Disk) writeSegment(s metainfo.Segment, off int64, p []byte) (int, error) {
	file, fileOff := d.at(s, off)
	h, err := d.hold(file, true)
	if err != nil {
		return 0, err
	}
	defer h.release()
	n, err := h.val.writeAt(p, fileOff)
	d.written(file)
	if file == s.File && int64(n) == d.length(file) {
		d.open.forget(h) // written as a whole: its descriptor is of more use to the next one
	}
	if !d.is(file, dirty) { // after the write, so that who clears it syncs what was written
		d.set(file, dirty)
	}
	return n, d.fault("write", file, err)
}

// sendfileFrom is the length in bytes of a run from which sendfile is cheaper
// than reading and sending many runs at once.
const sendfileFrom = 64 << 10

// Extent returns the open file behind the offset off of piece space, the offset
// in that file, and how many of the n bytes lie there contiguously, for
// sendfile. file is nil where padding lies: that many zeros. An
// errors.ErrUnsupported says that length bytes lie in files so small that ReadAt
// is the cheaper way to them. release must be called after use and not before.
// The position of the file belongs to nobody: use explicit offsets only.
func (d *Disk) Extent(off, n int64) (file *os.File, fileOff, length int64, release func(), err error) {
	if err := d.inside("read", off, n); err != nil || n == 0 {
		return nil, 0, 0, func() {}, err
	}
	var s metainfo.Segment
	small := int64(0)
	for s = range d.info.Segments(off, n) {
		if s.File < 0 || s.Length >= sendfileFrom || s.Length == n {
			break
		}
		small += s.Length
	}
	if small > 0 {
		return nil, 0, small, func() {}, errors.ErrUnsupported
	}
	if s.File < 0 {
		return nil, 0, s.Length, func() {}, nil
	}
	index, fileOff := d.at(s, off)
	h, err := d.hold(index, false)
	if err != nil {
		return nil, 0, 0, func() {}, err
	}
	if d.window == nil {
		return h.val.asFile(d.path(index)), fileOff, s.Length, h.release, nil
	}
	if !h.val.exact.Swap(true) {
		noReadAhead(h.val.fd)
	}
	willRead(h.val.fd, fileOff, s.Length)
	return h.val.asFile(d.path(index)), fileOff, s.Length, func() {
		h.release()
		d.window.note(off, s.Length)
	}, nil
}
