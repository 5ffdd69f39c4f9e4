package storage

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"

	"shoal/internal/bt/metainfo"
	"shoal/internal/bt/storage/record"
	"shoal/internal/filelock"
)

// resume is the resume record on disk and the state that it mirrors. While
// pieces come, every write appends one entry of 16 bytes without a sync: the
// page cache outlives a killed process, and a power loss is known by the boot
// identity. The entry also moves the record's time of modification behind that
// of the file just written, so that after a kill a file that is newer than the
// record was changed by somebody else, or in the very last write.
type resume struct {
	dir, name string // where the record lies
	mute      bool   // never write it
	shape     record.Shape
	where     func() [16]byte // what boot is to be; asked when it is first needed
	boot      [16]byte        // names the page cache that holds what we write; zero: unknown
	log       *slog.Logger
	begun     func() // called once, when the journal opens

	turn sync.Mutex // held over a snapshot or sync, which fresh and n outlive; before mu

	mu     sync.Mutex
	state  record.State
	root   *os.Root // of dir, while f is open
	f      *os.File // the record with an open journal, locked; nil: closed
	salt   uint64
	n      uint64         // entries in the journal
	end    int64          // bytes of the record
	fresh  []uint32       // pieces that came since all was last made durable
	tail   []record.Entry // entries since a new snapshot was begun; nil if none is
	failed bool           // the last append failed, and the log knows
	buf    []byte
}

func newResume(dir string, info *metainfo.Info, o Options, files int) *resume {
	name := sideName(info, ".shoal")
	if o.ResumeDir != "" {
		// Records of one torrent in several folders must not meet.
		whole, err := filepath.Abs(dir)
		if err != nil {
			whole = dir // no working directory: as good a name as any
		}
		where := sha256.Sum256([]byte(whole))
		name = sideName(info, "."+hex.EncodeToString(where[:4])+".shoal")
		dir = o.ResumeDir
	}
	shape := record.Shape{
		ID:     sha256.Sum256(info.Raw),
		Pieces: info.NumPieces(),
		Blocks: int((info.PieceLength + metainfo.BlockSize - 1) / metainfo.BlockSize),
		Files:  files,
	}
	r := &resume{dir: dir, name: name, mute: o.ReadOnly && o.ResumeDir == "", shape: shape, log: o.Log}
	r.state = record.NewState(shape)
	return r
}

// found is a record that was there at the start.
type found struct {
	state    record.State
	fact     fact // of the record's file, before we touch it
	damaged  bool // it was ours, but cannot be read any more
	open     bool // it is our own, being written: nothing else here counts then
	usable   bool
	torn     bool // the journal's end is lost
	sameBoot bool // what was written then is still in the page cache or on disk
}

// knowBoot asks for the boot identity once. The caller holds mu.
func (r *resume) knowBoot() {
	if r.where != nil {
		r.boot, r.where = r.where(), nil
	}
}

// journalRoom is how long a journal may be to be read. It is compacted long before.
const journalRoom = 64 << 20

// load reads the record. Whatever is wrong with it only makes it less useful.
func (r *resume) load() (found, error) {
	r.mu.Lock()
	r.knowBoot()
	boot := r.boot
	r.mu.Unlock()
	root, err := os.OpenRoot(r.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return found{}, nil
	}
	if err != nil {
		return found{}, fault("open folder", r.dir, err)
	}
	defer root.Close()
	if st, err := root.Lstat(r.name); errors.Is(err, fs.ErrNotExist) || err == nil && (!st.Mode().IsRegular() || st.Size() == 0) {
		return found{}, nil
	} else if err != nil {
		return found{}, fault("look at", r.path(), err)
	}
	most := int64(r.shape.SnapshotSize(true)) + journalRoom
	f, err := root.OpenFile(r.name, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return found{}, fault("open", r.path(), err)
	}
	defer f.Close()
	looks, err := statFd(int(f.Fd()))
	if err != nil {
		return found{}, fault("look at", r.path(), err)
	}
	b, err := io.ReadAll(io.LimitReader(f, most))
	if err != nil {
		return found{}, fault("read", r.path(), err)
	}
	state, torn, err := r.shape.Parse(b)
	if err != nil {
		r.log.Warn("resume record not used, content will be hashed", "record", r.path(), "err", err)
		return found{damaged: errors.Is(err, record.ErrDamaged)}, nil
	}
	if torn {
		r.log.Info("resume record ends in a torn entry, which is left out", "record", r.path())
	}
	same := state.Boot == boot && boot != [16]byte{}
	return found{state: state, fact: looks, usable: true, torn: torn, sameBoot: same}, nil
}

// add applies entries to the state and appends them to the journal, which it
// opens if it is closed. The caller holds mu.
func (r *resume) add(entries ...record.Entry) error {
	for _, e := range entries {
		r.shape.Apply(&r.state, e)
	}
	if r.mute {
		return nil
	}
	if r.f == nil {
		return r.begin() // its snapshot holds what was just applied
	}
	if r.tail != nil {
		r.tail = append(r.tail, entries...)
	}
	b := r.buf[:0]
	for i, e := range entries {
		b = record.AppendEntry(b, e, r.n+uint64(i), r.salt)
	}
	r.buf = b
	if _, err := r.f.WriteAt(b, r.end); err != nil {
		return fault("write", r.path(), err)
	}
	r.n += uint64(len(entries))
	r.end += int64(len(b))
	return nil
}

// ready takes the record for this process, before anything on disk is changed.
func (r *resume) ready() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mute || r.f != nil {
		return nil
	}
	return r.begin()
}

// note is add for what may be forgotten: failing costs re-hashing and no data.
// The caller holds mu.
func (r *resume) note(entries ...record.Entry) {
	err := r.add(entries...)
	if err != nil && !r.failed {
		r.log.Warn("resume record cannot be written; a restart will hash more", "err", err)
	}
	r.failed = err != nil
}

// own says that files are ours before they are made. It must not be forgotten,
// or a restart would take them for somebody else's.
func (r *resume) own(entries ...record.Entry) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	err := r.add(entries...)
	if err != nil {
		for _, e := range entries {
			e.Kind = record.Disown
			r.shape.Apply(&r.state, e)
		}
	}
	return err
}

func (r *resume) disown(file int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.note(record.Entry{Kind: record.Disown, A: uint32(file), B: 1})
}

// stamp moves the record's time behind a change that we made to a file.
func (r *resume) stamp() { r.wrote(0, 0, 0) }

// wrote notes blocks that were written; none is a stamp.
func (r *resume) wrote(piece uint32, first, blocks int) {
	e := record.Entry{Kind: record.Stamp}
	if blocks > 0 {
		e = record.WroteBlocks(piece, first, blocks)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.note(e)
}

// lost notes that a piece is not there.
func (r *resume) lost(p metainfo.Piece) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.note(record.Entry{Kind: record.Lost, A: uint32(p), B: 1})
}

// begin takes the record for this process and opens its journal. The caller
// holds mu.
func (r *resume) begin() error {
	r.knowBoot()
	r.state.Closed, r.state.Files, r.state.Boot = false, nil, r.boot
	root, old, err := r.take()
	if err != nil {
		return err
	}
	defer filelock.Close(old)
	r.root = root
	f, size, err := r.write()
	if err != nil {
		_ = root.Close() // the first error is the one to tell
		r.root = nil
		return err
	}
	r.f, r.end = f, size
	r.begun()
	return nil
}

// take opens the record's folder and locks the record, which it makes if there
// is none.
func (r *resume) take() (*os.Root, *os.File, error) {
	if err := os.MkdirAll(r.dir, 0o755); err != nil {
		return nil, nil, fault("make folder", r.dir, err)
	}
	root, err := os.OpenRoot(r.dir)
	if err != nil {
		return nil, nil, fault("open folder", r.dir, err)
	}
	f, err := r.lock(root)
	if err != nil {
		_ = root.Close() // the first error is the one to tell
		return nil, nil, fault("take resume record", r.path(), err)
	}
	return root, f, nil
}

// lock locks the file that has the record's name, which another process may
// replace while we do.
func (r *resume) lock(root *os.Root) (*os.File, error) {
	for range 10 {
		if st, err := root.Lstat(r.name); err == nil && !st.Mode().IsRegular() {
			return nil, fmt.Errorf("it is a %s", typeName(st.Mode()))
		}
		f, err := root.OpenFile(r.name, os.O_RDWR|os.O_CREATE|unix.O_NONBLOCK, 0o644)
		if err != nil {
			return nil, cause(err)
		}
		if err := lock(f); err != nil {
			_ = f.Close() // nothing was written
			return nil, err
		}
		mine, err := f.Stat()
		named, err2 := root.Lstat(r.name)
		if err == nil && err2 == nil && os.SameFile(mine, named) {
			return f, nil
		}
		_ = filelock.Close(f) // nothing was written
	}
	return nil, &filelock.Held{} // it is being replaced again and again
}

// lock takes the file for this process. A file system without locks does without.
func lock(f *os.File) error {
	err := filelock.Take(f)
	if errors.Is(err, errors.ErrUnsupported) {
		return nil
	}
	return cause(err)
}

// write puts a new snapshot of the state in place of the record, with the
// blocks in flight as its journal, and returns it open and locked. The caller
// holds mu and the lock on the old one.
func (r *resume) write() (f *os.File, size int64, err error) {
	r.salt += 1 + rand.Uint64N(1<<62)
	b := r.shape.AppendSnapshot(nil, &r.state, r.salt)
	r.n = 0
	for _, e := range r.state.Written.Entries() {
		b = record.AppendEntry(b, e, r.n, r.salt)
		r.n++
	}
	if f, err = r.temp(b); err != nil {
		return nil, 0, fault("write", r.path(), err)
	}
	if err := r.root.Rename(r.name+tempSuffix, r.name); err != nil {
		_ = filelock.Close(f) // the first error is the one to tell
		return nil, 0, fault("replace", r.path(), err)
	}
	return f, int64(len(b)), nil
}

const tempSuffix = ".new"

// temp writes a snapshot beside the record and makes it durable.
func (r *resume) temp(b []byte) (*os.File, error) {
	f, err := r.root.OpenFile(r.name+tempSuffix, os.O_RDWR|os.O_CREATE|os.O_TRUNC|unix.O_NONBLOCK, 0o644)
	if err != nil {
		return nil, cause(err)
	}
	if err = lock(f); err == nil {
		if _, err = f.WriteAt(b, 0); err == nil {
			err = f.Sync()
		}
	}
	if err != nil {
		_ = filelock.Close(f)                  // the first error is the one to tell
		_ = r.root.Remove(r.name + tempSuffix) // likewise
		return nil, cause(err)
	}
	return f, nil
}

// closeWith writes the final snapshot of a state in which nothing is being
// written, with the looks of all files, and gives the record back.
func (r *resume) closeWith(files []record.File) error {
	r.turn.Lock()
	defer r.turn.Unlock()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mute {
		return nil
	}
	if r.f == nil {
		root, old, err := r.take()
		if err != nil {
			return err
		}
		r.root, r.f = root, old
	}
	r.knowBoot()
	r.state.Boot, r.state.Closed, r.state.Files = r.boot, true, files
	f, _, err := r.write()
	if err == nil {
		err = filelock.Close(f)
	}
	r.state.Closed, r.state.Files = false, nil
	err = errors.Join(err, filelock.Close(r.f), r.root.Close())
	r.f, r.root = nil, nil
	return wrap("close", r.path(), err)
}

// path names the record for people.
func (r *resume) path() string { return filepath.Join(r.dir, r.name) }

func (r *resume) isOpen() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.f != nil
}

// allDurable says that all pieces that are there survive a power loss.
func (r *resume) allDurable() {
	r.turn.Lock()
	defer r.turn.Unlock()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.state.Durable, r.fresh = r.state.Have.Clone(), nil
}
