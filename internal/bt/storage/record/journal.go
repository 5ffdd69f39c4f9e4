package record

import (
	"encoding/binary"
	"hash/crc32"
	"slices"

	"shoal/internal/bt/bitfield"
)

// EntrySize is the size of a journal entry in bytes.
const EntrySize = 16

// Kind says what a journal entry tells.
type Kind uint8

const (
	Have    Kind = iota + 1 // b pieces from a on are verified and written
	Lost                    // they are not
	Wrote                   // of piece a, blocks from b>>16 on were written, b&0xffff of them
	Own                     // b files from a on are ours
	Disown                  // they are not
	Durable                 // all that came before entry number b<<32|a is durable
	Stamp                   // nothing: it moves the record's time of modification
)

// Entry is one line of the journal.
type Entry struct {
	Kind Kind
	A, B uint32
}

// AppendEntry appends an entry as number n of the journal of the snapshot with
// that salt.
func AppendEntry(dst []byte, e Entry, n, salt uint64) []byte {
	le := binary.LittleEndian
	start := len(dst)
	dst = le.AppendUint32(dst, uint32(e.Kind)<<24|uint32(n)&0xffffff)
	dst = le.AppendUint32(dst, e.A)
	dst = le.AppendUint32(dst, e.B)
	return le.AppendUint32(dst, entrySum(dst[start:], salt))
}

func entrySum(b []byte, salt uint64) uint32 {
	var s [8]byte
	binary.LittleEndian.PutUint64(s[:], salt)
	return crc32.Update(crc32.Checksum(s[:], castagnoli), castagnoli, b[:EntrySize-4])
}

// DurableUpTo is the entry that says that all before entry number n is durable.
func DurableUpTo(n uint64) Entry { return Entry{Durable, uint32(n), uint32(n >> 32)} }

// WroteBlocks is the entry for n blocks of a piece. Blocks are few enough that
// two 16-bit numbers hold them.
func WroteBlocks(piece uint32, first, n int) Entry {
	return Entry{Wrote, piece, uint32(first)<<16 | uint32(n)}
}

// replay applies the entries of a journal to the state of its snapshot.
func (s Shape) replay(st *State, b []byte, salt uint64) (torn bool) {
	le := binary.LittleEndian
	var fresh []mark          // pieces that came since all was last made durable
	before := st.Have.Clone() // pieces of the snapshot: they came before any entry
	n := uint64(0)
	for ; len(b) >= EntrySize; b = b[EntrySize:] {
		head := le.Uint32(b)
		e := Entry{Kind(head >> 24), le.Uint32(b[4:]), le.Uint32(b[8:])}
		if head&0xffffff != uint32(n)&0xffffff || le.Uint32(b[12:]) != entrySum(b, salt) {
			return true
		}
		switch e.Kind {
		case Have:
			fresh = append(fresh, mark{n, uint64(e.A), uint64(e.B)})
		case Lost:
			each(before, uint64(e.A), uint64(e.B), before.Clear)
			fresh = slices.DeleteFunc(fresh, func(m mark) bool { return m.overlaps(uint64(e.A), uint64(e.B)) })
		case Durable:
			for p := before.Next(0); p >= 0; p = before.Next(p + 1) {
				st.Durable.Set(p)
				before.Clear(p)
			}
			upTo := uint64(e.B)<<32 | uint64(e.A)
			for len(fresh) > 0 && fresh[0].n < upTo {
				each(st.Durable, fresh[0].piece, fresh[0].count, st.Durable.Set)
				fresh = fresh[1:]
			}
		}
		s.Apply(st, e)
		n++
	}
	return len(b) > 0
}

// mark is an entry number n that said that count pieces came.
type mark struct{ n, piece, count uint64 }

func (m mark) overlaps(first, n uint64) bool {
	return first < m.piece+m.count && m.piece < first+n
}

// Apply changes the state as an entry says, but for Durable, which needs the
// whole journal. Numbers that are out of range change nothing.
func (s Shape) Apply(st *State, e Entry) {
	a, b := uint64(e.A), uint64(e.B)
	switch e.Kind {
	case Have:
		each(st.Have, a, b, func(p int) {
			st.Have.Set(p)
			delete(st.Written, uint32(p))
		})
	case Lost:
		each(st.Have, a, b, func(p int) {
			st.Have.Clear(p)
			st.Durable.Clear(p)
			delete(st.Written, uint32(p))
		})
	case Wrote:
		if int64(e.A) < int64(s.Pieces) && !st.Have.Has(int(e.A)) {
			st.Written.add(e.A, int(e.B>>16), int(e.B&0xffff), s.Blocks)
		}
	case Own:
		each(st.Ours, a, b, st.Ours.Set)
	case Disown:
		each(st.Ours, a, b, st.Ours.Clear)
	}
}

func each(set *bitfield.Set, first, n uint64, do func(i int)) {
	for i := first; i < min(first+n, uint64(set.Len())); i++ {
		do(int(i))
	}
}

// maxWritten bounds the pieces whose blocks are remembered. More are in flight
// only by accident, and forgetting one costs fetching it again.
const maxWritten = 1024

// Written is which blocks of pieces have been written that are not there yet.
// They are on disk, but nobody has verified them.
type Written map[uint32]*bitfield.Set

func (w Written) add(piece uint32, first, n, blocks int) {
	if n == 0 || first+n > blocks {
		return
	}
	set := w[piece]
	if set == nil {
		if len(w) >= maxWritten {
			return
		}
		set = bitfield.New(blocks)
		w[piece] = set
	}
	for i := first; i < first+n; i++ {
		set.Set(i)
	}
}

// Entries are the journal entries that say the same.
func (w Written) Entries() []Entry {
	var list []Entry
	for piece, set := range w {
		for first := set.Next(0); first >= 0; {
			end := set.NextClear(first)
			if end < 0 {
				end = set.Len()
			}
			list = append(list, WroteBlocks(piece, first, end-first))
			first = set.Next(end)
		}
	}
	return list
}
