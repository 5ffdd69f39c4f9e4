package release

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"shoal/internal/bt/metainfo"
)

// mending is one repair of a release.
type mending struct {
	app    *App
	info   *metainfo.Info
	top    *os.Root // of the release
	folder string   // of the release, below the app's
	repair string   // holds the good files, below the app's folder
}

// refetch brings whole copies of the damaged files to the repair folder.
func (m *mending) refetch(ctx context.Context, version string, meta *metainfo.Metafile, c Content, found []Problem) error {
	wanted := map[int]bool{}
	for _, p := range found {
		if p.Remedy == Refetch {
			wanted[p.File] = true
		}
	}
	if len(wanted) == 0 {
		return nil
	}
	root := m.app.root
	if err := root.MkdirAll(m.repair, 0o700); err != nil {
		return m.app.fault("make a folder for the repair", err)
	}
	for file := range wanted {
		m.keepGood(file)
	}
	to := m.app.place(meta.Info, m.repair, version)
	to.State = filepath.Join(m.app.dir, repairPath(version))
	if err := c.Fetch(ctx, to, meta, func(file int) bool { return wanted[file] }); err != nil {
		return err
	}
	return m.app.fault("sync the repair", syncTree(root, m.repair))
}

// keepGood copies what is there of a damaged file to the repair, so that only
// bad pieces are fetched. What cannot be read is fetched.
func (m *mending) keepGood(file int) {
	name := entryPath(m.info, &m.info.Files[file])
	from, err := m.top.Open(name)
	if err != nil {
		return
	}
	defer from.Close()
	st, err := from.Stat()
	if err != nil || !st.Mode().IsRegular() || st.Size() > m.info.Files[file].Length {
		return
	}
	root, path := m.app.root, filepath.Join(m.repair, name)
	if root.MkdirAll(filepath.Dir(path), 0o700) != nil {
		return
	}
	to, err := root.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return
	}
	_, err = to.ReadFrom(from)
	if err == nil {
		err = to.Chmod(st.Mode()) // which the metafile may not know
	}
	if err = errors.Join(err, to.Close()); err != nil {
		_ = root.Remove(path) // fetched as a whole then
	}
}

// put mends one problem, or says in it why that cannot be done.
func (m *mending) put(p *Problem) {
	var err error
	switch p.Remedy {
	case Refetch:
		name := entryPath(m.info, &m.info.Files[p.File])
		err = m.inFolder(name, func() error {
			return m.app.root.Rename(filepath.Join(m.repair, name), filepath.Join(m.folder, name))
		})
	case Relink:
		f := &m.info.Files[p.File]
		name := entryPath(m.info, f)
		err = m.inFolder(name, func() error { return relink(m.top, f.Target(), name) })
	case Chmod:
		if p.File >= 0 { // folders get theirs at the end
			err = chmod(m.top, m.info, &m.info.Files[p.File])
		}
	case Mkdir:
		name := filepath.Clean(p.Path)
		err = m.inFolder(name, func() error { return m.top.MkdirAll(name, 0o755) })
	default:
		return
	}
	if p.Mended = err == nil; !p.Mended {
		p.Detail = strings.TrimPrefix(fmt.Sprintf("%s; cannot be mended: %v", p.Detail, err), "; ")
		m.app.o.Log.Warn("cannot be mended", "path", filepath.Join(m.app.dir, m.folder, p.Path), "err", err)
	}
}

// inFolder makes the folder of an entry where it is missing, and lets us write
// to it; folderModes puts its mode right afterwards.
func (m *mending) inFolder(name string, do func() error) error {
	dir := filepath.Dir(name)
	st, err := m.top.Lstat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err := m.inFolder(dir, func() error { return m.top.Mkdir(dir, 0o755) }); err != nil {
			return err
		}
	case err != nil:
		return err
	case st.Mode().Perm()&0o300 != 0o300:
		if err := m.top.Chmod(dir, st.Mode()|0o700); err != nil {
			return err
		}
	}
	return do()
}

// relink replaces the link, or the file, that has the name.
func relink(top *os.Root, target, name string) error {
	temp := filepath.Join(filepath.Dir(name), ".shoal-link")
	if err := top.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := top.Symlink(target, temp); err != nil {
		return err
	}
	return top.Rename(temp, name)
}

func chmod(top *os.Root, info *metainfo.Info, f *metainfo.File) error {
	name := entryPath(info, f)
	if f.HasMode {
		return top.Chmod(name, fileMode(f.Mode))
	}
	st, err := top.Lstat(name)
	if err != nil {
		return err
	}
	return top.Chmod(name, st.Mode()|st.Mode().Perm()&0o444>>2) // executable for whoever may read it (BEP 47)
}

// folderModes sets the modes of all folders if the metafile carries modes, the
// deepest first, since a mode may forbid to reach what lies below.
func (m *mending) folderModes() error {
	modes, posix := map[string]fs.FileMode{}, false
	for i := range m.info.Files {
		f := &m.info.Files[i]
		posix = posix || f.HasMode
		for dir := filepath.Dir(entryPath(m.info, f)); modes[dir] == 0; dir = filepath.Dir(dir) {
			modes[dir] = 0o755
		}
	}
	for i := range m.info.Dirs {
		d := &m.info.Dirs[i]
		path := filepath.Join(append([]string{"."}, d.Path...)...)
		modes[path] = 0o755
		if d.HasMode {
			modes[path], posix = fileMode(d.Mode), true
		}
	}
	if !posix || m.info.SingleFile {
		return nil
	}
	for _, path := range deepestFirst(modes) {
		st, err := m.top.Lstat(path)
		if err != nil || !st.IsDir() {
			continue // it was told as a problem of its own
		}
		if st.Mode().Perm()|st.Mode()&specialBits == modes[path] {
			continue
		}
		if err := m.top.Chmod(path, modes[path]); err != nil {
			return err
		}
	}
	return nil
}

func deepestFirst(modes map[string]fs.FileMode) []string {
	paths := slices.Collect(maps.Keys(modes))
	depth := func(p string) int {
		if p == "." {
			return -1
		}
		return strings.Count(p, string(filepath.Separator))
	}
	slices.SortFunc(paths, func(a, b string) int { return cmp.Compare(depth(b), depth(a)) })
	return paths
}

const specialBits = fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky

// fileMode turns unix permission bits (07777) into those of package fs.
func fileMode(bits uint32) fs.FileMode {
	m := fs.FileMode(bits & 0o777)
	for _, b := range []struct {
		unix uint32
		mode fs.FileMode
	}{{0o4000, fs.ModeSetuid}, {0o2000, fs.ModeSetgid}, {0o1000, fs.ModeSticky}} {
		if bits&b.unix != 0 {
			m |= b.mode
		}
	}
	return m
}
