package storage

import (
	"shoal/internal/bt/bitfield"
	"shoal/internal/bt/metainfo"
)

// Partial is a piece of which an earlier run wrote some blocks. They were not
// verified: whoever goes on with them must hash the whole piece from disk once
// the others came, and Forget it if it is wrong.
type Partial struct {
	Piece  metainfo.Piece
	Blocks *bitfield.Set // of metainfo.BlockSize bytes; those that were written
}

// Partial lists what Check found of pieces that were in flight when an earlier
// run was killed. It is empty after a power loss and for files that changed.
func (d *Disk) Partial() []Partial {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.partial
}

// unfinished keeps the blocks of the record that can still be there.
func (d *Disk) unfinished(seen *survey, have *bitfield.Set) []Partial {
	t := seen.trust
	if !t.rec.usable || !t.rec.sameBoot {
		return nil
	}
	var list []Partial
	for p, blocks := range t.rec.state.Written {
		if have.Has(int(p)) || !t.stillThere(metainfo.Piece(p), blocks) {
			continue
		}
		data := d.info.PieceData(metainfo.Piece(p))
		if n := int((data + metainfo.BlockSize - 1) / metainfo.BlockSize); blocks.Count() >= n {
			continue // all of it was there, and it is wrong
		}
		list = append(list, Partial{metainfo.Piece(p), blocks.Clone()})
	}
	return list
}

// stillThere tells whether the files behind the blocks are as we left them and
// long enough.
func (t *trust) stillThere(p metainfo.Piece, blocks *bitfield.Set) bool {
	start, data := t.d.info.PieceOffset(p), t.d.info.PieceData(p)
	for b := blocks.Next(0); b >= 0; b = blocks.Next(b + 1) {
		off := start + int64(b)*metainfo.BlockSize
		n := min(metainfo.BlockSize, start+data-off)
		for s := range t.d.info.Segments(off, n) {
			if s.File >= 0 {
				file, fileOff := t.d.at(s, off)
				if !t.unchanged.Has(file) || t.facts[file].size < fileOff+s.Length {
					return false
				}
			}
			off += s.Length
		}
	}
	return true
}
