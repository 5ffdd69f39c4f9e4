package storage

import (
	"shoal/internal/bt/bitfield"
	"shoal/internal/bt/metainfo"
)

// trust is what a resume record and a look at the files tell together. It does
// no I/O.
type trust struct {
	d     *Disk
	rec   found
	facts []fact
	// unchanged are files that look as we left them.
	unchanged *bitfield.Set
}

func (d *Disk) newTrust(rec found, facts []fact) *trust {
	t := &trust{d: d, rec: rec, facts: facts, unchanged: bitfield.New(len(facts))}
	if rec.usable {
		for i := range facts {
			if t.asLeft(i) {
				t.unchanged.Set(i)
			}
		}
	}
	return t
}

// asLeft tells whether a file looks as when the record was last written. A
// closed record knows how each file looked. After a kill there is only time: a
// file that was changed later than the record was written to is suspect, and
// only clocks of one file system can be compared.
func (t *trust) asLeft(file int) bool {
	f, rec := t.facts[file], &t.rec
	if !f.regular() || rec.state.Chosen.Has(file) != t.d.is(file, chosen) {
		return false
	}
	if rec.state.Closed {
		return f.record() == rec.state.Files[file]
	}
	latest := rec.fact.modified
	if latest%1e9 == 0 {
		latest-- // a clock of whole seconds: the same second is too late
	}
	return f.device == rec.fact.device && f.changed <= latest && f.modified <= latest
}

// owns tells whether a file is ours to complete: the record says so, and it is
// still the same one.
func (t *trust) owns(file int) bool {
	switch {
	case t.rec.open:
		return t.d.is(file, ours)
	case t.rec.damaged:
		return true // somebody fetched here; what was in the way had been refused then
	case !t.rec.usable:
		return false
	case !t.rec.state.Closed && (t.rec.torn || !t.rec.sameBoot):
		return true // the entry that says so may be lost
	case !t.rec.state.Ours.Has(file):
		return false
	case t.rec.state.Closed:
		return t.rec.state.Files[file].Inode == t.facts[file].inode
	}
	return true
}

// sort splits the pieces into those that are there without a doubt and those
// that must be hashed. The rest is not there.
func (t *trust) sort() (have, todo *bitfield.Set) {
	n := t.d.info.NumPieces()
	have, todo = bitfield.New(n), bitfield.New(n)
	for p := range n {
		present, unchanged := t.look(metainfo.Piece(p))
		switch {
		case !present:
		case unchanged && t.known(p):
			have.Set(p)
		case !unchanged || t.doubtful(p):
			todo.Set(p)
		}
	}
	return have, todo
}

// look tells whether all files of a piece are long enough to hold it, and
// whether none was changed nor moved into or out of the part file by another
// selection. A piece without a chosen file is not looked for.
func (t *trust) look(p metainfo.Piece) (present, unchanged bool) {
	off := t.d.info.PieceOffset(p)
	unchanged = true
	picked := false
	for s := range t.d.info.Segments(off, t.d.info.PieceData(p)) {
		if s.File >= 0 {
			file, fileOff := t.d.at(s, off)
			f := &t.facts[file]
			if !f.regular() || f.size < fileOff+s.Length {
				return false, false
			}
			picked = picked || file == s.File
			unchanged = unchanged && t.unchanged.Has(file) && t.rec.state.Chosen.Has(s.File) == t.d.is(s.File, chosen)
		}
		off += s.Length
	}
	return picked, unchanged
}

// known tells whether the record says that a piece is there, in a way that
// outlived what happened since.
func (t *trust) known(p int) bool {
	if t.rec.sameBoot {
		return t.rec.state.Have.Has(p)
	}
	return t.rec.state.Durable.Has(p)
}

// doubtful tells whether a piece of unchanged files that is not known to be
// there may be: because all of its blocks were written, or because the entries
// that would tell may have been lost with the power.
func (t *trust) doubtful(p int) bool {
	if !t.rec.sameBoot {
		return true
	}
	blocks := t.rec.state.Written[uint32(p)]
	return blocks != nil && blocks.Count() >= t.d.blocks(metainfo.Piece(p))
}
