// Package build makes metafiles of files and folders: it walks the tree below
// an os.Root, never through a symbolic link, and hashes it on all cores. The
// same tree gives the same info dictionary, and a file that changes while it is
// hashed is an error that names it. It never writes to the tree and never uses
// the network.
package build

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"time"

	"shoal/internal/bt/metainfo"
)

// Options say what Build makes. The zero Options make a hybrid of everything.
type Options struct {
	Version           metainfo.Version // 0: Hybrid
	PieceLength       int64            // bytes; 0: chosen by what is there
	Name              string           // "": that of the file or folder
	Exclude           []string         // globs (path.Match) on the path below the root and on the base name
	AllowOutsideLinks bool             // carry symbolic links that lead out of the tree
	Threads           int              // hashing at once; 0: all cores

	Announce     [][]string // tiers
	WebSeeds     []string
	Private      bool
	Source       string
	Comment      string
	CreatedBy    string
	CreationDate time.Time // zero: none
	CrossSeed    bool      // make the info-hash unique by a random key
	CrossSeedKey string    // the key to use; "" with CrossSeed: a random one

	// Progress is told now and then how many bytes of how many are hashed,
	// never twice at once, and once more at the end.
	Progress func(done, total int64)
}

// Build makes the metafile of the file or folder at path.
func Build(ctx context.Context, path string, o Options) (*metainfo.Metafile, error) {
	if o.Version == 0 {
		o.Version = metainfo.Hybrid
	}
	if o.Threads <= 0 {
		o.Threads = runtime.GOMAXPROCS(0)
	}
	if err := checkGlobs(o.Exclude); err != nil {
		return nil, err
	}
	name, err := nameOf(path, o.Name)
	if err != nil {
		return nil, err
	}
	t, err := walk(ctx, path, o.Exclude)
	if err != nil {
		return nil, err
	}
	defer t.root.Close()
	draft, err := draftOf(t, name, o)
	if err != nil {
		return nil, err
	}
	info, err := draft.Layout()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if err := checkLinks(info, o); err != nil {
		return nil, err
	}
	t.sort()
	layers, err := hashTree(ctx, t, info, draft, o)
	if err != nil {
		return nil, err
	}
	return finish(draft, layers, o)
}

// nameOf is the name that the release gets.
func nameOf(path, name string) (string, error) {
	if name != "" {
		return name, nil
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", fmt.Errorf("name of %s: %w", path, err)
	}
	if name = filepath.Base(abs); name == string(filepath.Separator) {
		return "", fmt.Errorf("%s has no name: give the release one", path)
	}
	return name, nil
}

func draftOf(t *tree, name string, o Options) (*metainfo.Draft, error) {
	d := &metainfo.Draft{
		Version: o.Version, Name: name, PieceLength: o.PieceLength, SingleFile: t.single,
		Private: o.Private, Source: o.Source, CrossSeed: o.CrossSeedKey, Dirs: t.dirs,
	}
	if d.PieceLength == 0 {
		d.PieceLength = choosePieceLength(t, o.Version)
	}
	if o.CrossSeed && d.CrossSeed == "" {
		var key [16]byte
		if _, err := rand.Read(key[:]); err != nil {
			return nil, fmt.Errorf("random key: %w", err)
		}
		d.CrossSeed = hex.EncodeToString(key[:])
	}
	d.Files = make([]metainfo.File, len(t.files))
	for n := range t.files {
		d.Files[n] = t.files[n].file
	}
	return d, nil
}

// checkLinks refuses links that leave the tree before hours of hashing do.
func checkLinks(info *metainfo.Info, o Options) error {
	if o.AllowOutsideLinks {
		return nil
	}
	for n := range info.Files {
		if f := &info.Files[n]; f.Outside {
			return &FileError{Path: metainfo.DisplayPath(f.Path),
				Err: fmt.Errorf("the symbolic link leads to %q, out of the tree: leave it out, or allow outside links", f.Target())}
		}
	}
	return nil
}

// finish encodes what was hashed, and reads it again as every receiver will.
func finish(draft *metainfo.Draft, layers metainfo.Layers, o Options) (*metainfo.Metafile, error) {
	raw, err := draft.Encode()
	if err != nil {
		return nil, err
	}
	made, err := metainfo.Options{AllowOutsideLinks: o.AllowOutsideLinks}.ParseInfo(raw)
	if err != nil {
		return nil, fmt.Errorf("the new metafile is not acceptable: %w", err)
	}
	if len(made.Raw) > metainfo.MaxMetafile {
		return nil, fmt.Errorf("the info dictionary of %d bytes is larger than the limit of %d: use longer pieces", len(made.Raw), metainfo.MaxMetafile)
	}
	m := &metainfo.Metafile{
		Info: made, Layers: layers, Announce: o.Announce, WebSeeds: o.WebSeeds,
		Comment: o.Comment, CreatedBy: o.CreatedBy, CreationDate: o.CreationDate,
	}
	return m, nil
}

// FileError names the file that Build could not carry.
type FileError struct {
	Path string // below the root; "." for the root itself
	Err  error
}

func (e *FileError) Error() string { return fmt.Sprintf("%q: %v", e.Path, e.Err) }

// Unwrap is the cause.
func (e *FileError) Unwrap() error { return e.Err }

// checkGlobs refuses patterns that could never be matched.
func checkGlobs(globs []string) error {
	for _, glob := range globs {
		if _, err := path.Match(glob, ""); err != nil {
			return fmt.Errorf("exclude pattern %q: %w", glob, err)
		}
	}
	return nil
}

// excluded reports whether a glob matches the path or its last element.
func excluded(globs []string, rel string) bool {
	for _, glob := range globs {
		if ok, _ := path.Match(glob, rel); ok {
			return true
		}
		if ok, _ := path.Match(glob, path.Base(rel)); ok {
			return true
		}
	}
	return false
}

// openRoot opens the folder that paths are relative to, and says what is at
// path: for a single file the folder is the one around it.
func openRoot(path string) (root *os.Root, info os.FileInfo, err error) {
	info, err = os.Lstat(path)
	if err != nil {
		return nil, nil, err
	}
	switch mode := info.Mode(); {
	case mode.IsDir():
		root, err = os.OpenRoot(path)
	case mode.IsRegular():
		root, err = os.OpenRoot(filepath.Dir(path))
	case mode&os.ModeSymlink != 0:
		return nil, nil, fmt.Errorf("%s is a symbolic link: give the path that it leads to", path)
	default:
		return nil, nil, fmt.Errorf("%s is %s: only files and folders can be carried", path, kindOf(mode))
	}
	return root, info, err
}

// kindOf says what a file is that cannot be carried.
func kindOf(mode os.FileMode) string {
	switch {
	case mode&os.ModeCharDevice != 0:
		return "a character device"
	case mode&os.ModeDevice != 0:
		return "a block device"
	case mode&os.ModeSocket != 0:
		return "a socket"
	case mode&os.ModeNamedPipe != 0:
		return "a FIFO"
	}
	return "no regular file"
}
