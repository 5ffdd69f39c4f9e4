package storage_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"shoal/internal/bt/metainfo"
	"shoal/internal/bt/storage"
	"shoal/internal/bt/storage/storagetest"
)

// manySmall is a torrent of 2,000 files, a hundred a piece by v1.
func manySmall(t *testing.T, v metainfo.Version) *storagetest.Torrent {
	var entries []storagetest.Entry
	for i := range 2000 {
		entries = append(entries, storagetest.Entry{Path: fmt.Sprintf("d%02d/f%04d", i/100, i), Data: storagetest.Bytes(1300, byte(i)), Mode: 0o640})
	}
	return storagetest.Make(t, v, 128<<10, entries...)
}

// TestExpect makes files ahead of their bytes, which race with them.
func TestExpect(t *testing.T) {
	for _, openFiles := range []int{0, 1, 16} {
		for _, v := range []metainfo.Version{metainfo.V1, metainfo.V2} {
			t.Run(fmt.Sprintf("%s/%d", v, openFiles), func(t *testing.T) {
				tor, dir := manySmall(t, v), t.TempDir()
				d := open(t, dir, tor, storage.Options{OpenFiles: openFiles})
				check(t, d)
				var wg sync.WaitGroup
				for first := range 2 {
					wg.Go(func() {
						for p := first; p < tor.Info.NumPieces(); p += 2 {
							d.Expect(metainfo.Piece(min(p+2, tor.Info.NumPieces()-1)))
							storagetest.Put(t, tor, d, metainfo.Piece(p))
						}
					})
				}
				wg.Wait()
				for start := time.Now(); d.EarlyFiles() > 0; time.Sleep(time.Millisecond) {
					if time.Since(start) > time.Minute {
						t.Fatalf("%d files count as made ahead after all were written", d.EarlyFiles())
					}
				}
				must(t, d.Finish(t.Context()))
				if r, err := d.Verify(t.Context(), nil); err != nil || !r.OK() {
					t.Errorf("%d problems, %v", len(r.Problems), err)
				}
			})
		}
	}
}

// TestExpectedAndKilled: files that were made ahead and never written are ours
// after a restart.
func TestExpectedAndKilled(t *testing.T) {
	tor, dir := manySmall(t, metainfo.V1), t.TempDir()
	d := open(t, dir, tor, storage.Options{})
	check(t, d)
	storagetest.Put(t, tor, d, 0) // opens the record
	d.Expect(5)
	for start := time.Now(); d.EarlyFiles() < 90; time.Sleep(time.Millisecond) {
		if time.Since(start) > time.Minute {
			t.Fatalf("%d files were made ahead", d.EarlyFiles())
		}
	}
	d.Crash()
	d = open(t, dir, tor, storage.Options{})
	have, _ := check(t, d)
	if have.Count() != 1 {
		t.Errorf("have %v", list(have))
	}
	storagetest.Fill(t, tor, d)
	must(t, d.Finish(t.Context()))
}

// TestExpectKeepsWhatIsThere: a file that somebody put where one is to be made
// is not touched, and who writes hears of it.
func TestExpectKeepsWhatIsThere(t *testing.T) {
	tor, dir := manySmall(t, metainfo.V1), t.TempDir()
	d := open(t, dir, tor, storage.Options{})
	check(t, d)
	storagetest.Put(t, tor, d, 0)
	name := path(dir, "d05/f0504")
	must(t, os.MkdirAll(filepath.Dir(name), 0o755))
	put(t, name, []byte("precious"))
	p := metainfo.Piece(504 * 1300 / (128 << 10))
	d.Expect(p)
	var conflict *storage.ConflictError
	if _, err := d.WriteAt(tor.Piece(p), tor.Info.PieceOffset(p)); !errors.As(err, &conflict) {
		t.Errorf("written over: %v", err)
	}
	if string(read(t, name)) != "precious" {
		t.Error("somebody's file was changed")
	}
}
