package build

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"time"

	"shoal/internal/bt/metainfo"
)

const (
	maxDepth  = 90   // folders inside one another; stock clients read no deeper v2 trees
	listBatch = 4096 // names of a folder read at a time
)

// tree is what a walk found.
type tree struct {
	root   *os.Root
	single bool // root is the folder around the only file
	files  []found
	dirs   []metainfo.Dir
	bytes  int64
}

// found is one file or link, and how it was when it was found.
type found struct {
	file metainfo.File
	was  stamp
	rel  string // path below root
}

// stamp tells whether a file is still the same.
type stamp struct {
	size  int64
	mtime time.Time
	inode uint64
	mode  os.FileMode
}

func stampOf(info os.FileInfo) stamp {
	return stamp{size: info.Size(), mtime: info.ModTime(), inode: inodeOf(info), mode: info.Mode()}
}

// diff says what changed from s to now; "" if nothing did.
func (s stamp) diff(now stamp) string {
	switch {
	case s.inode != now.inode || s.mode.Type() != now.mode.Type():
		return "another file took its place"
	case s.size != now.size:
		return fmt.Sprintf("its size was %d and is %d bytes", s.size, now.size)
	case !s.mtime.Equal(now.mtime):
		return fmt.Sprintf("it was written to at %s", now.mtime.Format(time.RFC3339Nano))
	case s.mode != now.mode:
		return fmt.Sprintf("its mode was %v and is %v", s.mode, now.mode)
	}
	return ""
}

func walk(ctx context.Context, at string, exclude []string) (*tree, error) {
	root, info, err := openRoot(at)
	if err != nil {
		return nil, err
	}
	t := &tree{root: root}
	w := walker{ctx: ctx, tree: t, exclude: exclude}
	if info.IsDir() {
		err = w.folder(root, nil, info)
	} else {
		t.single = true
		w.regular(nil, path.Base(at), info)
	}
	if err != nil {
		root.Close()
		return nil, err
	}
	return t, nil
}

type walker struct {
	ctx     context.Context
	tree    *tree
	exclude []string
}

// folder takes a folder's mode where it is not the usual one, and all that lies
// in it.
func (w *walker) folder(dir *os.Root, path []string, info os.FileInfo) error {
	fail := func(err error) error { return &FileError{Path: displayed(path), Err: err} }
	if err := w.ctx.Err(); err != nil {
		return err
	}
	if len(path) > maxDepth {
		return fail(fmt.Errorf("nested more than %d deep", maxDepth))
	}
	names, err := list(dir)
	if err != nil {
		return fail(fmt.Errorf("list the folder: %w", err))
	}
	kept := 0
	for _, name := range names {
		below := append(path[:len(path):len(path)], name)
		if excluded(w.exclude, metainfo.DisplayPath(below)) {
			continue
		}
		kept++
		if err := w.entry(dir, below); err != nil {
			return err
		}
	}
	if mode := unixMode(info.Mode()); mode != 0o755 || kept == 0 && len(path) > 0 {
		w.tree.dirs = append(w.tree.dirs, metainfo.Dir{Path: path, Mode: mode, HasMode: true})
	}
	return nil
}

// list reads the names in a folder, sorted.
func list(dir *os.Root) ([]string, error) {
	f, err := dir.Open(".")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var names []string
	for {
		batch, err := f.Readdirnames(listBatch)
		names = append(names, batch...)
		if len(names) > metainfo.MaxFiles {
			return nil, fmt.Errorf("more than %d entries", metainfo.MaxFiles)
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
	}
	slices.Sort(names)
	return names, nil
}

// entry takes one name in the folder dir.
func (w *walker) entry(dir *os.Root, path []string) error {
	fail := func(err error) error { return &FileError{Path: displayed(path), Err: err} }
	if len(w.tree.files) >= metainfo.MaxFiles {
		return fail(fmt.Errorf("one file more than the limit of %d", metainfo.MaxFiles))
	}
	name := path[len(path)-1]
	info, err := dir.Lstat(name)
	if err != nil {
		return fail(gone(err))
	}
	switch mode := info.Mode(); {
	case mode.IsDir():
		sub, err := dir.OpenRoot(name)
		if err != nil {
			return fail(fmt.Errorf("open the folder: %w", err))
		}
		defer sub.Close()
		return w.folder(sub, path, info)
	case mode.IsRegular():
		w.regular(path, metainfo.DisplayPath(path), info)
	case mode&os.ModeSymlink != 0:
		text, err := dir.Readlink(name)
		if err != nil {
			return fail(fmt.Errorf("read the symbolic link: %w", err))
		}
		if text == "" {
			return fail(errors.New("a symbolic link to nothing"))
		}
		w.tree.files = append(w.tree.files, found{file: metainfo.File{Path: path, LinkText: text}, rel: metainfo.DisplayPath(path)})
	default:
		return fail(fmt.Errorf("%s cannot be carried: leave it out", kindOf(mode)))
	}
	return nil
}

func (w *walker) regular(path []string, rel string, info os.FileInfo) {
	mode := unixMode(info.Mode())
	w.tree.files = append(w.tree.files, found{
		file: metainfo.File{Path: path, Length: info.Size(), Mode: mode, HasMode: true, Exec: mode&0o100 != 0},
		was:  stampOf(info),
		rel:  rel,
	})
	w.tree.bytes += info.Size()
}

// sort brings the files into the order of the metafile.
func (t *tree) sort() {
	slices.SortFunc(t.files, func(a, b found) int { return metainfo.ComparePaths(a.file.Path, b.file.Path) })
}

// gone explains that what was there a moment ago is not there now.
func gone(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("it vanished: %w", err)
	}
	return err
}

func displayed(path []string) string {
	if len(path) == 0 {
		return "."
	}
	return metainfo.DisplayPath(path)
}

// unixMode are the permission bits as chmod has them, 07777.
func unixMode(m os.FileMode) uint32 {
	mode := uint32(m.Perm())
	if m&os.ModeSetuid != 0 {
		mode |= 0o4000
	}
	if m&os.ModeSetgid != 0 {
		mode |= 0o2000
	}
	if m&os.ModeSticky != 0 {
		mode |= 0o1000
	}
	return mode
}
