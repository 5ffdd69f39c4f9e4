package catalog

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"shoal/internal/bt/metainfo"
	"shoal/internal/bt/metainfo/build"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// metafile makes one of a file with some content.
func metafile(t *testing.T, name string, v metainfo.Version) *metainfo.Metafile {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte("content of "+name), 0o644); err != nil {
		t.Fatal(err)
	}
	m, err := build.Build(context.Background(), path, build.Options{Version: v})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func put(t *testing.T, dir, name string, data []byte) {
	t.Helper()
	// As people copy: elsewhere first, so that nobody reads half of it.
	tmp := filepath.Join(dir, "."+name)
	if err := os.WriteFile(tmp, data, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(tmp, filepath.Join(dir, name)); err != nil {
		t.Fatal(err)
	}
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func TestScan(t *testing.T) {
	dir := t.TempDir()
	v1, hybrid := metafile(t, "one", metainfo.V1), metafile(t, "both", metainfo.Hybrid)
	put(t, dir, "one.torrent", v1.Encode())
	put(t, dir, "both.torrent", hybrid.Encode())
	put(t, dir, "again.torrent", hybrid.Encode())
	put(t, dir, "bad.torrent", []byte("d4:info"))
	put(t, dir, "other.txt", v1.Encode())
	if err := os.Mkdir(filepath.Join(dir, "dir.torrent"), 0o755); err != nil {
		t.Fatal(err)
	}
	outside := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(outside, metafile(t, "two", metainfo.V1).Encode(), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(dir, "link.torrent")); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "fifo.torrent"), 0o644); err != nil {
		t.Fatal(err)
	}
	c, err := Open(dir, quiet())
	if err != nil {
		t.Fatal(err)
	}
	if n := len(c.Swarms()); n != 3 {
		t.Errorf("%d swarms, want 3", n)
	}
	for _, h := range hybrid.Info.Swarms() {
		e, ok := c.Entry(h)
		if !ok || e.File != "again.torrent" || e.Name != "both" || e.Size != 15 || e.Version != metainfo.Hybrid || !c.Has(h) {
			t.Errorf("%s: %+v, %v", h, e, ok)
		}
	}
	if _, ok := c.Entry(metainfo.InfoHash{}); ok {
		t.Error("an unknown swarm is known")
	}
	f, err := c.File("one.torrent")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if raw, err := io.ReadAll(f); err != nil || string(raw) != string(v1.Encode()) {
		t.Errorf("%d bytes, %v", len(raw), err)
	}
	for _, name := range []string{"bad.torrent", "link.torrent", "fifo.torrent", "dir.torrent", "other.txt", "../" + filepath.Base(dir) + "/one.torrent", "", ".", "/etc/passwd"} {
		if _, err := c.File(name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("File(%q): %v", name, err)
		}
	}
	// What changed since it was read is not given out.
	if err := os.WriteFile(filepath.Join(dir, "one.torrent"), []byte("now something else"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := c.File("one.torrent"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a changed file: %v", err)
	}
	if err := os.Remove(filepath.Join(dir, "both.torrent")); err != nil {
		t.Fatal(err)
	}
	if _, err := c.File("both.torrent"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a removed file: %v", err)
	}
}

func TestOpenErrors(t *testing.T) {
	if _, err := Open(filepath.Join(t.TempDir(), "none"), quiet()); err == nil || !strings.Contains(err.Error(), "folder of metafiles") {
		t.Errorf("a missing folder: %v", err)
	}
}

// TestFollow adds, changes, removes and moves metafiles, and the folder itself, under a running catalog.
func TestFollow(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "meta")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	c, err := Open(dir, quiet())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- c.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	a, b := metafile(t, "a", metainfo.V1), metafile(t, "b", metainfo.V2)
	ha, hb := a.Info.Swarms()[0], b.Info.Swarms()[0]
	await := func(what string, wantA, wantB bool) {
		t.Helper()
		for deadline := time.Now().Add(15 * time.Second); c.Has(ha) != wantA || c.Has(hb) != wantB; {
			if time.Now().After(deadline) {
				t.Fatalf("%s: a %v, b %v", what, c.Has(ha), c.Has(hb))
			}
			time.Sleep(5 * time.Millisecond)
		}
	}
	put(t, dir, "x.torrent", a.Encode())
	await("added", true, false)
	put(t, dir, "x.torrent", b.Encode())
	await("replaced", false, true)
	put(t, dir, "y.torrent", a.Encode())
	await("another added", true, true)
	if err := os.Remove(filepath.Join(dir, "x.torrent")); err != nil {
		t.Fatal(err)
	}
	await("removed", true, false)
	if err := os.Rename(filepath.Join(dir, "y.torrent"), filepath.Join(dir, "y.off")); err != nil {
		t.Fatal(err)
	}
	await("renamed", false, false)
	// Written slowly, in place.
	f, err := os.Create(filepath.Join(dir, "z.torrent"))
	if err != nil {
		t.Fatal(err)
	}
	raw := a.Encode()
	if _, err := f.Write(raw[:20]); err != nil {
		t.Fatal(err)
	}
	put(t, dir, "x.torrent", b.Encode())
	await("half a file beside a whole one", false, true)
	if _, err := f.Write(raw[20:]); err != nil {
		t.Fatal(err)
	}
	f.Close()
	await("the other half", true, true)
	// A folder that goes away ends nothing; what comes in its place counts.
	if err := os.Rename(dir, dir+".old"); err != nil {
		t.Fatal(err)
	}
	if err := c.scan(); err == nil || !c.Has(ha) {
		t.Errorf("a folder that vanished: %v, %v", err, c.Has(ha))
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	put(t, dir, "b.torrent", b.Encode())
	await("a new folder", false, true)
}
