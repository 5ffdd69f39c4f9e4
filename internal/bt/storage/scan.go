package storage

import (
	"context"
	"errors"
	"io/fs"
	"syscall"

	"golang.org/x/sync/errgroup"
)

// scanBatch is how many files one worker takes at a time.
const scanBatch = 256

// eachFile calls do for every file of the layout, several at a time, and stops
// at the first error.
func (d *Disk) eachFile(ctx context.Context, do func(file int) error) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(d.o.Threads)
	for first := 0; first < len(d.lay.files); first += scanBatch {
		g.Go(func() error {
			for i := first; i < min(first+scanBatch, len(d.lay.files)); i++ {
				if err := context.Cause(ctx); err != nil {
					return err
				}
				if err := do(i); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return g.Wait()
}

// scan stats every chosen file. Folders that are none are told as conflicts;
// what lies below them is absent.
func (d *Disk) scan(ctx context.Context) ([]fact, []*typeError, error) {
	present, blocked, err := d.scanFolders(ctx)
	if err != nil {
		return nil, nil, err
	}
	facts := make([]fact, len(d.lay.files))
	err = d.eachFile(ctx, func(i int) error {
		if !d.is(i, chosen) || !present[d.lay.files[i].folder] {
			return nil
		}
		var err error
		facts[i], err = d.look(i)
		return err
	})
	return facts, blocked, err
}

// scanFolders tells which folders are there.
func (d *Disk) scanFolders(ctx context.Context) (present []bool, blocked []*typeError, err error) {
	present = make([]bool, len(d.lay.folders))
	for i := range d.lay.folders {
		if err := context.Cause(ctx); err != nil {
			return nil, nil, err
		}
		if i > 0 && !present[d.lay.folders[i].parent] {
			continue
		}
		h, err := d.tree.folder(int32(i), false)
		var wrong *typeError
		switch {
		case errors.As(err, &wrong):
			blocked = append(blocked, wrong)
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return nil, nil, err
		default:
			h.release()
			present[i] = true
		}
	}
	return present, blocked, nil
}

// look stats one file; the zero fact if it is absent.
func (d *Disk) look(file int) (f fact, err error) {
	err = d.tree.in(file, false, func(dir *folderHandle, name string) error {
		f, err = statAt(dir.fd(), name)
		if err == nil && f.kind&fs.ModeSymlink != 0 {
			f.text, err = dir.Readlink(name)
		}
		return err
	})
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return fact{}, nil
	}
	return f, d.fault("look at", file, err)
}

// wanted is what the torrent has under the name of a file.
func (d *Disk) wanted(file int) wanted {
	f := &d.info.Files[file]
	return wanted{link: f.IsLink(), text: f.Target(), length: f.Length}
}
