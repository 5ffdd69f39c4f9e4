// Package record is the format of the resume record: what is known about a
// torrent's content on disk, as bytes and back. It never does I/O.
//
// A record is a snapshot followed by a journal. The snapshot is sealed by a
// checksum; each entry of the journal by its own, which covers its place and the
// snapshot it belongs to. A reader takes the snapshot whole or not at all, and
// the journal up to the first entry that is torn. Whatever a torn tail would
// have said is found out again by hashing; nothing is ever believed that was
// not written as a whole.
//
// All numbers are little endian.
//
//	snapshot   8 magic "shoalrec"
//	           4 version = 1
//	           4 flags: 1 closed
//	          16 boot: which boot of the kernel wrote it
//	          32 ID: which torrent
//	           4 pieces, 4 blocks a piece, 4 files, 4 zero
//	           8 salt: ties the journal to this snapshot
//	             bits: have, durable (a piece each), ours, chosen (a file each)
//	             closed only: 40 bytes a file: size, modified, changed (ns), inode, links
//	           4 CRC-32C of all before
//	entry      4 kind<<24 | low 24 bits of its number in the journal
//	           4 a
//	           4 b
//	           4 CRC-32C of salt and the 12 bytes before
package record

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"shoal/internal/bt/bitfield"
)

// ErrDamaged says that bytes are no whole snapshot: cut off, or changed.
var ErrDamaged = errors.New("resume record is damaged")

// ErrOther says that a record is sound but is not about this torrent, or was
// written by another version of shoal.
var ErrOther = errors.New("resume record is of another torrent or version")

const (
	magic      = "shoalrec"
	version    = 1
	flagClosed = 1
	headSize   = 88
	fileSize   = 40
	crcSize    = 4
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Shape is what a record is about. Its numbers bound what Parse allocates.
type Shape struct {
	ID     [32]byte // of the torrent
	Pieces int
	Blocks int // in a full piece, at most 32,768
	Files  int
}

// File is how a file looked when a record was closed. The zero File is absent.
type File struct {
	Size, Modified, Changed int64 // bytes, ns since 1970
	Inode, Links            uint64
}

// State is what a record says.
type State struct {
	Boot    [16]byte      // the boot of the kernel that wrote; zero: unknown
	Closed  bool          // nothing was being written; Files tells how all looked
	Have    *bitfield.Set // pieces verified and written
	Durable *bitfield.Set // those of them that survive a power loss
	Ours    *bitfield.Set // files that shoal made or took over
	Chosen  *bitfield.Set // files that were to be fetched
	Files   []File        // nil unless Closed
	Written Written       // blocks of pieces that are not there yet
}

// NewState is the state of a torrent of which nothing is there.
func NewState(s Shape) State {
	return State{
		Have:    bitfield.New(s.Pieces),
		Durable: bitfield.New(s.Pieces),
		Ours:    bitfield.New(s.Files),
		Chosen:  bitfield.New(s.Files),
		Written: Written{},
	}
}

// SnapshotSize is the size of a snapshot in bytes.
func (s Shape) SnapshotSize(closed bool) int {
	n := headSize + 2*((s.Pieces+7)/8) + 2*((s.Files+7)/8) + crcSize
	if closed {
		n += fileSize * s.Files
	}
	return n
}

// AppendSnapshot appends the snapshot of a state. Blocks of Written are no part
// of it: the caller repeats them in the journal.
func (s Shape) AppendSnapshot(dst []byte, st *State, salt uint64) []byte {
	start := len(dst)
	le := binary.LittleEndian
	flags := uint32(0)
	if st.Closed {
		flags |= flagClosed
	}
	dst = append(dst, magic...)
	dst = le.AppendUint32(dst, version)
	dst = le.AppendUint32(dst, flags)
	dst = append(dst, st.Boot[:]...)
	dst = append(dst, s.ID[:]...)
	for _, n := range []int{s.Pieces, s.Blocks, s.Files, 0} {
		dst = le.AppendUint32(dst, uint32(n))
	}
	dst = le.AppendUint64(dst, salt)
	for _, set := range []*bitfield.Set{st.Have, st.Durable, st.Ours, st.Chosen} {
		dst = append(dst, set.Bytes()...)
	}
	if st.Closed {
		for _, f := range st.Files {
			dst = le.AppendUint64(dst, uint64(f.Size))
			dst = le.AppendUint64(dst, uint64(f.Modified))
			dst = le.AppendUint64(dst, uint64(f.Changed))
			dst = le.AppendUint64(dst, f.Inode)
			dst = le.AppendUint64(dst, f.Links)
		}
	}
	return le.AppendUint32(dst, crc32.Checksum(dst[start:], castagnoli))
}

// Parse reads a record. torn says that the journal ends in something that is no
// entry; what came before it counts.
func (s Shape) Parse(b []byte) (st State, torn bool, err error) {
	if len(b) < headSize || string(b[:8]) != magic {
		return State{}, false, fmt.Errorf("%w: no header", ErrDamaged)
	}
	le := binary.LittleEndian
	closed := le.Uint32(b[12:])&flagClosed != 0
	// By its own numbers it must be whole, so that a flipped bit in one of them
	// is damage and not another torrent.
	own := Shape{ID: [32]byte(b[32:64]), Pieces: count(b[64:]), Blocks: count(b[68:]), Files: count(b[72:])}
	size := own.SnapshotSize(closed)
	if len(b) < size || le.Uint32(b[size-crcSize:]) != crc32.Checksum(b[:size-crcSize], castagnoli) {
		return State{}, false, fmt.Errorf("%w: wrong checksum", ErrDamaged)
	}
	if own != s || le.Uint32(b[8:]) != version {
		return State{}, false, ErrOther
	}
	st = State{Boot: [16]byte(b[16:32]), Closed: closed, Written: Written{}}
	rest := b[headSize : size-crcSize]
	for _, set := range []struct {
		to **bitfield.Set
		n  int
	}{{&st.Have, s.Pieces}, {&st.Durable, s.Pieces}, {&st.Ours, s.Files}, {&st.Chosen, s.Files}} {
		n := (set.n + 7) / 8
		if *set.to, err = bitfield.FromBytes(rest[:n], set.n); err != nil {
			return State{}, false, fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		rest = rest[n:]
	}
	if closed {
		st.Files = make([]File, s.Files)
		for i := range st.Files {
			f := rest[i*fileSize:]
			st.Files[i] = File{int64(le.Uint64(f)), int64(le.Uint64(f[8:])), int64(le.Uint64(f[16:])), le.Uint64(f[24:]), le.Uint64(f[32:])}
		}
	}
	torn = s.replay(&st, b[size:], le.Uint64(b[headSize-8:]))
	return st, torn, nil
}

// count reads a number that is cut so that sums of sizes cannot overflow; no
// bytes are as many as the greatest of them stands for.
func count(b []byte) int { return int(min(binary.LittleEndian.Uint32(b), 1<<24)) }
