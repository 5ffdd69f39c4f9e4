package storage

import (
	"shoal/internal/bt/bitfield"
	"shoal/internal/bt/metainfo"
	"shoal/internal/bt/storage/record"
)

// Partial is a piece of which some blocks were written, by this run or an earlier
// one. They were not verified: whoever goes on with them must hash the whole piece
// from disk once the others came, and Forget it if it is wrong.
type Partial struct {
	Piece  metainfo.Piece
	Blocks *bitfield.Set // of metainfo.BlockSize bytes; those that were written
}

// Partial lists the pieces that are in flight now: what Check found of those of an
// earlier run, which is nothing after a power loss and of files that changed, and
// what was written since.
func (d *Disk) Partial() []Partial {
	d.rec.mu.Lock()
	defer d.rec.mu.Unlock()
	var list []Partial
	for p, blocks := range d.rec.state.Written {
		if blocks.Count() < d.blocks(metainfo.Piece(p)) { // else all of it is there, and it is wrong
			list = append(list, Partial{metainfo.Piece(p), blocks.Clone()})
		}
	}
	return list
}

func (d *Disk) blocks(p metainfo.Piece) int {
	return int((d.info.PieceData(p) + metainfo.BlockSize - 1) / metainfo.BlockSize)
}

// unfinished keeps the blocks of the record that can still be there.
func (d *Disk) unfinished(seen *survey, have *bitfield.Set) record.Written {
	kept, t := record.Written{}, seen.trust
	if !t.rec.usable || !t.rec.sameBoot {
		return kept
	}
	for p, blocks := range t.rec.state.Written {
		if !have.Has(int(p)) && blocks.Count() < d.blocks(metainfo.Piece(p)) && t.stillThere(metainfo.Piece(p), blocks) {
			kept[p] = blocks.Clone()
		}
	}
	return kept
}

// stillThere tells whether the files behind the blocks are long enough and, if we
// had the time to say how we left them, as we did. After a kill a file that looks
// touched is most often so by our last write, of which the record does not know
// yet; blocks that somebody else changed cost one piece, which its hash tells.
func (t *trust) stillThere(p metainfo.Piece, blocks *bitfield.Set) bool {
	start, data := t.d.info.PieceOffset(p), t.d.info.PieceData(p)
	for b := blocks.Next(0); b >= 0; b = blocks.Next(b + 1) {
		off := start + int64(b)*metainfo.BlockSize
		n := min(metainfo.BlockSize, start+data-off)
		for s := range t.d.info.Segments(off, n) {
			if s.File >= 0 {
				file, fileOff := t.d.at(s, off)
				if t.rec.state.Closed && !t.unchanged.Has(file) || t.facts[file].size < fileOff+s.Length {
					return false
				}
			}
			off += s.Length
		}
	}
	return true
}
