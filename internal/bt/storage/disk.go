package storage

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"shoal/internal/bt/bitfield"
	"shoal/internal/bt/metainfo"
)

// Disk is one torrent's content below one folder. The order of calls for a
// fetch is Open, Preflight, Check, Allocate (which may run beside the rest),
// WriteAt and MarkHave as pieces come, Finish when all are there, Close. To
// seed, Open with Options.ReadOnly, Check, ReadAt or Extent, Close. A Disk is
// safe for concurrent use.
type Disk struct {
	info   *metainfo.Info
	hashes *metainfo.Hashes
	o      Options
	log    *slog.Logger
	lay    *layout
	tree   *tree
	open   *pool[*handle]
	states []atomic.Uint32 // of each file of the layout: the bits below
	window *window         // nil unless Cache is Drop
	rec    *resume
	zero   *zeroPieces
	ahead  *ahead

	mu      sync.Mutex
	seen    *survey                  // what Preflight found, for Check
	edges   map[metainfo.Piece]int64 // where the last write ended inside of a block that it had begun
	stop    context.CancelFunc
	stopped chan struct{} // closed when the background work has ended; nil if it never began
}

// Bits of Disk.states.
const (
	chosen   = 1 << iota // Select wants it; never changes
	there                // it exists
	ours                 // we made it or took it over, and the record says so
	replaced             // Overwrite: to be removed before it is written
	cut                  // Overwrite: to be cut to its length
	dirty                // written since it was last synced
	claimed              // the record says that it is ours, and it is about to be made
	early                // made before its bytes came, and not written to yet
)

// Open binds the torrent to the folder dir; its content lies at dir/Info.Name,
// or at dir/Options.As. Nothing is created and nothing read yet, and dir need not exist.
func Open(dir string, info *metainfo.Info, hashes *metainfo.Hashes, o Options) (*Disk, error) {
	if dir == "" {
		return nil, errors.New("storage: no destination folder given")
	}
	if err := refuseOutsideLinks(info, o); err != nil {
		return nil, err
	}
	o = o.withDefaults()
	if o.As == "" {
		o.As = info.Name
	}
	d := &Disk{
		info:   info,
		hashes: hashes,
		o:      o,
		log:    o.Log,
		ahead:  newAhead(o.OpenFiles),
		edges:  map[metainfo.Piece]int64{},
	}
	d.lay = newLayout(info, o.As, sideName(info, ".parts"))
	d.tree = newTree(dir, d.lay)
	d.open = newPool[*handle](o.OpenFiles)
	d.states = make([]atomic.Uint32, len(d.lay.files))
	for i := range info.Files {
		if o.Select == nil || o.Select(i) {
			d.set(i, chosen)
		}
	}
	d.set(d.lay.parts(), chosen)
	d.rec = newResume(dir, info, o, len(d.lay.files))
	d.rec.begun, d.rec.where = d.startWork, d.cacheID
	for i := range d.states {
		if d.is(i, chosen) {
			d.rec.state.Chosen.Set(i)
		}
	}
	d.zero = newZeroPieces(info, hashes)
	if o.Cache == Drop {
		d.window = newWindow(d, o.Window)
	}
	return d, nil
}

func refuseOutsideLinks(info *metainfo.Info, o Options) error {
	if o.AllowOutsideLinks || o.ReadOnly {
		return nil
	}
	for i := range info.Files {
		if f := &info.Files[i]; f.Outside {
			return fmt.Errorf("storage: the symbolic link %q leads to %q, out of the tree; --allow-outside-links accepts it",
				metainfo.DisplayPath(f.Path), f.Target())
		}
	}
	return nil
}

func (o Options) withDefaults() Options {
	if o.Window <= 0 {
		o.Window = defaultWindow
	}
	if o.SyncEvery <= 0 {
		o.SyncEvery = defaultSyncEvery
	}
	if o.OpenFiles <= 0 {
		o.OpenFiles = int(max(16, min(defaultOpenFiles, descriptors()/4)))
	}
	if o.Threads <= 0 {
		o.Threads = runtime.GOMAXPROCS(0)
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

// descriptors is how many a process may have.
func descriptors() uint64 {
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) != nil {
		return 4 * defaultOpenFiles
	}
	return uint64(limit.Cur)
}

// sideName names a file of ours beside the content: hidden, after the content,
// and unlike that of another torrent with the same name.
func sideName(info *metainfo.Info, suffix string) string {
	const room = 200 // below NAME_MAX with all that is added
	hash := sha256.Sum256(info.Raw)
	return "." + info.Name[:min(len(info.Name), room)] + "." + hex.EncodeToString(hash[:4]) + suffix
}

// Path is where the content lies.
func (d *Disk) Path() string { return d.tree.dir + string(os.PathSeparator) + d.o.As }

func (d *Disk) set(file int, bits uint32)     { d.states[file].Or(bits) }
func (d *Disk) clear(file int, bits uint32)   { d.states[file].And(^bits) }
func (d *Disk) is(file int, bits uint32) bool { return d.states[file].Load()&bits == bits }
func (d *Disk) content(file int) bool         { return !d.info.Files[file].IsLink() && d.is(file, chosen) }
func (d *Disk) path(file int) string          { return d.lay.path(file) }
func (d *Disk) length(file int) (bytes int64) { return d.info.Files[file].Length }
func (d *Disk) perm(file int) fs.FileMode     { return birthMode(&d.info.Files[file]) }

// birthMode is the mode with which a file is made: already the final one where
// possible, so that Finish need not touch it, and writable until then.
func birthMode(f *metainfo.File) fs.FileMode {
	switch {
	case f.HasMode:
		return fs.FileMode(f.Mode&0o777) | 0o600
	case f.Exec:
		return 0o777
	}
	return 0o666
}

// cacheID names the page cache in front of the destination folder: it is another
// one after a reboot, and after the file system was mounted anew. Zero: unknown.
func (d *Disk) cacheID() (id [16]byte) {
	boot := bootID()
	folder, err := d.nearest()
	if err != nil || boot == id {
		return id
	}
	defer folder.Close()
	hash := sha256.Sum256(binary.LittleEndian.AppendUint64(boot[:], mountID(int(folder.Fd()))))
	copy(id[:], hash[:])
	return id
}

// MarkHave notes that pieces were verified and written as a whole. It is cheap:
// one small write and no sync.
func (d *Disk) MarkHave(ps ...metainfo.Piece) {
	d.settled(ps...)
	d.rec.came(ps)
}

// Forget notes that what was written of a piece is not right, so that a restart
// does not come back to it but fetches it anew.
func (d *Disk) Forget(p metainfo.Piece) {
	if !d.o.ReadOnly { // a seed's content is not ours to mend
		d.settled(p)
		d.rec.lost(p)
	}
}

// Have is a copy of the set of pieces that are verified and on disk.
func (d *Disk) Have() *bitfield.Set { return d.rec.have() }

// startWork starts the background work, once.
func (d *Disk) startWork() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.stopped != nil {
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	d.stop, d.stopped = stop, make(chan struct{})
	go func() {
		defer close(d.stopped)
		var work sync.WaitGroup
		work.Go(func() { d.makeAhead(ctx) })
		d.syncLoop(ctx)
		work.Wait()
	}()
}

// Close ends the background work, writes down how all files look so that the
// next start need not hash what did not change, and gives every descriptor
// back. Nothing may be read or written any more.
func (d *Disk) Close() error {
	d.mu.Lock()
	stopped := d.stopped
	if stopped != nil {
		d.stop()
	}
	d.mu.Unlock()
	if stopped != nil {
		<-stopped
	}
	if d.window != nil {
		d.window.work.Wait()
	}
	var err error
	if d.rec.isOpen() {
		err = d.seal(context.Background(), nil, time.Now())
	}
	d.open.close()
	d.tree.close()
	return err
}
