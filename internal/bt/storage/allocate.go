package storage

import (
	"context"
	"errors"
	"sync/atomic"
)

const (
	// reserveFrom is the size from which a file's space is reserved before its
	// bytes come. Smaller ones are made by their first write, in the same
	// opening: that is the cheapest way for a hundred thousand of them, and they
	// do not fragment.
	reserveFrom = 1 << 20
	// reserveStep is reserved in one call, so that a cancelled context is seen.
	reserveStep = 4 << 30
)

// Allocate makes the folders and the big files and reserves their space. It may
// run while pieces are written; who writes makes what is not there yet. A full
// disk is an ErrNoSpace; Allocate may then be called again.
func (d *Disk) Allocate(ctx context.Context) error {
	if d.o.ReadOnly {
		return errReadOnly
	}
	if err := d.rec.ready(); err != nil {
		return err
	}
	var able atomic.Bool
	if top, err := d.tree.folder(0, true); err != nil {
		return err
	} else {
		able.Store(!inMemory(top.val.fd()))
		top.release()
	}
	if err := d.makeFolders(ctx); err != nil {
		return err
	}
	return d.eachFile(ctx, func(i int) error {
		if i == d.lay.parts() || d.length(i) < reserveFrom || !d.content(i) || d.complete(i) {
			return nil
		}
		return d.reserve(ctx, i, &able)
	})
}

// makeFolders makes the folders of all that is chosen.
func (d *Disk) makeFolders(ctx context.Context) error {
	made := make([]bool, len(d.lay.folders))
	for i := range d.info.Files {
		if folder := d.lay.files[i].folder; !made[folder] && d.is(i, chosen) {
			if err := d.makeFolder(folder); err != nil {
				return err
			}
			made[folder] = true
		}
		if i%scanBatch == 0 && ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	return nil
}

func (d *Disk) makeFolder(i int32) error {
	h, err := d.tree.folder(i, true)
	if err == nil {
		h.release()
	}
	return err
}

// reserve gives a file its full size, with blocks behind it where possible.
func (d *Disk) reserve(ctx context.Context, file int, able *atomic.Bool) error {
	h, err := d.hold(file, true)
	if err != nil {
		return err
	}
	defer h.release()
	defer d.rec.stamp()
	size := d.length(file)
	f, err := h.val.stat()
	if err != nil {
		return fault("look at", d.path(file), err)
	}
	if f.size < size {
		if err := h.val.truncate(size); err != nil {
			return fault("enlarge", d.path(file), err)
		}
	}
	if d.o.Sparse || f.allocated >= size {
		return nil
	}
	for off := int64(0); off < size && able.Load(); off += reserveStep {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		err := reserve(h.val.fd, off, min(reserveStep, size-off))
		if errors.Is(err, errors.ErrUnsupported) {
			able.Store(false) // the size alone has to do
			return nil
		}
		if err != nil {
			return fault("reserve space for", d.path(file), err)
		}
	}
	return nil
}

// complete tells whether every piece of a file is there.
func (d *Disk) complete(file int) bool {
	d.rec.mu.Lock()
	defer d.rec.mu.Unlock()
	if d.rec.state.Have.All() {
		return true
	}
	first, end := d.info.FilePieces(file)
	free := d.rec.state.Have.NextClear(int(first))
	return free < 0 || free >= int(end)
}
