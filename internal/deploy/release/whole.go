package release

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"shoal/internal/bt/metainfo"
)

// whole tells, without reading a byte, whether every entry of a release is
// there with its type and length.
func (a *App) whole(folder string, info *metainfo.Info) error {
	top, err := a.root.OpenRoot(folder)
	if err != nil {
		return a.fault("open "+folder, err)
	}
	defer top.Close()
	lacking, first := 0, ""
	for i := range info.Files {
		if reason := lacks(top, info, &info.Files[i]); reason != "" {
			if lacking++; lacking == 1 {
				first = reason
			}
		}
	}
	for i := range info.Dirs {
		if st, err := top.Lstat(filepath.Join(append([]string{"."}, info.Dirs[i].Path...)...)); err != nil || !st.IsDir() {
			if lacking++; lacking == 1 {
				first = fmt.Sprintf("the folder %q is missing", metainfo.DisplayPath(info.Dirs[i].Path))
			}
		}
	}
	if lacking > 0 {
		return refuse(ErrDamaged, "`shoal release scrub` mends it", "%s is not whole: %s (of %d)", filepath.Join(a.dir, folder), first, lacking)
	}
	return nil
}

// entryPath is where a file of info lies in the folder of a release.
func entryPath(info *metainfo.Info, f *metainfo.File) string {
	if info.SingleFile {
		return info.Name
	}
	return filepath.Join(f.Path...)
}

func lacks(top *os.Root, info *metainfo.Info, f *metainfo.File) string {
	name := entryPath(info, f)
	st, err := top.Lstat(name)
	switch {
	case err != nil:
		return fmt.Sprintf("%q cannot be found (%v)", name, cause(err))
	case f.IsLink():
		if text, err := top.Readlink(name); err != nil || text != f.Target() {
			return fmt.Sprintf("%q is not the link to %q", name, f.Target())
		}
	case !st.Mode().IsRegular():
		return fmt.Sprintf("%q is not a file", name)
	case st.Size() != f.Length:
		return fmt.Sprintf("%q has %d bytes instead of %d", name, st.Size(), f.Length)
	}
	return ""
}

// cause strips the path, which the message has already.
func cause(err error) error {
	if e, ok := err.(*fs.PathError); ok {
		return e.Err
	}
	return err
}
