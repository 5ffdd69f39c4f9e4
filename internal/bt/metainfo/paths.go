package metainfo

import (
	"bytes"
	"fmt"
	"slices"
	"sort"
	"strings"
)

// elementFault says why a path element cannot name an entry of a folder; "" if
// it can. Names are raw bytes: any but '/' and NUL may occur.
func elementFault(e []byte) string {
	switch {
	case len(e) == 0:
		return "an empty path element"
	case isDots(e):
		return fmt.Sprintf("the path element %q could leave the tree", e)
	case bytes.IndexByte(e, '/') >= 0:
		return fmt.Sprintf("the path element %q contains a slash", clip(string(e)))
	case bytes.IndexByte(e, 0) >= 0:
		return fmt.Sprintf("the path element %q contains a NUL byte", clip(string(e)))
	case len(e) > MaxName:
		return fmt.Sprintf("the path element %q... is longer than %d bytes", clip(string(e)), MaxName)
	}
	return ""
}

func isDots(e []byte) bool { return string(e) == "." || string(e) == ".." }

// linkElementFault is elementFault for the target of a link, which may climb:
// whether it leaves the tree is seen from the whole tree.
func linkElementFault(e []byte) string {
	if isDots(e) {
		return ""
	}
	return elementFault(e)
}

func clip(s string) string { return s[:min(len(s), 48)] }

// ComparePaths orders paths as the v2 file tree has them (BEP 52): by raw
// bytes, one element after the other. A folder sorts right before its entries.
func ComparePaths(a, b []string) int { return slices.Compare(a, b) }

// DisplayPath joins a path for people and logs.
func DisplayPath(path []string) string { return strings.Join(path, "/") }

// entry is one name of the tree, for the check of conflicts.
type entry struct {
	path []string
	dir  bool
	n    int // index among its kind
}

// checkTree refuses two entries of the same name and entries inside of a file
// or link. In the order of ComparePaths all that lies inside of an entry
// follows it at once, so that neighbours are all there is to compare.
func checkTree(files []File, dirs []Dir) error {
	entries := make([]entry, 0, len(files)+len(dirs))
	for i := range files {
		entries = append(entries, entry{path: files[i].Path, n: i})
	}
	for i := range dirs {
		entries = append(entries, entry{path: dirs[i].Path, dir: true, n: i})
	}
	less := func(i, j int) bool { return ComparePaths(entries[i].path, entries[j].path) < 0 }
	if !sort.SliceIsSorted(entries, less) {
		sort.Slice(entries, less)
	}
	for i := 1; i < len(entries); i++ {
		a, b := &entries[i-1], &entries[i]
		if slices.Equal(a.path, b.path) {
			return &KeyError{Key: entryKey(b), Reason: fmt.Sprintf("%q stands there twice", DisplayPath(b.path))}
		}
		if !a.dir && len(b.path) > len(a.path) && slices.Equal(a.path, b.path[:len(a.path)]) {
			return &KeyError{Key: entryKey(b), Reason: fmt.Sprintf("%q lies inside of %q, which is not a folder", DisplayPath(b.path), DisplayPath(a.path))}
		}
	}
	return nil
}

func entryKey(e *entry) string {
	if e.dir {
		return fmt.Sprintf("info.posix.dirs[%d]", e.n)
	}
	return "info"
}
