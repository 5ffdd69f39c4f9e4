package storage

import (
	"errors"
	"io/fs"

	"golang.org/x/sys/unix"
)

// hold returns the open file, opened for writing if write is set. The caller
// releases the slot.
func (d *Disk) hold(file int, write bool) (*slot[*handle], error) {
	for {
		s, err := d.open.get(int32(file), func() (*handle, error) {
			if write {
				return d.openToWrite(file)
			}
			fd, err := d.tree.open(file, unix.O_RDONLY)
			return &handle{fd: fd}, d.fault("open", file, err)
		})
		if err != nil {
			return nil, err
		}
		if s.val.write || !write {
			return s, nil
		}
		d.open.forget(s) // open for reading only; its readers keep it
		s.release()
	}
}

// openToWrite makes the file, or opens it if it is known to be there and ours
// to complete.
func (d *Disk) openToWrite(file int) (*handle, error) {
	if d.o.ReadOnly {
		return nil, errReadOnly
	}
	if err := d.rec.ready(); err != nil {
		return nil, err
	}
	if err := d.prepare(file); err != nil {
		return nil, err
	}
	if !d.is(file, there) {
		fd, err := d.create(file)
		if err == nil || !errors.Is(err, fs.ErrExist) {
			return &handle{fd: fd, write: true}, d.fault("create", file, err)
		}
		d.set(file, there) // and ours, or create had said so
	}
	fd, err := d.tree.open(file, unix.O_RDWR)
	if errors.Is(err, fs.ErrPermission) {
		if err := d.makeWritable(file); err != nil {
			return nil, fault("make writable", d.path(file), err)
		}
		fd, err = d.tree.open(file, unix.O_RDWR)
	}
	return &handle{fd: fd, write: true}, d.fault("open", file, err)
}

var errReadOnly = errors.New("storage: the torrent is opened for seeding only")

// create makes a new file and tells the record beforehand that it is ours.
func (d *Disk) create(file int) (fd int, err error) {
	perm := fs.FileMode(0o600) // of the part file
	if file < len(d.info.Files) {
		perm = d.perm(file)
	}
	before := d.is(file, ours)
	if !before {
		if err := d.claim([]int{file}); err != nil {
			return -1, err
		}
	}
	fd, err = d.tree.create(file, perm)
	if errors.Is(err, fs.ErrPermission) && d.openFolder(file) == nil {
		fd, err = d.tree.create(file, perm)
	}
	if err == nil {
		d.set(file, there|ours)
		return fd, nil
	}
	if !before {
		d.clear(file, claimed)
		d.rec.disown(file)
		if errors.Is(err, fs.ErrExist) {
			return -1, d.conflicts([]Conflict{{d.path(file), "appeared after the folder was checked"}})
		}
	}
	return -1, err
}

// prepare does what Overwrite has allowed: removes what cannot be written in
// place.
func (d *Disk) prepare(file int) error {
	if !d.is(file, replaced) {
		return nil
	}
	err := d.tree.in(file, false, func(dir *folderHandle, name string) error { return dir.Remove(name) })
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fault("replace", d.path(file), err)
	}
	d.clear(file, replaced|there)
	return nil
}

// makeWritable gives the owner write permission for a file that has to be
// completed. Finish sets the mode of the torrent again.
func (d *Disk) makeWritable(file int) error {
	return d.tree.in(file, false, func(dir *folderHandle, name string) error {
		st, err := dir.Lstat(name)
		if err != nil {
			return err
		}
		return dir.Chmod(name, st.Mode().Perm()|0o600)
	})
}

// openFolder gives the owner write permission for the folder of a file, which a
// finished tree may lack and whose file is missing now.
func (d *Disk) openFolder(file int) error {
	if d.lay.files[file].folder == 0 {
		return fs.ErrPermission // the user's own folder is not ours to change
	}
	return d.tree.in(file, false, func(dir *folderHandle, _ string) error {
		st, err := dir.Stat(".")
		if err != nil {
			return err
		}
		return dir.Chmod(".", st.Mode().Perm()|0o700)
	})
}

// fault is the function fault for a file of the torrent, or nil for no error.
func (d *Disk) fault(op string, file int, err error) error {
	if err == nil {
		return nil
	}
	return fault(op, d.path(file), err)
}
