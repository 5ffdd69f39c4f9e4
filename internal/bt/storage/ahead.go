package storage

import (
	"context"

	"shoal/internal/bt/metainfo"
	"shoal/internal/bt/storage/record"
)

const (
	// aheadPieces is how many pieces may wait for their files to be made.
	aheadPieces = 1024
	// aheadFiles is how many files may be open and not yet written to, half of
	// the descriptors that are kept at most, or the first would be closed again.
	aheadFiles = 256
)

// ahead makes the small files of pieces that have been asked for, before their
// bytes come: half of the time that a hundred thousand files cost is spent on
// making them, and whoever receives the bytes has a hash and a copy to do.
type ahead struct {
	pieces chan metainfo.Piece
	room   chan struct{} // a token for each file that is open and not written to
}

func newAhead(openFiles int) *ahead {
	return &ahead{pieces: make(chan metainfo.Piece, aheadPieces), room: make(chan struct{}, min(aheadFiles, openFiles/2))}
}

// Expect tells that the bytes of a piece were asked for and will come soon. It
// never waits, and may be left out: who writes makes what is not there.
func (d *Disk) Expect(p metainfo.Piece) {
	select {
	case d.ahead.pieces <- p:
	default:
	}
}

// makeAhead runs until ctx ends.
func (d *Disk) makeAhead(ctx context.Context) {
	for {
		select {
		case p := <-d.ahead.pieces:
			d.makeFiles(ctx, d.unmade(p))
		case <-ctx.Done():
			return
		}
	}
}

// unmade lists the small files of a piece, and of those that wait behind it,
// that are not there yet.
func (d *Disk) unmade(p metainfo.Piece) (files []int) {
	for {
		for s := range d.info.Segments(d.info.PieceOffset(p), d.info.PieceData(p)) {
			if s.File >= 0 && d.length(s.File) < reserveFrom && d.content(s.File) && !d.is(s.File, there) {
				files = append(files, s.File)
			}
		}
		if len(files) >= aheadFiles {
			return files
		}
		select {
		case p = <-d.ahead.pieces:
		default:
			return files
		}
	}
}

// makeFiles makes files and leaves them open. Whatever fails is told by the
// write that follows.
func (d *Disk) makeFiles(ctx context.Context, files []int) {
	for len(files) > 0 {
		some := files[:min(len(files), aheadFiles)]
		files = files[len(some):]
		if d.claim(some) != nil {
			return
		}
		for _, i := range some {
			select {
			case d.ahead.room <- struct{}{}:
			case <-ctx.Done():
				return
			}
			if d.states[i].Or(early)&early != 0 { // two pieces share it
				<-d.ahead.room
				continue
			}
			if d.is(i, there) { // the bytes were quicker
				d.written(i)
				continue
			}
			h, err := d.hold(i, true)
			if err != nil {
				d.written(i)
				return
			}
			h.release()
		}
	}
}

// claim says, in one write to the record, that files are ours before they are
// made. Who claims the same file at the same time says it twice.
func (d *Disk) claim(files []int) error {
	var entries []record.Entry
	for _, i := range files {
		if d.is(i, ours) || d.is(i, claimed) {
			continue
		}
		if n := len(entries); n > 0 && entries[n-1].A+entries[n-1].B == uint32(i) {
			entries[n-1].B++
			continue
		}
		entries = append(entries, record.Entry{Kind: record.Own, A: uint32(i), B: 1})
	}
	if len(entries) == 0 {
		return nil
	}
	if err := d.rec.own(entries...); err != nil {
		return err
	}
	for _, i := range files { // after it is said: others make files as well
		d.set(i, claimed)
	}
	return nil
}

// written makes room for another file that is made ahead.
func (d *Disk) written(file int) {
	if d.is(file, early) && d.states[file].And(^uint32(early))&early != 0 {
		<-d.ahead.room
	}
}
