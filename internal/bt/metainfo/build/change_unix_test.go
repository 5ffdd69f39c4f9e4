//go:build unix

package build

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"shoal/internal/bt/metainfo"
)

func TestSpecialFilesAreRefusedByName(t *testing.T) {
	for name, make := range map[string]func(path string) error{
		"a FIFO": func(path string) error { return syscall.Mkfifo(path, 0o600) },
		"a socket": func(path string) error {
			l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
			if err == nil {
				l.SetUnlinkOnClose(false)
				err = l.Close()
			}
			return err
		},
	} {
		dir := filepath.Join(t.TempDir(), "r")
		put(t, dir, "f", 5, 0o644)
		if err := make(filepath.Join(dir, "odd")); err != nil {
			t.Fatal(err)
		}
		_, err := Build(t.Context(), dir, Options{})
		if err == nil || !strings.Contains(err.Error(), `"odd"`) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: err = %v", name, err)
		}
		if _, err := Build(t.Context(), dir, Options{Exclude: []string{"odd"}}); err != nil {
			t.Errorf("%s left out: %v", name, err)
		}
	}
}

// TestChangesAreNoticed changes a file between the walk and the hashing, which
// is where a slow build spends its time.
func TestChangesAreNoticed(t *testing.T) {
	const size = 3 * jobBytes // so that several jobs read it
	rewrite := func(path string) error {
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		defer f.Close()
		if _, err := f.WriteAt([]byte("changed"), 100); err != nil {
			return err
		}
		// A coarse clock may not see a write so soon behind another.
		return os.Chtimes(path, time.Time{}, time.Now().Add(time.Hour))
	}
	for name, c := range map[string]struct {
		change func(path string) error
		want   string
	}{
		"grows":     {func(path string) error { return os.Truncate(path, size+1) }, "its size was"},
		"shrinks":   {func(path string) error { return os.Truncate(path, 10) }, "its size was"},
		"rewritten": {rewrite, "it was written to"},
		"chmod":     {func(path string) error { return os.Chmod(path, 0o600) }, "its mode was"},
		"vanishes":  {os.Remove, "it vanished"},
		"replaced by a file": {func(path string) error {
			if err := os.WriteFile(path+"2", make([]byte, size), 0o644); err != nil {
				return err
			}
			return os.Rename(path+"2", path)
		}, "another file took its place"},
		"replaced by a link": {func(path string) error {
			return errors.Join(os.Rename(path, path+"2"), os.Symlink(filepath.Base(path)+"2", path))
		}, ""},
		"replaced by a FIFO": {func(path string) error {
			return errors.Join(os.Remove(path), syscall.Mkfifo(path, 0o600))
		}, "another file took its place"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "r")
			put(t, dir, "sub/file", size, 0o644)
			put(t, dir, "sub/other", 5, 0o644)
			o := Options{Version: metainfo.Hybrid, Threads: 2, PieceLength: 1 << 20}
			tr, info, draft := walked(t, dir, o)
			if err := c.change(filepath.Join(dir, "sub/file")); err != nil {
				t.Fatal(err)
			}
			_, err := hashTree(t.Context(), tr, info, draft, o)
			var file *FileError
			if !errors.As(err, &file) || file.Path != "sub/file" || !strings.Contains(err.Error(), c.want) {
				t.Errorf("err = %v, want one of sub/file with %q", err, c.want)
			}
			// The look at the end finds it too.
			h := &hasher{tree: tr, info: info, jobPieces: 1}
			if err := h.recheck(); !errors.As(err, &file) || file.Path != "sub/file" {
				t.Errorf("recheck: %v", err)
			}
		})
	}
}

// walked is a build that has come as far as the hashing.
func walked(t *testing.T, dir string, o Options) (*tree, *metainfo.Info, *metainfo.Draft) {
	t.Helper()
	tr, err := walk(t.Context(), dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tr.root.Close() })
	draft, err := draftOf(tr, "r", o)
	if err != nil {
		t.Fatal(err)
	}
	info, err := draft.Layout()
	if err != nil {
		t.Fatal(err)
	}
	tr.sort()
	return tr, info, draft
}

func TestChangesWithoutBytesAreNoticed(t *testing.T) {
	for name, change := range map[string]func(dir string) error{
		"empty": func(dir string) error { return os.WriteFile(filepath.Join(dir, "empty"), []byte("x"), 0o644) },
		"link": func(dir string) error {
			return errors.Join(os.Remove(filepath.Join(dir, "link")), os.Symlink("empty", filepath.Join(dir, "link")))
		},
	} {
		dir := filepath.Join(t.TempDir(), "r")
		put(t, dir, "empty", 0, 0o644)
		put(t, dir, "file", 10, 0o644)
		link(t, dir, "link", "file")
		o := Options{Version: metainfo.V1, Threads: 1}
		tr, info, draft := walked(t, dir, o)
		if err := change(dir); err != nil {
			t.Fatal(err)
		}
		_, err := hashTree(t.Context(), tr, info, draft, o)
		var file *FileError
		if !errors.As(err, &file) || file.Path != name || !errors.Is(err, ErrChanged) {
			t.Errorf("%s: err = %v", name, err)
		}
	}
}

func TestUnreadable(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root may read everything")
	}
	dir := filepath.Join(t.TempDir(), "r")
	put(t, dir, "f", 5, 0o644)
	put(t, dir, "sub/secret", 5, 0)
	_, err := Build(t.Context(), dir, Options{})
	if !errors.Is(err, os.ErrPermission) || !strings.Contains(err.Error(), `"sub/secret"`) {
		t.Errorf("err = %v", err)
	}
}
