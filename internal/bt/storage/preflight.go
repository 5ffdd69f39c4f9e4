package storage

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"shoal/internal/diskfree"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Preflight finds out before the first byte what would stop a fetch: entries
// that are in the way by their names (ConflictError), a folder that cannot be
// written, and too little free space (SpaceError, an ErrNoSpace). It changes
// nothing.
func (d *Disk) Preflight(ctx context.Context) error {
	if d.o.ReadOnly {
		return errReadOnly
	}
	seen, err := d.survey(ctx)
	if err != nil {
		return err
	}
	if err := d.judgeNames(seen); err != nil {
		return err
	}
	d.mu.Lock()
	d.seen = seen
	d.mu.Unlock()
	if d.lacks(seen.facts) {
		if err := d.writable(); err != nil {
			return err
		}
	}
	if d.o.Sparse {
		return nil
	}
	needed := d.needed(seen.facts)
	free, err := d.FreeSpace()
	if err != nil {
		return err
	}
	if needed > free {
		return &SpaceError{Dir: d.tree.dir, Needed: needed, Free: free}
	}
	return nil
}

// judgeNames turns what was seen into states, or into a ConflictError.
func (d *Disk) judgeNames(seen *survey) error {
	var found []Conflict
	for _, b := range seen.blocked {
		if d.o.Overwrite {
			d.tree.replace(b.path)
		} else {
			found = append(found, Conflict{b.path, b.reason()})
		}
	}
	for i := range d.info.Files {
		v, reason := judgeName(seen.facts[i], d.wanted(i), seen.trust.owns(i), d.o.Overwrite)
		switch v {
		case conflict:
			found = append(found, Conflict{d.path(i), reason})
		case replace:
			d.set(i, replaced)
		case trim:
			d.set(i, cut)
		}
	}
	return d.conflicts(found)
}

func (d *Disk) conflicts(found []Conflict) error {
	if len(found) == 0 {
		return nil
	}
	slices.SortFunc(found, func(a, b Conflict) int { return strings.Compare(a.Path, b.Path) })
	return &ConflictError{Dir: d.tree.dir, Conflicts: found}
}

// lacks tells whether anything is absent or short, so that we have to write.
func (d *Disk) lacks(facts []fact) bool {
	for i := range d.info.Files {
		if f := facts[i]; d.is(i, chosen) && (!f.there || f.size < d.length(i)) {
			return true
		}
	}
	return false
}

// diskBlock is the unit in which file systems give space away, near enough.
const diskBlock = 4 << 10

// needed is how many bytes of the content have no place on disk yet.
func (d *Disk) needed(facts []fact) (bytes int64) {
	for i := range d.info.Files {
		if !d.content(i) {
			continue
		}
		size := (d.length(i) + diskBlock - 1) &^ (diskBlock - 1)
		if !d.is(i, replaced) {
			size -= d.stored(i, facts[i])
		}
		bytes += max(size, 0)
	}
	return bytes
}

// stored is how many bytes of a file have a place on disk. On a file system that
// compresses, what is stored takes fewer blocks than bytes; there the holes
// tell.
func (d *Disk) stored(file int, f fact) int64 {
	if !f.regular() || f.allocated >= f.size || f.size < holeFrom {
		return max(f.allocated, 0)
	}
	h, err := d.hold(file, false)
	if err != nil {
		return f.allocated
	}
	defer h.release()
	return max(f.allocated, dataBytes(h.val.fd, f.size))
}

// writable tells whether we may make entries in the destination folder, or make
// that folder.
func (d *Disk) writable() error {
	folder, err := d.nearest()
	if err != nil {
		return err
	}
	defer folder.Close()
	if err := unix.Faccessat(int(folder.Fd()), ".", unix.W_OK|unix.X_OK, unix.AT_EACCESS); err != nil {
		return fault("write into folder", folder.Name(), err)
	}
	return nil
}

// nearest opens the destination folder, or the one in which it will be made.
func (d *Disk) nearest() (*os.File, error) {
	dir := filepath.Clean(d.tree.dir)
	for {
		f, err := os.OpenFile(dir, os.O_RDONLY|unix.O_DIRECTORY, 0)
		parent := filepath.Dir(dir)
		if err == nil || !errors.Is(err, fs.ErrNotExist) || parent == dir {
			return f, wrap("open folder", dir, err)
		}
		dir = parent
	}
}

// FreeSpace is how many bytes we may still write to the file system that holds
// the destination folder.
func (d *Disk) FreeSpace() (int64, error) {
	folder, err := d.nearest()
	if err != nil {
		return 0, err
	}
	defer folder.Close()
	free, err := diskfree.Of(int(folder.Fd()))
	return free, wrap("ask for free space of", folder.Name(), err)
}

const (
	spacePoll = time.Second
	// quotaWait is when to try again although the file system never looked
	// full: it was a quota, whose rest cannot be asked for.
	quotaWait = 15 * time.Second
	// spaceFloor is the least free space with which going on makes sense.
	spaceFloor = 16 << 20
)

// missing is how many bytes the pieces have that are not there, more or less.
func (d *Disk) missing() int64 {
	have := d.Have()
	return int64(have.Len()-have.Count()) * d.info.PieceLength
}

// WaitSpace waits, after an ErrNoSpace, until trying again makes sense: until
// there is room for a few pieces, or the time is up that a quota gets.
func (d *Disk) WaitSpace(ctx context.Context) error {
	enough := min(max(spaceFloor, 4*d.info.PieceLength), d.missing())
	quota := time.NewTimer(quotaWait)
	defer quota.Stop()
	poll := time.NewTicker(spacePoll)
	defer poll.Stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-quota.C:
			return nil
		case <-poll.C:
			if free, err := d.FreeSpace(); err != nil || free >= enough {
				return err
			}
		}
	}
}
