// Package catalog knows the metafiles in a folder: which swarms they name, and under what file they can be had.
// It follows additions, changes and removals.
//
// It never writes, never follows a link out of the folder, and keeps no metafile in memory.
package catalog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/fsnotify/fsnotify"

	"shoal/internal/bt/metainfo"
)

// Bounds on what is read.
const (
	MaxFiles = 100_000   // metafiles in the folder
	MaxBytes = 128 << 20 // of one metafile
	Suffix   = ".torrent"
)

const (
	rescan = 10 * time.Second       // in case the system told us nothing, as it does on network file systems
	settle = 100 * time.Millisecond // after an event: others follow it
	fresh  = 2 * time.Second        // a file that changed less ago may still be being written
)

// Entry is one metafile.
type Entry struct {
	File    string // its name in the folder
	Name    string // of the content; raw bytes
	Size    int64  // of the content
	Version metainfo.Version
	Swarms  []metainfo.InfoHash // a hybrid has two: v1, then v2
	Comment string
}

// Catalog is safe for concurrent use.
type Catalog struct {
	dir     string
	log     *slog.Logger
	now     atomic.Pointer[view]
	trouble atomic.Pointer[string] // why the last scan failed, so that it is told once
}

// view is one state of the folder; it does not change.
type view struct {
	files  map[string]*file
	byHash map[metainfo.InfoHash]*Entry
}

// file is what the last scan saw; entry is nil for one that is no good metafile, and info too if it may become
// one without a further change that can be seen.
type file struct {
	info  fs.FileInfo
	entry *Entry
}

// Open reads the folder. It fails when the folder cannot be read; metafiles that cannot are named in the log.
func Open(dir string, log *slog.Logger) (*Catalog, error) {
	c := &Catalog{dir: dir, log: log}
	c.now.Store(&view{})
	if err := c.scan(); err != nil {
		return nil, err
	}
	return c, nil
}

// Run follows the folder until ctx ends.
func (c *Catalog) Run(ctx context.Context) error {
	watcher, err := fsnotify.NewWatcher()
	var events chan fsnotify.Event
	var failures chan error
	if err != nil {
		c.log.Warn("cannot watch the folder of metafiles, so it is looked at now and then", "dir", c.dir, "every", rescan, "err", err)
	} else {
		defer watcher.Close()
		events, failures = watcher.Events, watcher.Errors
	}
	// The watch belongs to the folder that is there now; when it is replaced by another, the next look finds
	// that one. Adding it again is free.
	look := func() {
		if watcher != nil {
			if err := watcher.Add(c.dir); err != nil {
				c.log.Debug("cannot watch", "dir", c.dir, "err", err)
			}
		}
		if err := c.scan(); err != nil {
			c.complain(err)
		}
	}
	look()
	timer := time.NewTimer(rescan)
	defer timer.Stop()
	soon := false // the timer is set to settle; events that never cease must not put it off for ever
	hurry := func() {
		if !soon {
			soon = true
			timer.Reset(settle)
		}
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
			look()
			soon = false
			timer.Reset(rescan)
		case _, ok := <-events:
			if !ok {
				events = nil
				continue
			}
			hurry()
		case err, ok := <-failures:
			if !ok {
				failures = nil
				continue
			}
			c.log.Debug("watching failed", "dir", c.dir, "err", err)
			hurry()
		}
	}
}

// complain tells why the folder cannot be read, once. What was known stays: an unmounted disk must not end
// every swarm.
func (c *Catalog) complain(err error) {
	text := err.Error()
	if old := c.trouble.Swap(&text); old == nil || *old != text {
		c.log.Error("cannot read the folder of metafiles; it stays as it was", "dir", c.dir, "err", err)
	}
}

// scan looks at the folder once.
func (c *Catalog) scan() error {
	root, err := os.OpenRoot(c.dir)
	if err != nil {
		return fmt.Errorf("folder of metafiles: %w", err)
	}
	defer root.Close()
	names, err := list(root)
	if err != nil {
		return fmt.Errorf("folder of metafiles: %w", err)
	}
	old := c.now.Load()
	next := &view{files: make(map[string]*file, len(names)), byHash: make(map[metainfo.InfoHash]*Entry)}
	for _, name := range names {
		f := c.look(root, name, old.files[name])
		if f == nil {
			continue
		}
		next.files[name] = f
		if f.entry == nil {
			continue
		}
		for _, h := range f.entry.Swarms {
			if next.byHash[h] == nil {
				next.byHash[h] = f.entry
			}
		}
	}
	c.tell(old, next)
	c.now.Store(next)
	c.trouble.Store(nil)
	return nil
}

// list gives the names of metafiles in order, so that of two with one content the same one always counts.
func list(root *os.Root) ([]string, error) {
	d, err := root.Open(".")
	if err != nil {
		return nil, err
	}
	defer d.Close()
	var names []string
	for {
		batch, err := d.ReadDir(1000)
		for _, e := range batch {
			if !strings.HasSuffix(e.Name(), Suffix) || strings.HasPrefix(e.Name(), ".") {
				continue
			}
			if names = append(names, e.Name()); len(names) > MaxFiles {
				return nil, fmt.Errorf("%s holds more than %d metafiles", root.Name(), MaxFiles)
			}
		}
		if errors.Is(err, io.EOF) {
			slices.Sort(names)
			return names, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// look reads a metafile, unless it is as it was. One that is just being written is no good now and looked at
// again.
func (c *Catalog) look(root *os.Root, name string, old *file) *file {
	info, err := root.Stat(name)
	if err != nil || !info.Mode().IsRegular() {
		return nil
	}
	if old != nil && old.info != nil && same(old.info, info) {
		return old
	}
	entry, err := read(root, name)
	if err != nil && time.Since(info.ModTime()).Abs() < fresh {
		return &file{}
	}
	if err != nil {
		c.log.Warn("not served", "file", filepath.Join(c.dir, name), "err", err)
	}
	return &file{info: info, entry: entry}
}

func same(a, b fs.FileInfo) bool {
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

// open does not wait for the other end, should the file have become a FIFO just now.
func open(root *os.Root, name string) (*os.File, error) {
	return root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
}

func read(root *os.Root, name string) (*Entry, error) {
	f, err := open(root, name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, MaxBytes+1))
	if err != nil {
		return nil, err
	}
	if len(raw) > MaxBytes {
		return nil, fmt.Errorf("more than %d MiB", MaxBytes>>20)
	}
	m, err := metainfo.Parse(raw)
	if err != nil {
		return nil, err
	}
	// Copies, so that nothing of raw is kept.
	return &Entry{File: name, Name: strings.Clone(m.Info.Name), Size: m.Info.ContentLength(), Version: m.Info.Version,
		Swarms: m.Info.Swarms(), Comment: strings.Clone(m.Comment)}, nil
}

// tell logs what came and went.
func (c *Catalog) tell(old, next *view) {
	for h, e := range next.byHash {
		if old.byHash[h] == nil {
			c.log.Info("serving", "file", e.File, "name", e.Name, "swarm", h)
		}
	}
	for h, e := range old.byHash {
		if next.byHash[h] == nil {
			c.log.Info("no longer serving", "file", e.File, "name", e.Name, "swarm", h)
		}
	}
}

// Has tells whether a metafile names the swarm.
func (c *Catalog) Has(h metainfo.InfoHash) bool { return c.now.Load().byHash[h] != nil }

// Entry is the metafile that names the swarm.
func (c *Catalog) Entry(h metainfo.InfoHash) (Entry, bool) {
	if e := c.now.Load().byHash[h]; e != nil {
		return *e, true
	}
	return Entry{}, false
}

// Swarms are all swarms that are named, in no order.
func (c *Catalog) Swarms() []metainfo.InfoHash {
	v := c.now.Load()
	out := make([]metainfo.InfoHash, 0, len(v.byHash))
	for h := range v.byHash {
		out = append(out, h)
	}
	return out
}

// File opens a metafile by its name in the folder, if it is one and still the one that was read; else an error
// that is fs.ErrNotExist. The caller closes it.
func (c *Catalog) File(name string) (*os.File, error) {
	known := c.now.Load().files[name]
	if known == nil || known.entry == nil {
		return nil, fs.ErrNotExist
	}
	root, err := os.OpenRoot(c.dir)
	if err != nil {
		return nil, fmt.Errorf("folder of metafiles: %w", err)
	}
	defer root.Close()
	f, err := open(root, name)
	if err != nil {
		return nil, err
	}
	if info, err := f.Stat(); err != nil || !same(known.info, info) {
		return nil, errors.Join(fs.ErrNotExist, err, f.Close())
	}
	return f, nil
}
