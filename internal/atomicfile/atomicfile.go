// Package atomicfile is the one way in which shoal replaces a whole file: after
// a crash at any moment the name holds either the old bytes or the new ones.
//
// It never follows a symbolic link that stands under the name (the link itself
// is replaced) and never leaves its temporary file behind when it fails.
package atomicfile

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// maxBase keeps a temporary name below NAME_MAX (255 bytes) on every file system.
const maxBase = 200

// Write replaces the file at path by data. See WriteRoot.
func Write(path string, data []byte, perm fs.FileMode) error {
	return WriteFunc(path, perm, bytesTo(data))
}

// WriteFunc is Write for content that is produced by fill.
func WriteFunc(path string, perm fs.FileMode, fill func(io.Writer) error) error {
	root, err := os.OpenRoot(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer root.Close()
	return WriteRootFunc(root, filepath.Base(path), perm, fill)
}

// WriteRoot replaces the file name below root by data: a temporary file in the
// same folder, fsync, rename, fsync of the folder. The file gets the mode perm
// whatever the umask. The folder must exist.
func WriteRoot(root *os.Root, name string, data []byte, perm fs.FileMode) error {
	return WriteRootFunc(root, name, perm, bytesTo(data))
}

// WriteRootFunc is WriteRoot for content that is produced by fill.
func WriteRootFunc(root *os.Root, name string, perm fs.FileMode, fill func(io.Writer) error) error {
	if err := write(root, name, perm, fill); err != nil {
		return fmt.Errorf("write %s: %w", filepath.Join(root.Name(), name), err)
	}
	return nil
}

func bytesTo(data []byte) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	}
}

func write(root *os.Root, name string, perm fs.FileMode, fill func(io.Writer) error) (err error) {
	temp := tempName(name)
	f, err := root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			// The first error is the one to tell; a leftover is only untidy.
			_ = root.Remove(temp)
		}
	}()
	if err := finish(f, perm, fill); err != nil {
		return err
	}
	if err := root.Rename(temp, name); err != nil {
		return err
	}
	return SyncDir(root, filepath.Dir(name))
}

// finish fills f, makes it durable and closes it.
func finish(f *os.File, perm fs.FileMode, fill func(io.Writer) error) error {
	err := fill(f)
	if err == nil {
		err = f.Chmod(perm)
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// tempName is a fresh hidden name beside name.
func tempName(name string) string {
	dir, base := filepath.Split(name)
	if len(base) > maxBase {
		base = base[:maxBase]
	}
	return filepath.Join(dir, "."+base+".tmp-"+rand.Text()[:8])
}

// SyncDir makes the entries of the folder dir below root durable. File systems
// that cannot sync a folder need no sync.
func SyncDir(root *os.Root, dir string) error {
	f, err := root.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	return nil
}
