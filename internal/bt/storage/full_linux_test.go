package storage_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"shoal/internal/bt/metainfo"
	"shoal/internal/bt/storage"
	"shoal/internal/bt/storage/storagetest"
)

// TestDiskFills writes to a tiny file system until it is full, makes room, and
// goes on.
func TestDiskFills(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("none", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("a tiny file system needs root: %v", err)
	}
	t.Cleanup(func() { must(t, syscall.Unmount(dir, 0)) })
	tor := storagetest.Make(t, metainfo.V1, piece, storagetest.Entry{Path: "f", Data: storagetest.Bytes(20*piece, 1)})
	d := open(t, dir, tor, storage.Options{})
	must(t, d.Preflight(t.Context()))
	put(t, filepath.Join(dir, "hog"), make([]byte, 900<<10))
	if err := d.Preflight(t.Context()); !errors.Is(err, storage.ErrNoSpace) {
		t.Errorf("preflight: %v", err)
	}
	full := -1
	for p := range metainfo.Piece(20) {
		if _, err := d.WriteAt(tor.Piece(p), int64(p)*piece); err != nil {
			if !errors.Is(err, storage.ErrNoSpace) || !strings.Contains(err.Error(), "app/f") {
				t.Fatalf("write of piece %d: %v", p, err)
			}
			full = int(p)
			break
		}
		d.MarkHave(p)
	}
	if full < 0 {
		t.Fatal("never full")
	}
	must(t, os.Remove(filepath.Join(dir, "hog")))
	must(t, d.WaitSpace(t.Context()))
	for p := metainfo.Piece(full); p < 20; p++ {
		storagetest.Put(t, tor, d, p)
	}
	must(t, d.Finish(t.Context()), d.Close())
	if have, _ := check(t, open(t, dir, tor, storage.Options{ReadOnly: true})); !have.All() {
		t.Errorf("have %d", have.Count())
	}
}
