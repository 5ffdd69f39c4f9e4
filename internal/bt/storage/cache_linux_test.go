package storage_test

import (
	"io"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"shoal/internal/bt/metainfo"
	"shoal/internal/bt/storage"
	"shoal/internal/bt/storage/storagetest"
)

// cachedBytes is how much of a file lies in the page cache.
func cachedBytes(t testing.TB, name string) int64 {
	t.Helper()
	f, err := os.Open(name)
	must(t, err)
	defer f.Close()
	st, err := f.Stat()
	must(t, err)
	var c unix.Cachestat_t
	if err := unix.Cachestat(uint(f.Fd()), &unix.CachestatRange{Len: uint64(st.Size())}, &c, 0); err != nil {
		t.Skipf("the kernel does not tell what is cached: %v", err)
	}
	return int64(c.Cache) * int64(os.Getpagesize())
}

// onDisk is a folder on a file system that has a page cache to drop from.
func onDisk(t testing.TB) string {
	dir := t.TempDir()
	var st unix.Statfs_t
	must(t, unix.Statfs(dir, &st))
	if st.Type == unix.TMPFS_MAGIC {
		t.Skip("TMPDIR is in memory, which is nothing but page cache")
	}
	return dir
}

// slack is what may stay above the window: folios at edges, and what
// is being read ahead.
const slack = 4 << 20

func TestDropLeavesAWindow(t *testing.T) {
	// Two cores hash. What the kernel reads ahead for one, up to 8 MiB on some disks,
	// the other may have read and dropped already; it goes when the window comes by.
	const window, size = 32 << 20, 192 << 20
	tor := storagetest.Make(t, metainfo.Hybrid, 256<<10,
		storagetest.Entry{Path: "big", Data: storagetest.Bytes(size, 1)}, storagetest.Entry{Path: "x", Data: []byte("x")})
	dir := onDisk(t)
	o := storage.Options{Cache: storage.Drop, Window: window}
	d := open(t, dir, tor, o)
	check(t, d)
	must(t, d.Allocate(t.Context()))
	storagetest.Fill(t, tor, d)
	if n := cachedBytes(t, path(dir, "big")); n > window+slack || n == 0 {
		t.Errorf("after writing, %d bytes are cached", n)
	}
	for p := range tor.Info.NumPieces() {
		d.Release(metainfo.Piece(p))
	}
	d.WaitDropped()
	if n := cachedBytes(t, path(dir, "big")); n > slack {
		t.Errorf("after release, %d bytes are cached", n)
	}
	must(t, d.Finish(t.Context()))
	if r, err := d.Verify(t.Context(), nil); err != nil || !r.OK() {
		t.Errorf("%+v, %v", r, err)
	}
	if n := cachedBytes(t, path(dir, "big")); n > window+slack {
		t.Errorf("after verify, %d bytes are cached", n)
	}
	// What goes out by sendfile comes into the cache, and is dropped in time too.
	for off := int64(0); off < size; off += 256 << 10 {
		f, at, n, release, err := d.Extent(off, 256<<10)
		must(t, err)
		_, err = io.Copy(io.Discard, io.NewSectionReader(f, at, n))
		release()
		must(t, err)
	}
	if n := cachedBytes(t, path(dir, "big")); n > window+slack {
		t.Errorf("after sending, %d bytes are cached", n)
	}
}

// TestDropLeavesOthersPages: what was cached before we came stays.
func TestDropLeavesOthersPages(t *testing.T) {
	tor := storagetest.Make(t, metainfo.Hybrid, 256<<10,
		storagetest.Entry{Path: "big", Data: storagetest.Bytes(8<<20, 1)}, storagetest.Entry{Path: "x", Data: []byte("x")})
	dir := onDisk(t)
	must(t, fetch(t, dir, tor, storage.Options{}).Close())
	read(t, path(dir, "big"))
	before := cachedBytes(t, path(dir, "big"))
	d := open(t, dir, tor, storage.Options{ReadOnly: true, Cache: storage.Drop, Window: 1 << 20})
	check(t, d)
	if r, err := d.Verify(t.Context(), nil); err != nil || !r.OK() {
		t.Errorf("%+v, %v", r, err)
	}
	for off := int64(0); off < 8<<20; off += 256 << 10 {
		_, _, _, release, err := d.Extent(off, 256<<10)
		must(t, err)
		release()
	}
	if after := cachedBytes(t, path(dir, "big")); after < before {
		t.Errorf("%d of %d bytes are left in the cache", after, before)
	}
}
