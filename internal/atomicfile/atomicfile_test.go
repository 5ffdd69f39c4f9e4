package atomicfile

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// only fails if dir holds anything but the names.
func only(t *testing.T, dir string, names ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if strings.Join(got, " ") != strings.Join(names, " ") {
		t.Errorf("folder holds %q, want %q", got, names)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestWrite(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "state")
	old := syscall.Umask(0o077)
	defer syscall.Umask(old)
	for _, s := range []string{"one", "", "three, longer than one"} {
		if err := Write(path, []byte(s), 0o664); err != nil {
			t.Fatal(err)
		}
		if got := read(t, path); got != s {
			t.Errorf("read %q, want %q", got, s)
		}
	}
	if fi, err := os.Stat(path); err != nil || fi.Mode() != 0o664 {
		t.Errorf("mode %v, %v; want 0664 whatever the umask", fi.Mode(), err)
	}
	only(t, dir, "state")
}

func TestWriteRootStaysInside(t *testing.T) {
	outside, inside := t.TempDir(), t.TempDir()
	root, err := os.OpenRoot(inside)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	if err := os.Symlink(outside, filepath.Join(inside, "out")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"out/x", "../x", "missing/x"} {
		if err := WriteRoot(root, name, []byte("x"), 0o600); err == nil {
			t.Errorf("wrote %s", name)
		}
	}
	only(t, outside)
	if err := os.Mkdir(filepath.Join(inside, "sub"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := WriteRoot(root, "sub/x", []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	only(t, filepath.Join(inside, "sub"), "x")
}

func TestReplacesALinkAndNotItsTarget(t *testing.T) {
	dir := t.TempDir()
	target, link := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	if err := errors.Join(os.WriteFile(target, []byte("kept"), 0o600), os.Symlink("a", link)); err != nil {
		t.Fatal(err)
	}
	if err := Write(link, []byte("new"), 0o600); err != nil {
		t.Fatal(err)
	}
	if read(t, target) != "kept" || read(t, link) != "new" {
		t.Error("wrote through the link")
	}
}

func TestFailureKeepsTheOldFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "state")
	if err := Write(path, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	broken := errors.New("disk on fire")
	err := WriteFunc(path, 0o600, func(w io.Writer) error {
		_, _ = w.Write([]byte("half"))
		return broken
	})
	if !errors.Is(err, broken) || !strings.Contains(err.Error(), path) {
		t.Errorf("error %v must wrap the cause and name the file", err)
	}
	if read(t, path) != "old" {
		t.Error("the old file is gone")
	}
	only(t, dir, "state")
	if err := Write(filepath.Join(dir, "no", "x"), nil, 0o600); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing folder: %v", err)
	}
}

func TestLongNameAndManyWriters(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, strings.Repeat("n", 255))
	var wg sync.WaitGroup
	for _, s := range []string{"aaaa", "bbbb", "cccc", "dddd"} {
		wg.Go(func() {
			if err := Write(path, []byte(s), 0o600); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got := read(t, path); len(got) != 4 || strings.Count(got, got[:1]) != 4 {
		t.Errorf("mixed content %q", got)
	}
	only(t, dir, filepath.Base(path))
}
