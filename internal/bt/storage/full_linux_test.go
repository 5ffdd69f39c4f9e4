package storage_test

import (
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
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

// newVolume makes a small ext4 in an image file and returns what mounts an image
// at dir. It is unmounted with the test.
func newVolume(t *testing.T) (image, dir string, mount func(image string)) {
	image, dir = filepath.Join(t.TempDir(), "image"), t.TempDir()
	must(t, os.WriteFile(image, nil, 0o600), os.Truncate(image, 16<<20))
	if out, err := exec.Command("mkfs.ext4", "-q", image).CombinedOutput(); err != nil {
		t.Skipf("no ext4: %v %s", err, out)
	}
	mounted := false
	unmount := func() {
		if mounted {
			must(t, syscall.Unmount(dir, 0))
		}
		mounted = false
	}
	t.Cleanup(unmount)
	return image, dir, func(image string) {
		unmount()
		if out, err := exec.Command("mount", "-o", "loop", image, dir).CombinedOutput(); err != nil {
			t.Skipf("mounting needs root and a loop device: %v %s", err, out)
		}
		mounted = true
	}
}

// TestMountedAnew: when a file system is mounted anew, what was not durable may
// be lost although the machine did not reboot.
func TestMountedAnew(t *testing.T) {
	image, dir, mount := newVolume(t)
	mount(image)
	tor := library(t, metainfo.V1)
	d := open(t, dir, tor, storage.Options{})
	storagetest.Put(t, tor, d, 0)
	must(t, d.Checkpoint())
	storagetest.Put(t, tor, d, 1)
	d.Crash()
	d = open(t, dir, tor, storage.Options{})
	if have, hashed := check(t, d); have.Count() != 2 || hashed != 0 {
		t.Errorf("same mount: have %v, hashed %d", list(have), hashed)
	}
	d.Crash()
	mount(image)
	d = open(t, dir, tor, storage.Options{})
	if have, hashed := check(t, d); have.Count() != 2 || hashed != piece {
		t.Errorf("mounted anew: have %v, hashed %d", list(have), hashed)
	}
	must(t, d.Close())
}

// TestPowerCut copies the disk under a fetch, which is what would be left of it
// if the power went, and goes on from the copy.
func TestPowerCut(t *testing.T) {
	image, dir, mount := newVolume(t)
	mount(image)
	tor := library(t, metainfo.Hybrid)
	d := open(t, dir, tor, storage.Options{})
	check(t, d)
	must(t, d.Allocate(t.Context()))
	var cuts []string
	var durable []int
	for n, p := range rand.Perm(tor.Info.NumPieces()) {
		storagetest.Put(t, tor, d, metainfo.Piece(p))
		if n%5 == 1 {
			must(t, d.Checkpoint())
		}
		if n%7 == 3 {
			copied := image + strconv.Itoa(n)
			must(t, os.WriteFile(copied, read(t, image), 0o600))
			cuts, durable = append(cuts, copied), append(durable, d.Durable())
		}
	}
	d.Crash()
	for i, cut := range cuts {
		mount(cut)
		d := open(t, dir, tor, storage.Options{})
		must(t, d.Preflight(t.Context()))
		have, _ := check(t, d)
		if have.Count() < durable[i] {
			t.Errorf("cut %d: %d pieces are left of %d that were durable", i, have.Count(), durable[i])
		}
		for p := range tor.Info.NumPieces() {
			if !have.Has(p) {
				storagetest.Put(t, tor, d, metainfo.Piece(p))
			}
		}
		must(t, d.Finish(t.Context()))
		if r, err := d.Verify(t.Context(), nil); err != nil || !r.OK() {
			t.Errorf("cut %d: believed what was not on disk: %+v, %v", i, r, err)
		}
		must(t, d.Close())
	}
}
