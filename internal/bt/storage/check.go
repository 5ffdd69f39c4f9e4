package storage

import (
	"context"

	"shoal/internal/bt/bitfield"
	"shoal/internal/bt/metainfo"
)

// Check finds out which pieces are on disk. progress is told the bytes hashed so
// far and in all; it may be nil.
func (d *Disk) Check(ctx context.Context, progress func(done, total int64)) (*bitfield.Set, error) {
	facts, _, err := d.scan(ctx)
	if err != nil {
		return nil, err
	}
	d.facts = facts
	for i := range facts {
		if facts[i].there {
			d.set(i, there|ours)
		}
	}
	todo := bitfield.New(d.info.NumPieces())
	for p := range d.info.NumPieces() {
		if d.mayHave(metainfo.Piece(p)) {
			todo.Set(p)
		}
	}
	good := bitfield.New(todo.Len())
	h := hashing{d: d, pieces: todo, progress: progress, result: func(p metainfo.Piece, ok bool, _ error) {
		if ok {
			good.Set(int(p))
		}
	}}
	if err := h.run(ctx); err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.have = good
	return good.Clone(), nil
}

// mayHave tells whether all files of a piece are long enough to hold it.
func (d *Disk) mayHave(p metainfo.Piece) bool {
	off := d.info.PieceOffset(p)
	for s := range d.info.Segments(off, d.info.PieceData(p)) {
		if s.File >= 0 {
			file, fileOff := d.at(s, off)
			if d.facts[file].size < fileOff+s.Length {
				return false
			}
		}
		off += s.Length
	}
	return true
}

type volumeInfo struct {
	free   int64 // bytes that we may still write
	memory bool  // tmpfs: preallocation only costs time there
}

func idFromHex(string) (id [16]byte) { return id }
