package storage_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"shoal/internal/bt/metainfo"
	"shoal/internal/bt/storage"
	"shoal/internal/bt/storage/storagetest"
)

// zoo is a tree with every kind of entry and odd modes.
func zoo(t testing.TB, v metainfo.Version) *storagetest.Torrent {
	return storagetest.Make(t, v, piece,
		storagetest.Entry{Path: "bin/run", Data: storagetest.Bytes(2*piece+1, 1), Mode: 0o755},
		storagetest.Entry{Path: "bin/suid", Data: storagetest.Bytes(9, 2), Mode: 0o4751},
		storagetest.Entry{Path: "bin/to-run", Link: "run"},
		storagetest.Entry{Path: "dangling", Link: "no/such/file"},
		storagetest.Entry{Path: "empty", Mode: 0o600},
		storagetest.Entry{Path: "hollow", Dir: true},
		storagetest.Entry{Path: "locked", Dir: true, Mode: 0o555},
		storagetest.Entry{Path: "locked/in", Data: storagetest.Bytes(piece, 3), Mode: 0o444},
		storagetest.Entry{Path: "open", Data: storagetest.Bytes(5, 4), Mode: 0o666},
		storagetest.Entry{Path: "sticky", Dir: true, Mode: 0o1777},
		storagetest.Entry{Path: "weird \xff\n name", Data: storagetest.Bytes(5, 5), Mode: 0o640},
	)
}

var zooModes = map[string]fs.FileMode{
	"bin": 0o755, "bin/run": 0o755, "bin/suid": 0o751 | fs.ModeSetuid, "empty": 0o600, "hollow": 0o755,
	"locked": 0o555, "locked/in": 0o444, "open": 0o666, "sticky": 0o777 | fs.ModeSticky, "weird \xff\n name": 0o640, "": 0o755,
}

func fetch(t testing.TB, dir string, tor *storagetest.Torrent, o storage.Options) *storage.Disk {
	t.Helper()
	d := open(t, dir, tor, o)
	must(t, d.Preflight(t.Context()))
	check(t, d)
	must(t, d.Allocate(t.Context()))
	storagetest.Fill(t, tor, d)
	must(t, d.Finish(t.Context()))
	return d
}

// writableAgain lets the test's folder be removed by those who are not root.
func writableAgain(t testing.TB, name string) {
	t.Cleanup(func() { _ = os.Chmod(name, 0o755) }) // it may not be there
}

func TestFinishedTree(t *testing.T) {
	for _, umask := range []int{0o077, 0} {
		for _, v := range []metainfo.Version{metainfo.V1, metainfo.V2, metainfo.Hybrid} {
			old := syscall.Umask(umask)
			tor, dir := zoo(t, v), t.TempDir()
			writableAgain(t, path(dir, "locked"))
			d := fetch(t, dir, tor, storage.Options{})
			syscall.Umask(old)
			for name, mode := range zooModes {
				st, err := os.Lstat(path(dir, name))
				must(t, err)
				if got := st.Mode() &^ fs.ModeDir; got != mode {
					t.Errorf("%v, umask %o: %q has mode %v, want %v", v, umask, name, got, mode)
				}
			}
			for name, want := range map[string]string{"bin/to-run": "run", "dangling": "no/such/file"} {
				if got, err := os.Readlink(path(dir, name)); err != nil || got != want {
					t.Errorf("%q leads to %q, %v", name, got, err)
				}
			}
			if r, err := d.Verify(t.Context(), nil); err != nil || !r.OK() {
				t.Errorf("%v: verify: %+v, %v", v, r, err)
			}
			must(t, d.Finish(t.Context())) // once more changes nothing
			seed := open(t, dir, tor, storage.Options{ReadOnly: true})
			if have, hashed := check(t, seed); !have.All() || hashed != 0 {
				t.Errorf("%v: the next start has %d of %d and hashed %d", v, have.Count(), have.Len(), hashed)
			}
		}
	}
}

func TestExecutableBit(t *testing.T) {
	info := storagetest.Make(t, metainfo.V1, piece, storagetest.Entry{Path: "x", Data: []byte("#!")}, storagetest.Entry{Path: "y", Data: []byte("-")})
	info.Info.Files[0].Exec = true // BEP 47, without our key
	dir := t.TempDir()
	d := fetch(t, dir, info, storage.Options{})
	for name, want := range map[string]fs.FileMode{"x": 0o111, "y": 0} {
		st, err := os.Stat(path(dir, name))
		must(t, err)
		if st.Mode()&0o111&want != want || want == 0 && st.Mode()&0o111 != 0 {
			t.Errorf("%s has mode %v", name, st.Mode())
		}
	}
	must(t, os.Chmod(path(dir, "x"), 0o640))
	must(t, d.Finish(t.Context()))
	if st, err := os.Stat(path(dir, "x")); err != nil || st.Mode().Perm() != 0o750 {
		t.Errorf("who may read it may run it: %v, %v", st.Mode(), err)
	}
}

func TestSingleFile(t *testing.T) {
	for _, v := range versions {
		dir := t.TempDir()
		data := storagetest.Bytes(3*piece+1, 1)
		tor := storagetest.Make(t, v, piece, storagetest.Entry{Data: data})
		d := fetch(t, dir, tor, storage.Options{})
		if got := read(t, filepath.Join(dir, storagetest.Name)); !bytes.Equal(got, data) || d.Path() != filepath.Join(dir, storagetest.Name) {
			t.Errorf("not at %s", d.Path())
		}
		if r, err := d.Verify(t.Context(), nil); err != nil || !r.OK() || r.Files != 1 {
			t.Errorf("verify: %+v, %v", r, err)
		}
	}
}

func TestOutsideLinks(t *testing.T) {
	tor := storagetest.Make(t, metainfo.Hybrid, piece,
		storagetest.Entry{Path: "a", Data: []byte("x")}, storagetest.Entry{Path: "out", Link: "/etc/passwd"}, storagetest.Entry{Path: "up", Link: "../../x"})
	if _, err := storage.Open(t.TempDir(), tor.Info, tor.Hashes, storage.Options{}); err == nil || !strings.Contains(err.Error(), "allow-outside-links") {
		t.Errorf("outside link: %v", err)
	}
	dir := t.TempDir()
	fetch(t, dir, tor, storage.Options{AllowOutsideLinks: true})
	if got, err := os.Readlink(path(dir, "out")); err != nil || got != "/etc/passwd" {
		t.Errorf("out leads to %q, %v", got, err)
	}
}

func TestVerify(t *testing.T) {
	for _, v := range versions {
		t.Run(v.String(), func(t *testing.T) {
			tor, dir := zoo(t, v), t.TempDir()
			writableAgain(t, path(dir, "locked"))
			d := fetch(t, dir, tor, storage.Options{})
			must(t, d.Close())
			damageFile(t, path(dir, "bin/run"), 5)
			must(t,
				os.Remove(path(dir, "open")), os.Chmod(path(dir, "locked"), 0o755), os.Chmod(path(dir, "locked/in"), 0o400),
				os.Remove(path(dir, "bin/to-run")), os.Symlink("suid", path(dir, "bin/to-run")),
				os.Remove(path(dir, "dangling")), os.Mkdir(path(dir, "dangling"), 0o755),
				os.Remove(path(dir, "hollow")), os.WriteFile(path(dir, "empty"), []byte("not empty"), 0),
				os.WriteFile(path(dir, "bin/core"), nil, 0o600), os.MkdirAll(path(dir, "extra/deep"), 0o755),
				os.WriteFile(path(dir, "extra/deep/file"), nil, 0o600),
			)
			r, err := open(t, dir, tor, storage.Options{ReadOnly: true}).Verify(t.Context(), nil)
			must(t, err)
			var got []string
			for _, p := range r.Problems {
				got = append(got, p.Path+": "+string(p.Kind))
			}
			want := []string{
				"app/bin/core: extra", "app/bin/run: damaged", "app/bin/to-run: wrong link", "app/dangling: wrong type", "app/empty: wrong size",
				"app/extra/: extra", "app/hollow/: missing", "app/locked/: wrong mode", "app/locked/in: wrong mode", "app/open: missing",
			}
			if v == metainfo.V1 { // small files share a piece with one that is missing
				want = append(want, "app/locked/in: unchecked", "app/weird \xff\n name: unchecked")
			}
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Errorf("problems\n%q\nwant\n%q", got, want)
			}
			if r.OK() || r.BadPieces == 0 || r.Pieces != tor.Info.NumPieces() {
				t.Errorf("report %+v", r)
			}
		})
	}
}

// TestVerifySharedPiece: in v1 nobody can tell which file of a piece is wrong.
func TestVerifySharedPiece(t *testing.T) {
	dir := t.TempDir()
	tor := storagetest.Make(t, metainfo.V1, piece, storagetest.Entry{Path: "a", Data: []byte("aaa")}, storagetest.Entry{Path: "b", Data: []byte("bbb")})
	d := fetch(t, dir, tor, storage.Options{})
	damageFile(t, path(dir, "a"), 0)
	r, err := d.Verify(t.Context(), nil)
	must(t, err)
	if len(r.Problems) != 2 || r.Problems[0].Kind != storage.Suspect || r.Problems[1].Kind != storage.Suspect {
		t.Errorf("%+v", r)
	}
}

func TestVerifyNothing(t *testing.T) {
	tor := zoo(t, metainfo.Hybrid)
	r, err := open(t, filepath.Join(t.TempDir(), "nowhere"), tor, storage.Options{ReadOnly: true}).Verify(t.Context(), nil)
	must(t, err)
	if r.BadPieces != r.Pieces || len(r.Problems) < 8 {
		t.Errorf("%+v", r)
	}
}

func TestSelect(t *testing.T) {
	for _, v := range versions {
		t.Run(v.String(), func(t *testing.T) {
			tor, dir := library(t, v), t.TempDir()
			pick := func(names ...string) func(int) bool {
				return func(i int) bool { return slices.Contains(names, metainfo.DisplayPath(tor.Info.Files[i].Path)) }
			}
			some := storage.Options{Select: pick("sub/two", "tiny")}
			d := open(t, dir, tor, some)
			must(t, d.Preflight(t.Context()))
			check(t, d)
			must(t, d.Allocate(t.Context()))
			wanted := 0
			for p := range tor.Info.NumPieces() {
				for s := range tor.Info.Segments(int64(p)*piece, piece) {
					if s.File >= 0 && some.Select(s.File) {
						storagetest.Put(t, tor, d, metainfo.Piece(p))
						wanted++
						// The whole piece can be served, with what lies in other files.
						got := make([]byte, tor.Info.PieceData(metainfo.Piece(p)))
						if _, err := d.ReadAt(got, int64(p)*piece); err != nil || !bytes.Equal(got, tor.Piece(metainfo.Piece(p))) {
							t.Errorf("piece %d reads differently, %v", p, err)
						}
						break
					}
				}
			}
			must(t, d.Finish(t.Context()))
			for name, there := range map[string]bool{"big": false, "sub/one": false, "sub/two": true, "tiny": true} {
				if _, err := os.Lstat(path(dir, name)); (err == nil) != there {
					t.Errorf("%s: %v", name, err)
				}
			}
			if r, err := d.Verify(t.Context(), nil); err != nil || !r.OK() || r.Files != 2 {
				t.Errorf("verify: %+v, %v", r, err)
			}
			must(t, d.Close())
			d = open(t, dir, tor, some)
			if have, hashed := check(t, d); have.Count() != wanted || hashed != 0 {
				t.Errorf("again: %d of %d pieces, hashed %d", have.Count(), wanted, hashed)
			}
			must(t, d.Close())

			// Then all of it is wanted: nothing that lies in the part file may count
			// as being in its file.
			d = open(t, dir, tor, storage.Options{})
			have, _ := check(t, d)
			for p := range tor.Info.NumPieces() {
				if !have.Has(p) {
					storagetest.Put(t, tor, d, metainfo.Piece(p))
				}
			}
			must(t, d.Finish(t.Context()))
			if r, err := d.Verify(t.Context(), nil); err != nil || !r.OK() {
				t.Errorf("verify of all: %+v, %v", r, err)
			}
			if left, err := filepath.Glob(filepath.Join(dir, ".*.parts")); err != nil || len(left) > 0 {
				t.Errorf("the part file is still there: %v, %v", left, err)
			}
			must(t, d.Close())

			// And back: the boundary pieces are not in the part file now.
			d = open(t, dir, tor, storage.Options{Select: pick("sub/one")})
			have, _ = check(t, d)
			for p := have.Next(0); p >= 0; p = have.Next(p + 1) {
				got := make([]byte, tor.Info.PieceData(metainfo.Piece(p)))
				if _, err := d.ReadAt(got, int64(p)*piece); err != nil || !bytes.Equal(got, tor.Piece(metainfo.Piece(p))) {
					t.Errorf("piece %d is said to be there and reads differently, %v", p, err)
				}
			}
		})
	}
}

// TestAs lays content out under another name than the torrent's, which its
// record outlives: it is found again without hashing.
func TestAs(t *testing.T) {
	tor, dir, state := zoo(t, metainfo.Hybrid), t.TempDir(), t.TempDir()
	o := storage.Options{As: ".other", ResumeDir: state}
	must(t, fetch(t, dir, tor, o).Close())
	writableAgain(t, dir+"/.other/locked")
	entries, err := os.ReadDir(dir)
	must(t, err)
	if len(entries) != 1 || entries[0].Name() != ".other" {
		t.Errorf("the folder holds %v, want .other alone", entries)
	}
	must(t, os.Rename(dir+"/.other", dir+"/1.2"))
	writableAgain(t, dir+"/1.2/locked")
	d := open(t, dir, tor, storage.Options{As: "1.2", ResumeDir: state, ReadOnly: true})
	if have, hashed := check(t, d); have.Count() != tor.Info.NumPieces() || hashed != 0 {
		t.Errorf("found %d of %d pieces and hashed %d bytes, want all and none", have.Count(), tor.Info.NumPieces(), hashed)
	}
	if report, err := d.Verify(t.Context(), nil); err != nil || !report.OK() {
		t.Errorf("verify: %+v, %v", report, err)
	}
}

// TestPace lets a check ask before every piece, and end where it is told to.
func TestPace(t *testing.T) {
	tor, dir := zoo(t, metainfo.V2), t.TempDir()
	must(t, fetch(t, dir, tor, storage.Options{}).Close())
	writableAgain(t, dir+"/"+storagetest.Name+"/locked")
	asked, stop := int64(0), errors.New("enough")
	o := storage.Options{ReadOnly: true, Threads: 1, Pace: func(_ context.Context, n int) error {
		if asked += int64(n); asked > 3*piece {
			return stop
		}
		return nil
	}}
	if _, err := open(t, dir, tor, o).Verify(t.Context(), nil); !errors.Is(err, stop) {
		t.Errorf("verify: %v, want %v", err, stop)
	}
	o.Pace = func(_ context.Context, n int) error { asked += int64(n); return nil }
	asked = 0
	if _, err := open(t, dir, tor, o).Verify(t.Context(), nil); err != nil || asked != tor.Info.ContentLength() {
		t.Errorf("asked for %d bytes, %v, want %d", asked, err, tor.Info.ContentLength())
	}
}
