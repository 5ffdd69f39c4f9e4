package storage

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

var errClosed = fmt.Errorf("storage: %w", os.ErrClosed)

// Folder handles that are kept, each of two descriptors. Pieces come and go in random order, and to
// walk to a folder anew takes longer than to open a file in it.
const (
	leastOpenFolders = 64
	mostOpenFolders  = 1024
)

// openFolders is how many are kept where a process may have that many descriptors.
func openFolders(descriptors uint64) int {
	return int(max(leastOpenFolders, min(descriptors/64, mostOpenFolders)))
}

// folderHandle is an open folder: as an os.Root, and as the descriptor of the
// same folder for the calls that are made for every file.
type folderHandle struct {
	*os.Root
	dir *os.File
	no  int // the descriptor of dir
}

func (h *folderHandle) fd() int { return h.no }

// Close gives both back.
func (h *folderHandle) Close() error { return errors.Join(h.Root.Close(), h.dir.Close()) }

// tree is the destination folder and what lies below, reached only through
// folder handles (os.Root). Each name is looked up as one element in the handle
// of its folder, which is faster than walking a path for every file, and lets
// us see that no element is a symbolic link: an os.Root alone follows links
// that stay inside of it.
type tree struct {
	dir string // the destination folder as it was given
	lay *layout

	folders *pool[*folderHandle]

	mu       sync.Mutex
	inTheWay map[string]bool // paths where an entry may be removed to make a folder
}

func newTree(dir string, lay *layout) *tree {
	return &tree{dir: dir, lay: lay, folders: newPool[*folderHandle](openFolders(descriptors()))}
}

func (t *tree) close() { t.folders.close() }

// typeError says that an entry is not of the type that the torrent has there.
type typeError struct {
	path string // below the destination folder
	is   fs.FileMode
	want string
}

func (e *typeError) Error() string {
	return fmt.Sprintf("%q %s", e.path, e.reason())
}

func (e *typeError) reason() string {
	return fmt.Sprintf("is a %s where the torrent has a %s", typeName(e.is), e.want)
}

// typeName names a file type for people.
func typeName(m fs.FileMode) string {
	switch {
	case m.IsRegular():
		return "file"
	case m.IsDir():
		return "folder"
	case m&fs.ModeSymlink != 0:
		return "symbolic link"
	case m&fs.ModeNamedPipe != 0:
		return "FIFO"
	case m&fs.ModeSocket != 0:
		return "socket"
	case m&fs.ModeDevice != 0:
		return "device"
	}
	return "special file"
}

// folder returns the handle of folder i, which is a real folder and was reached
// through real folders only. With create, missing ones are made.
func (t *tree) folder(i int32, create bool) (*slot[*folderHandle], error) {
	return t.folders.get(i, func() (*folderHandle, error) {
		root, err := t.openFolder(i, create)
		if err != nil {
			return nil, err
		}
		dir, err := root.Open(".")
		if err != nil {
			_ = root.Close() // nothing was done with it
			return nil, fault("open folder", t.lay.folderPath(i), err)
		}
		return &folderHandle{root, dir, int(dir.Fd())}, nil
	})
}

func (t *tree) openFolder(i int32, create bool) (*os.Root, error) {
	if i == 0 {
		return t.openTop(create)
	}
	parent, err := t.folder(t.lay.folders[i].parent, create)
	if err != nil {
		return nil, err
	}
	defer parent.release()
	return t.enter(parent.val.Root, i, create)
}

// openTop opens the destination folder, which the user named and which may
// therefore be a link.
func (t *tree) openTop(create bool) (*os.Root, error) {
	root, err := os.OpenRoot(t.dir)
	if err == nil || !create || !errors.Is(err, fs.ErrNotExist) {
		return root, wrap("open folder", t.dir, err)
	}
	if err := os.MkdirAll(t.dir, 0o755); err != nil {
		return nil, fault("make folder", t.dir, err)
	}
	root, err = os.OpenRoot(t.dir)
	return root, wrap("open folder", t.dir, err)
}

// enter opens the folder i in its parent without following a link.
func (t *tree) enter(parent *os.Root, i int32, create bool) (*os.Root, error) {
	name := t.lay.folders[i].name
	st, err := parent.Lstat(name)
	if create && errors.Is(err, fs.ErrNotExist) {
		if err := parent.Mkdir(name, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, fault("make folder", t.lay.folderPath(i), err)
		}
		st, err = parent.Lstat(name)
	}
	if err != nil {
		return nil, fault("open folder", t.lay.folderPath(i), err)
	}
	if !st.IsDir() && create && t.mayReplace(i) {
		if err := parent.Remove(name); err != nil {
			return nil, fault("replace", t.lay.folderPath(i), err)
		}
		return t.enter(parent, i, create)
	}
	if !st.IsDir() {
		return nil, &typeError{t.lay.folderPath(i), st.Mode(), "folder"}
	}
	root, err := parent.OpenRoot(name)
	if err != nil {
		return nil, fault("open folder", t.lay.folderPath(i), err)
	}
	if now, err := root.Stat("."); err != nil || !os.SameFile(st, now) {
		_ = root.Close() // nothing was done with it
		return nil, fault("open folder", t.lay.folderPath(i), errSwapped)
	}
	return root, nil
}

// replace allows that the entry at path is removed to make a folder.
func (t *tree) replace(path string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.inTheWay == nil {
		t.inTheWay = map[string]bool{}
	}
	t.inTheWay[path] = true
}

// mayReplace uses the permission up.
func (t *tree) mayReplace(i int32) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	path := t.lay.folderPath(i)
	allowed := t.inTheWay[path]
	delete(t.inTheWay, path)
	return allowed
}

var errSwapped = errors.New("it was replaced while it was being opened")

// in calls do with the handle of a file's folder and the file's name in it.
func (t *tree) in(file int, create bool, do func(dir *folderHandle, name string) error) error {
	p := t.lay.files[file]
	dir, err := t.folder(p.folder, create)
	if err != nil {
		return err
	}
	defer dir.release()
	return do(dir.val, p.name)
}

// create makes a file that must not be there yet. A file is one name in the
// handle of its folder, and no link is followed, so that this cannot lead
// anywhere else (see enter for folders).
func (t *tree) create(file int, perm fs.FileMode) (fd int, err error) {
	const flags = unix.O_RDWR | unix.O_CREAT | unix.O_EXCL | unix.O_NOFOLLOW | unix.O_CLOEXEC
	err = t.in(file, true, func(dir *folderHandle, name string) error {
		return retry(func() error {
			fd, err = unix.Openat(dir.fd(), name, flags, uint32(perm.Perm()))
			return err
		})
	})
	return fd, err
}

// open opens a regular file that is there. flag is unix.O_RDONLY or
// unix.O_RDWR. A FIFO that somebody put there cannot block us.
func (t *tree) open(file int, flag int) (fd int, err error) {
	flag |= unix.O_NOFOLLOW | unix.O_CLOEXEC | unix.O_NONBLOCK
	err = t.in(file, false, func(dir *folderHandle, name string) error {
		err := retry(func() error {
			fd, err = unix.Openat(dir.fd(), name, flag, 0)
			return err
		})
		if err != nil {
			return t.notOpened(dir, file, err)
		}
		f, err := statFd(fd)
		if err == nil && !f.kind.IsRegular() {
			err = &typeError{t.lay.path(file), f.kind, "file"}
		}
		if err != nil {
			_ = unix.Close(fd) // nothing was done with it
		}
		return err
	})
	return fd, err
}

// notOpened says why a file could not be opened: systems have several words for
// its being a link or no file at all.
func (t *tree) notOpened(dir *folderHandle, file int, cause error) error {
	f, err := statAt(dir.fd(), t.lay.files[file].name)
	if err == nil && !f.kind.IsRegular() {
		return &typeError{t.lay.path(file), f.kind, "file"}
	}
	return cause
}

// wrap is fault for an error that may be nil.
func wrap(op, path string, err error) error {
	if err == nil {
		return nil
	}
	return fault(op, path, err)
}
