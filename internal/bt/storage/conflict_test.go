package storage_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"

	"testing"

	"golang.org/x/sys/unix"

	"shoal/internal/bt/metainfo"
	"shoal/internal/bt/storage"
	"shoal/internal/bt/storage/storagetest"
)

// must stops the test at an error.
func must(t testing.TB, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// put makes a file of a test and its folders.
func put(t testing.TB, name string, data []byte) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, data, 0o644))
}

func read(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(name)
	must(t, err)
	return b
}

// inTheWay are things that stand where the torrent's "sub/one" or its folder
// belongs. make prepares them; kept is a file whose bytes must stay as they are
// without Overwrite.
var inTheWay = []struct {
	name string
	make func(t *testing.T, dir string, data []byte) (kept string)
	// overwrite tells whether Overwrite may go on.
	overwrite bool
}{
	{"another file of the same size", func(t *testing.T, dir string, data []byte) string {
		put(t, path(dir, "sub/one"), bytes.Repeat([]byte("x"), len(data)))
		return path(dir, "sub/one")
	}, true},
	{"a shorter file", func(t *testing.T, dir string, data []byte) string {
		put(t, path(dir, "sub/one"), data[:len(data)-1])
		return path(dir, "sub/one")
	}, true},
	{"a longer file", func(t *testing.T, dir string, data []byte) string {
		put(t, path(dir, "sub/one"), append(bytes.Clone(data), "log line"...))
		return path(dir, "sub/one")
	}, true},
	{"a link to a file inside", func(t *testing.T, dir string, data []byte) string {
		put(t, path(dir, "sub/target"), []byte("precious"))
		must(t, os.Symlink("target", path(dir, "sub/one")))
		return path(dir, "sub/target")
	}, true},
	{"a link to a file outside", func(t *testing.T, dir string, data []byte) string {
		outside := filepath.Join(t.TempDir(), "secret")
		put(t, outside, []byte("precious"))
		must(t, os.MkdirAll(path(dir, "sub"), 0o755), os.Symlink(outside, path(dir, "sub/one")))
		return outside
	}, true},
	{"a folder that is a link inside", func(t *testing.T, dir string, data []byte) string {
		put(t, path(dir, "elsewhere/one"), []byte("precious"))
		must(t, os.Symlink("elsewhere", path(dir, "sub")))
		return path(dir, "elsewhere/one")
	}, true},
	{"a folder that is a link outside", func(t *testing.T, dir string, data []byte) string {
		outside := t.TempDir()
		put(t, filepath.Join(outside, "one"), []byte("precious"))
		must(t, os.MkdirAll(filepath.Join(dir, storagetest.Name), 0o755), os.Symlink(outside, path(dir, "sub")))
		return filepath.Join(outside, "one")
	}, true},
	{"the root folder is a link", func(t *testing.T, dir string, data []byte) string {
		outside := t.TempDir()
		put(t, filepath.Join(outside, "sub/one"), []byte("precious"))
		must(t, os.Symlink(outside, filepath.Join(dir, storagetest.Name)))
		return filepath.Join(outside, "sub/one")
	}, true},
	{"a file for a folder", func(t *testing.T, dir string, data []byte) string {
		put(t, path(dir, "sub"), []byte("precious"))
		return path(dir, "sub")
	}, true},
	{"a folder for a file", func(t *testing.T, dir string, data []byte) string {
		put(t, path(dir, "sub/one/inner"), []byte("precious"))
		return path(dir, "sub/one/inner")
	}, false},
	{"a FIFO", func(t *testing.T, dir string, data []byte) string {
		must(t, os.MkdirAll(path(dir, "sub"), 0o755), unix.Mkfifo(path(dir, "sub/one"), 0o600))
		put(t, path(dir, "other"), []byte("precious"))
		return path(dir, "other")
	}, true},
	{"half a file with two names", func(t *testing.T, dir string, data []byte) string {
		half := bytes.Clone(data)
		clear(half[piece:])
		put(t, filepath.Join(dir, "live"), half)
		must(t, os.MkdirAll(path(dir, "sub"), 0o755), os.Link(filepath.Join(dir, "live"), path(dir, "sub/one")))
		return filepath.Join(dir, "live")
	}, true},
}

// one is a torrent with a file of some pieces in a folder.
func one(t testing.TB) (*storagetest.Torrent, []byte) {
	data := storagetest.Bytes(3*piece+5, 2)
	return storagetest.Make(t, metainfo.Hybrid, piece, storagetest.Entry{Path: "sub/one", Data: data},
		storagetest.Entry{Path: "sub/two", Data: storagetest.Bytes(10, 1)}), data
}

func TestInTheWay(t *testing.T) {
	tor, data := one(t)
	for _, c := range inTheWay {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			kept := c.make(t, dir, data)
			before := read(t, kept)
			d := open(t, dir, tor, storage.Options{})
			err := d.Preflight(t.Context())
			if err == nil {
				_, err = d.Check(t.Context(), nil)
			}
			var conflict *storage.ConflictError
			if !errors.As(err, &conflict) || !strings.Contains(err.Error(), "overwrite") {
				t.Fatalf("not refused: %v", err)
			}
			if !strings.HasPrefix("app/sub/one", conflict.Conflicts[0].Path) {
				t.Errorf("blames %q", conflict.Conflicts[0].Path)
			}
			// Not even a caller that does not listen can do harm.
			for p := range tor.Info.NumPieces() {
				_, _ = d.WriteAt(tor.Piece(metainfo.Piece(p)), tor.Info.PieceOffset(metainfo.Piece(p)))
			}
			if !bytes.Equal(read(t, kept), before) {
				t.Error("what was there is lost")
			}
		})
	}
}

func TestOverwrite(t *testing.T) {
	tor, data := one(t)
	for _, c := range inTheWay {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			kept := c.make(t, dir, data)
			before := read(t, kept)
			d := open(t, dir, tor, storage.Options{Overwrite: true})
			err := d.Preflight(t.Context())
			if c.overwrite != (err == nil) {
				t.Fatalf("preflight: %v", err)
			}
			if err != nil {
				return
			}
			have, _ := check(t, d)
			must(t, d.Allocate(t.Context()))
			for p := range tor.Info.NumPieces() {
				if !have.Has(p) {
					storagetest.Put(t, tor, d, metainfo.Piece(p))
				}
			}
			must(t, d.Finish(t.Context()))
			st, err := os.Lstat(path(dir, "sub/one"))
			must(t, err)
			if !st.Mode().IsRegular() || !bytes.Equal(read(t, path(dir, "sub/one")), data) {
				t.Error("the content is not in place")
			}
			if kept != path(dir, "sub/one") && kept != path(dir, "sub") && !bytes.Equal(read(t, kept), before) {
				t.Errorf("%s was written through a link", kept)
			}
		})
	}
}

// TestLeftBehind: what another client left of the same content is completed.
func TestLeftBehind(t *testing.T) {
	tor, data := one(t)
	for name, left := range map[string]func() []byte{
		"complete":       func() []byte { return data },
		"some pieces":    func() []byte { b := bytes.Clone(data); clear(b[piece : 2*piece]); return b },
		"nothing in it":  func() []byte { return nil },
		"only last good": func() []byte { b := bytes.Clone(data); clear(b[:3*piece]); return b },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			put(t, path(dir, "sub/one"), left())
			d := open(t, dir, tor, storage.Options{})
			must(t, d.Preflight(t.Context()))
			have, _ := check(t, d)
			for p := range tor.Info.NumPieces() {
				if !have.Has(p) {
					storagetest.Put(t, tor, d, metainfo.Piece(p))
				}
			}
			must(t, d.Finish(t.Context()))
			if !bytes.Equal(read(t, path(dir, "sub/one")), data) {
				t.Error("not completed")
			}
		})
	}
}

// TestOursAgain: a finished tree that was damaged is repaired where the file is
// still the one that we made, and refused where somebody put another in place.
func TestOursAgain(t *testing.T) {
	tor, _ := one(t)
	finished := func(t *testing.T) string {
		dir := t.TempDir()
		d := open(t, dir, tor, storage.Options{})
		storagetest.Fill(t, tor, d)
		must(t, d.Finish(t.Context()), d.Close())
		return dir
	}
	t.Run("changed in place", func(t *testing.T) {
		dir := finished(t)
		damageFile(t, path(dir, "sub/two"), 3)
		must(t, os.Truncate(path(dir, "sub/one"), piece))
		if have, _ := check(t, open(t, dir, tor, storage.Options{})); have.Count() != 1 {
			t.Errorf("have %v", list(have))
		}
	})
	t.Run("replaced", func(t *testing.T) {
		dir := finished(t)
		put(t, path(dir, "new"), []byte("0123456789"))
		must(t, os.Rename(path(dir, "new"), path(dir, "sub/two")))
		var conflict *storage.ConflictError
		if _, err := open(t, dir, tor, storage.Options{}).Check(t.Context(), nil); !errors.As(err, &conflict) {
			t.Errorf("somebody's file would be overwritten: %v", err)
		}
	})
	t.Run("removed", func(t *testing.T) {
		dir := finished(t)
		must(t, os.Remove(path(dir, "sub/two")))
		d := open(t, dir, tor, storage.Options{})
		have, hashed := check(t, d)
		if have.Count() != have.Len()-1 || hashed != 0 {
			t.Errorf("have %v, hashed %d", list(have), hashed)
		}
		storagetest.Fill(t, tor, d)
		must(t, d.Finish(t.Context()))
	})
}

// TestSeedOfOtherContent: a seed never complains about what is in the way; it
// just does not have it, and it changes nothing.
func TestSeedOfOtherContent(t *testing.T) {
	tor, data := one(t)
	for _, c := range inTheWay {
		dir := t.TempDir()
		kept := c.make(t, dir, data)
		before := read(t, kept)
		d := open(t, dir, tor, storage.Options{ReadOnly: true})
		have, _ := check(t, d)
		if have.Has(tor.Info.NumPieces() - 1) {
			t.Errorf("%s: has a piece of a file that is not there", c.name)
		}
		if err := d.Preflight(t.Context()); err == nil {
			t.Errorf("%s: a seed has no preflight", c.name)
		}
		if _, err := d.WriteAt(data[:1], 0); err == nil {
			t.Errorf("%s: a seed writes", c.name)
		}
		if err := d.Finish(t.Context()); err == nil {
			t.Errorf("%s: a seed finishes", c.name)
		}
		must(t, d.Close())
		if !bytes.Equal(read(t, kept), before) {
			t.Errorf("%s: changed", c.name)
		}
	}
}

// TestSwappedWhileFetching: a folder that becomes a link in the middle of a
// fetch leads nobody out.
func TestSwappedWhileFetching(t *testing.T) {
	tor, _ := one(t)
	dir, outside := t.TempDir(), t.TempDir()
	put(t, filepath.Join(outside, "two"), []byte("precious"))
	d := open(t, dir, tor, storage.Options{OpenFiles: 1})
	check(t, d)
	must(t, os.MkdirAll(path(dir, ""), 0o755), os.Symlink(outside, path(dir, "sub")))
	for p := range tor.Info.NumPieces() {
		if _, err := d.WriteAt(tor.Piece(metainfo.Piece(p)), tor.Info.PieceOffset(metainfo.Piece(p))); err == nil {
			t.Errorf("piece %d went through the link", p)
		}
	}
	if e, _ := os.ReadDir(outside); len(e) != 1 || string(read(t, filepath.Join(outside, "two"))) != "precious" {
		t.Error("wrote outside")
	}
}
