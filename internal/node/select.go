package node

import (
	"fmt"
	"path"
	"strings"

	"shoal/internal/bt/bitfield"
	"shoal/internal/bt/metainfo"
)

// SelectError says that the globs of --select pick nothing, or are none.
type SelectError struct {
	Glob string
	Err  error
}

func (e *SelectError) Error() string { return fmt.Sprintf("--select %q: %v", e.Glob, e.Err) }

// Unwrap is the cause.
func (e *SelectError) Unwrap() error { return e.Err }

// selection says which files of info the globs pick; nil, as storage has it,
// is all of them.
func selection(info *metainfo.Info, globs []string) (func(file int) bool, error) {
	if len(globs) == 0 {
		return nil, nil
	}
	picked, any := make([]bool, len(info.Files)), false
	for n := range info.Files {
		name := metainfo.DisplayPath(info.Files[n].Path)
		if info.SingleFile {
			name = info.Name
		}
		for _, glob := range globs {
			ok, err := matchPath(glob, name)
			if err != nil {
				return nil, &SelectError{glob, err}
			}
			picked[n] = picked[n] || ok
			any = any || ok
		}
	}
	if !any {
		return nil, &SelectError{strings.Join(globs, " "), fmt.Errorf("no file of %s matches", info.Name)}
	}
	return func(file int) bool { return picked[file] }, nil
}

// matchPath matches a glob against a path, against every folder above it and,
// if the glob has no slash, against the last element.
func matchPath(glob, name string) (bool, error) {
	glob = strings.TrimSuffix(glob, "/")
	if !strings.Contains(glob, "/") {
		if ok, err := path.Match(glob, path.Base(name)); ok || err != nil {
			return ok, err
		}
	}
	for at := name; at != "." && at != "/"; at = path.Dir(at) {
		if ok, err := path.Match(glob, at); ok || err != nil {
			return ok, err
		}
	}
	return false, nil
}

// wanted is the set of pieces that hold bytes of the picked files, or of all.
func wanted(info *metainfo.Info, picked func(file int) bool) *bitfield.Set {
	want := bitfield.New(info.NumPieces())
	if picked == nil {
		for p := range info.NumPieces() {
			want.Set(p)
		}
		return want
	}
	for n := range info.Files {
		if !picked(n) {
			continue
		}
		first, end := info.FilePieces(n)
		for p := first; p < end; p++ {
			want.Set(int(p))
		}
	}
	return want
}
