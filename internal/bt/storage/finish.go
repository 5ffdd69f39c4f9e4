package storage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"shoal/internal/bt/metainfo"
)

// Finish makes the tree complete once every chosen piece is there: empty files
// and folders, symbolic links, exact modes (folders last, the deepest first);
// then it makes all of it durable, once. It may be called again.
func (d *Disk) Finish(ctx context.Context) error {
	if d.o.ReadOnly {
		return errReadOnly
	}
	if err := d.allThere(); err != nil {
		return err
	}
	start, facts := time.Now(), make([]fact, len(d.lay.files))
	err := d.eachFile(ctx, func(i int) (err error) {
		switch {
		case !d.is(i, chosen):
		case i == d.lay.parts():
			facts[i], err = d.look(i)
		case d.info.Files[i].IsLink():
			err = d.finishLink(i)
		default:
			facts[i], err = d.finishFile(i)
		}
		return err
	})
	if err != nil {
		return err
	}
	if d.o.Select == nil && facts[d.lay.parts()].there {
		if err := d.removeParts(); err != nil {
			return err
		}
		facts[d.lay.parts()] = fact{}
	}
	if err := d.finishFolders(); err != nil {
		return err
	}
	if err := d.syncAll(ctx); err != nil {
		d.distrust(err)
		return err
	}
	d.rec.allDurable()
	if err := d.seal(ctx, facts, start); err != nil {
		d.log.Warn("content is complete, but the resume record cannot be written; the next start will hash it", "err", err)
	}
	return nil
}

func (d *Disk) allThere() error {
	missing, first := 0, -1
	for i := range d.info.Files {
		if d.content(i) && !d.complete(i) {
			if missing++; first < 0 {
				first = i
			}
		}
	}
	if missing > 0 {
		return fmt.Errorf("storage: not complete: %d files lack pieces, %s first", missing, d.path(first))
	}
	return nil
}

// removeParts removes the part file of an earlier selection, of which every file
// has its own bytes by now.
func (d *Disk) removeParts() error {
	parts := d.lay.parts()
	d.open.drop(int32(parts))
	d.clear(parts, there)
	err := d.tree.in(parts, false, func(dir *folderHandle, name string) error { return dir.Remove(name) })
	return d.fault("remove", parts, err)
}

// finishLink makes a symbolic link, or finds the right one.
func (d *Disk) finishLink(file int) error {
	text := d.info.Files[file].Target()
	return d.tree.in(file, true, func(dir *folderHandle, name string) error {
		f, err := d.look(file)
		if err != nil {
			return err
		}
		v, reason := judgeName(f, d.wanted(file), false, d.o.Overwrite)
		switch {
		case v == conflict:
			return d.conflicts([]Conflict{{d.path(file), reason}})
		case v == replace:
			if err := dir.Remove(name); err != nil {
				return fault("replace", d.path(file), err)
			}
		case f.there:
			return nil
		}
		return wrap("link", d.path(file), dir.Symlink(text, name))
	})
}

// finishFile makes an empty file, cuts one that is too long, sets the mode, and
// returns how the file looks then.
func (d *Disk) finishFile(file int) (f fact, err error) {
	if f, err = d.look(file); err != nil {
		return f, err
	}
	if d.is(file, replaced) || d.is(file, cut) || !f.there && d.length(file) == 0 {
		if f, err = d.settle(file); err != nil {
			return f, err
		}
	}
	switch {
	case !f.there:
		return f, fault("finish", d.path(file), fs.ErrNotExist)
	case !f.kind.IsRegular():
		return f, &typeError{d.path(file), f.kind, "file"}
	case f.size != d.length(file):
		return f, fault("finish", d.path(file), fmt.Errorf("it has %d bytes instead of %d: something else changed it", f.size, d.length(file)))
	}
	want, ok := finalMode(&d.info.Files[file], f.kind)
	if !ok || want == f.kind {
		return f, nil
	}
	err = d.tree.in(file, false, func(dir *folderHandle, name string) error { return dir.Chmod(name, want) })
	d.rec.stamp()
	if err != nil {
		return f, fault("set the mode of", d.path(file), err)
	}
	return d.look(file)
}

// settle opens the file for writing, which makes or replaces it, and cuts it.
func (d *Disk) settle(file int) (fact, error) {
	h, err := d.hold(file, true)
	if err != nil {
		return fact{}, err
	}
	defer h.release()
	if d.is(file, cut) {
		if err := h.val.truncate(d.length(file)); err != nil {
			return fact{}, fault("cut", d.path(file), err)
		}
		d.clear(file, cut)
	}
	return d.look(file)
}

// finalMode is the mode that a file should have, and whether the torrent says
// anything about it. BEP 47 knows only whether a file is executable; then
// whoever may read it may run it.
func finalMode(f *metainfo.File, now fs.FileMode) (fs.FileMode, bool) {
	switch {
	case f.HasMode:
		return fileMode(f.Mode), true
	case f.Exec && now.Perm()&0o111 == 0:
		return now | now.Perm()&0o444>>2, true
	}
	return 0, false
}

// finishFolders makes the listed folders and sets modes. A folder that is not
// listed has 0755 if the torrent carries modes at all. With a selection only
// folders that hold something chosen are made.
func (d *Disk) finishFolders() error {
	for _, i := range d.lay.listed {
		if d.o.Select != nil {
			break
		}
		if err := d.makeFolder(i); err != nil {
			return err
		}
	}
	if !d.lay.posix {
		return nil
	}
	for i := int32(len(d.lay.folders)) - 1; i > 0; i-- { // children come after their parents
		if err := d.setFolderMode(i, d.lay.folderMode(i)); err != nil {
			return err
		}
	}
	return nil
}

func (d *Disk) setFolderMode(i int32, want fs.FileMode) error {
	h, err := d.tree.folder(i, false)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // nothing in it was chosen
	}
	if err != nil {
		return err
	}
	defer h.release()
	st, err := h.val.Stat(".")
	if err == nil && st.Mode()&modeBits != want {
		err = h.val.Chmod(".", want)
	}
	return wrap("set the mode of folder", d.lay.folderPath(i), err)
}

// syncAll makes the whole tree durable.
func (d *Disk) syncAll(ctx context.Context) error {
	for i := range d.states {
		d.clear(i, dirty)
	}
	err := d.syncVolume()
	if errors.Is(err, errors.ErrUnsupported) {
		err = d.syncFiles(ctx)
	}
	return err
}

// syncVolume makes everything on the file system durable; an
// errors.ErrUnsupported where there is no call for that.
func (d *Disk) syncVolume() error {
	top, err := d.tree.folder(0, true)
	if err != nil {
		return err
	}
	defer top.release()
	return wrap("sync", d.tree.dir, notStored(syncVolume(top.val.fd())))
}

// syncFiles syncs file by file and folder by folder, where there is no call for
// the whole volume.
func (d *Disk) syncFiles(ctx context.Context) error {
	err := d.eachFile(ctx, func(i int) error {
		if i == d.lay.parts() || !d.content(i) {
			return nil
		}
		h, err := d.hold(i, false)
		if err != nil {
			return err
		}
		defer h.release()
		return wrap("sync", d.path(i), notStored(syncData(h.val.fd)))
	})
	for i := range d.lay.folders {
		if err != nil {
			break
		}
		err = d.syncFolder(int32(i))
	}
	return err
}

func (d *Disk) syncFolder(i int32) error {
	h, err := d.tree.folder(i, false)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer h.release()
	return wrap("sync folder", d.lay.folderPath(i), notStored(h.val.dir.Sync()))
}
