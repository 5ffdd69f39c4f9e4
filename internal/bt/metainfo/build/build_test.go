package build

import (
	"bytes"
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"shoal/internal/bt/metainfo"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var versions = []metainfo.Version{metainfo.V1, metainfo.V2, metainfo.Hybrid}

// put writes a file of n bytes that depend on its name.
func put(t testing.TB, dir, name string, n int, mode os.FileMode) []byte {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	seed := sha256.Sum256([]byte(name))
	b := make([]byte, n)
	rand.NewChaCha8(seed).Read(b)
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return b
}

func link(t testing.TB, dir, name, text string) {
	t.Helper()
	if err := os.Symlink(text, filepath.Join(dir, name)); err != nil {
		t.Fatal(err)
	}
}

func folder(t testing.TB, dir, name string, mode os.FileMode) {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(path, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

// testTree makes a folder with everything in it that can be carried.
func testTree(t testing.TB) string {
	dir := filepath.Join(t.TempDir(), "release")
	put(t, dir, "a/big", 300_001, 0o755)
	put(t, dir, "a/empty", 0, 0o644)
	put(t, dir, "a.txt", 3, 0o640)
	put(t, dir, "b/exact", 2*64<<10, 0o444)
	put(t, dir, "b/deep/er/one block", 16<<10, os.ModeSetuid|0o711)
	put(t, dir, "bad\xff\xfename", 70_000, 0o644)
	put(t, dir, "zero at the end", 0, 0o600)
	link(t, dir, "a/up", "../b/./exact")
	link(t, dir, "dangling", "not/there")
	link(t, dir, "self", ".")
	folder(t, dir, "hollow/inner", 0o755)
	folder(t, dir, "b", os.ModeSetgid|0o750)
	folder(t, dir, "", 0o700)
	return dir
}

func TestBuildCarriesTheWholeTree(t *testing.T) {
	dir := testTree(t)
	for _, v := range versions {
		m, err := Build(t.Context(), dir, Options{Version: v, PieceLength: 64 << 10})
		if err != nil {
			t.Fatalf("%s: %v", v, err)
		}
		if m.Info.Name != "release" || m.Info.Version != v || m.Info.SingleFile {
			t.Errorf("%s: name %q, version %s, single %v", v, m.Info.Name, m.Info.Version, m.Info.SingleFile)
		}
		var got []string
		for _, f := range m.Info.Files {
			got = append(got, fmt.Sprintf("%q %d %o %v %q %q", strings.Join(f.Path, "/"), f.Length, f.Mode, f.Exec, f.Symlink, f.LinkText))
		}
		if want := []string{
			`"a/big" 300001 755 true [] ""`,
			`"a/empty" 0 644 false [] ""`,
			`"a/up" 0 0 false ["b" "exact"] "../b/./exact"`,
			`"a.txt" 3 640 false [] ""`,
			`"b/deep/er/one block" 16384 4711 true [] ""`,
			`"b/exact" 131072 444 false [] ""`,
			`"bad\xff\xfename" 70000 644 false [] ""`,
			`"dangling" 0 0 false ["not" "there"] "not/there"`,
			`"self" 0 0 false ["self"] "."`,
			`"zero at the end" 0 600 false [] ""`,
		}; !slices.Equal(got, want) {
			t.Errorf("%s: files\n%s\nwant\n%s", v, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		got = nil
		for _, d := range m.Info.Dirs {
			got = append(got, fmt.Sprintf("%q %o", strings.Join(d.Path, "/"), d.Mode))
		}
		if want := []string{`"" 700`, `"b" 2750`, `"hollow/inner" 755`}; !slices.Equal(got, want) {
			t.Errorf("%s: dirs %q, want %q", v, got, want)
		}
		checkContent(t, m, dir)
	}
}

// checkContent compares the hashes with straightforward ones of the files.
func checkContent(t *testing.T, m *metainfo.Metafile, dir string) {
	t.Helper()
	info := m.Info
	space := make([]byte, info.Length())
	for _, f := range info.Files {
		if f.Length == 0 {
			continue
		}
		b, err := os.ReadFile(filepath.Join(append([]string{dir}, f.Path...)...))
		if err != nil {
			t.Fatal(err)
		}
		if copy(space[f.Offset:], b) != int(f.Length) {
			t.Fatalf("%q does not fit", f.Path)
		}
		if !info.HasV2() {
			continue
		}
		if f.Offset%info.PieceLength != 0 {
			t.Errorf("%s: %q begins inside of a piece", info.Version, f.Path)
		}
		if root := slowRoot(b); root != f.Root {
			t.Errorf("%s: root of %q is %x, want %x", info.Version, f.Path, f.Root, root)
		}
	}
	hashes, err := metainfo.NewHashes(info, m.Layers)
	if err != nil {
		t.Fatalf("%s: %v", info.Version, err)
	}
	if err := everyPiece(hashes, info, space); err != nil {
		t.Errorf("%s: %v", info.Version, err)
	}
	if !info.HasV1() {
		return
	}
	// By SHA-1 too: without the layers a hybrid has nothing else.
	if hashes, err = metainfo.NewHashes(info, nil); err != nil {
		t.Fatal(err)
	}
	if err := everyPiece(hashes, info, space); err != nil {
		t.Errorf("%s by SHA-1: %v", info.Version, err)
	}
	var want []byte
	for b := range slices.Chunk(space, int(info.PieceLength)) {
		sum := sha1.Sum(b)
		want = append(want, sum[:]...)
	}
	if !bytes.Contains(info.Raw, want) {
		t.Errorf("%s: the SHA-1 hashes are not those of piece space", info.Version)
	}
}

func everyPiece(hashes *metainfo.Hashes, info *metainfo.Info, space []byte) error {
	c := hashes.NewChecker()
	for n := range info.NumPieces() {
		p := metainfo.Piece(n)
		c.Reset(p)
		off := info.PieceOffset(p)
		if !c.WriteAt(space[off:off+info.PieceData(p)], 0) || !c.OK() {
			return fmt.Errorf("piece %d does not match", n)
		}
	}
	return nil
}

// slowRoot is the root of BEP 52, by its definition.
func slowRoot(b []byte) [32]byte {
	var level [][32]byte
	for block := range slices.Chunk(b, 16<<10) {
		level = append(level, sha256.Sum256(block))
	}
	for len(level)&(len(level)-1) != 0 {
		level = append(level, [32]byte{})
	}
	for len(level) > 1 {
		for i := range len(level) / 2 {
			level[i] = sha256.Sum256(append(level[2*i][:], level[2*i+1][:]...))
		}
		level = level[:len(level)/2]
	}
	return level[0]
}

func TestBuildIsDeterministic(t *testing.T) {
	dir := testTree(t)
	for _, v := range versions {
		var first []byte
		for _, threads := range []int{1, 2, 7} {
			m, err := Build(t.Context(), dir, Options{Version: v, Threads: threads, CrossSeedKey: "k", Private: true, Source: "s"})
			if err != nil {
				t.Fatal(err)
			}
			if first == nil {
				first = m.Encode()
			}
			if !bytes.Equal(first, m.Encode()) {
				t.Errorf("%s: %d threads make another metafile", v, threads)
			}
		}
	}
}

func TestBuildSingleFile(t *testing.T) {
	dir := t.TempDir()
	for _, size := range []int{1, 16 << 10, 64 << 10, 64<<10 + 1, 1_000_000} {
		name := fmt.Sprintf("file-%d", size)
		b := put(t, dir, name, size, 0o755)
		for _, v := range versions {
			m, err := Build(t.Context(), filepath.Join(dir, name), Options{Version: v, PieceLength: 64 << 10})
			if err != nil {
				t.Fatalf("%s %s: %v", v, name, err)
			}
			i := m.Info
			if !i.SingleFile || i.Name != name || i.Length() != int64(size) || len(i.Files) != 1 || i.Files[0].Path != nil || !i.Files[0].Exec || i.Files[0].Mode != 0o755 {
				t.Errorf("%s %s: %+v", v, name, i.Files)
			}
			hashes, err := metainfo.NewHashes(i, m.Layers)
			if err != nil {
				t.Fatal(err)
			}
			if err := everyPiece(hashes, i, b); err != nil {
				t.Errorf("%s %s: %v", v, name, err)
			}
		}
	}
}

// TestFolderOfOneFile stays a folder, in v2-only too, where the file tree alone
// does not tell.
func TestFolderOfOneFile(t *testing.T) {
	for _, v := range versions {
		dir := filepath.Join(t.TempDir(), "box")
		put(t, dir, "only", 10, 0o644)
		m, err := Build(t.Context(), dir, Options{Version: v})
		if err != nil {
			t.Fatal(err)
		}
		if m.Info.SingleFile || m.Info.Name != "box" || !slices.Equal(m.Info.Files[0].Path, []string{"only"}) {
			t.Errorf("%s: single %v, name %q, files %+v", v, m.Info.SingleFile, m.Info.Name, m.Info.Files)
		}
	}
}

func TestBuildFields(t *testing.T) {
	dir := testTree(t)
	o := Options{
		Name: "other", Comment: "c", CreatedBy: "by", Private: true, Source: "src", CrossSeed: true,
		Announce: [][]string{{"http://a/announce", "http://b/announce"}, {"udp://c:1"}}, WebSeeds: []string{"http://w/"},
	}
	a, err := Build(t.Context(), dir, o)
	if err != nil {
		t.Fatal(err)
	}
	m, err := metainfo.Parse(a.Encode())
	if err != nil {
		t.Fatal(err)
	}
	if m.Info.Name != "other" || !m.Info.Private || m.Info.Source != "src" || m.Comment != "c" || m.CreatedBy != "by" ||
		!slices.EqualFunc(m.Announce, o.Announce, slices.Equal) || !slices.Equal(m.WebSeeds, o.WebSeeds) || len(m.Warnings) > 0 {
		t.Errorf("read back: %+v, %v", m.Info.Name, m.Warnings)
	}
	b, err := Build(t.Context(), dir, o)
	if err != nil {
		t.Fatal(err)
	}
	if a.Info.HashV1 == b.Info.HashV1 || a.Info.HashV2 == b.Info.HashV2 {
		t.Error("cross-seed did not change the info-hash")
	}
}

func TestExclude(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "r")
	for _, name := range []string{"keep", "x.tmp", "sub/y.tmp", "sub/keep", ".git/config", "sub/cache/a", "sub/cache/b"} {
		put(t, dir, name, 5, 0o644)
	}
	if err := os.Symlink("/etc", filepath.Join(dir, "out.tmp")); err != nil {
		t.Fatal(err)
	}
	m, err := Build(t.Context(), dir, Options{Exclude: []string{"*.tmp", ".git", "sub/cache/*"}})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range m.Info.Files {
		got = append(got, metainfo.DisplayPath(f.Path))
	}
	if !slices.Equal(got, []string{"keep", "sub/keep"}) {
		t.Errorf("files %q", got)
	}
	if len(m.Info.Dirs) != 1 || metainfo.DisplayPath(m.Info.Dirs[0].Path) != "sub/cache" {
		t.Errorf("dirs %+v: a folder whose files are all left out stays", m.Info.Dirs)
	}
	if _, err := Build(t.Context(), dir, Options{Exclude: []string{"["}}); err == nil || !strings.Contains(err.Error(), `"["`) {
		t.Errorf("bad pattern: %v", err)
	}
}

func TestOutsideLinks(t *testing.T) {
	for _, text := range []string{"/etc/passwd", "../x", "sub/../../x", "inner/../../x"} {
		dir := filepath.Join(t.TempDir(), "r")
		put(t, dir, "f", 5, 0o644)
		put(t, dir, "sub/g", 5, 0o644)
		link(t, dir, "inner", "sub")
		link(t, dir, "bad", text)
		_, err := Build(t.Context(), dir, Options{})
		var file *FileError
		if !errors.As(err, &file) || file.Path != "bad" || !strings.Contains(err.Error(), "out of the tree") {
			t.Errorf("%q: err = %v", text, err)
		}
		m, err := Build(t.Context(), dir, Options{AllowOutsideLinks: true})
		if err != nil {
			t.Errorf("%q allowed: %v", text, err)
			continue
		}
		if f := m.Info.Files[0]; f.LinkText != text || !f.Outside || f.Target() != text {
			t.Errorf("%q allowed: %+v", text, f)
		}
	}
}

func TestCancel(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Build(ctx, testTree(t), Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("err = %v", err)
	}
}

func TestProgress(t *testing.T) {
	var done, total int64
	m, err := Build(t.Context(), testTree(t), Options{Progress: func(d, n int64) {
		if d < done || d > n {
			t.Errorf("progress went from %d to %d of %d", done, d, n)
		}
		done, total = d, n
	}})
	if err != nil {
		t.Fatal(err)
	}
	if done != m.Info.ContentLength() || total != done {
		t.Errorf("progress ended at %d of %d, want %d", done, total, m.Info.ContentLength())
	}
}
