package storage_test

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"shoal/internal/bt/metainfo"
	"shoal/internal/bt/storage"
	"shoal/internal/bt/storage/storagetest"
)

func TestTooBig(t *testing.T) {
	tor, dir := library(t, metainfo.Hybrid), t.TempDir()
	tor.Info.Files[0].Length = 1 << 54 // nobody has that
	where := filepath.Join(dir, "not", "yet")
	d := open(t, where, tor, storage.Options{})
	err := d.Preflight(t.Context())
	var space *storage.SpaceError
	if !errors.Is(err, storage.ErrNoSpace) || !errors.As(err, &space) || space.Needed < 1<<54 || space.Free <= 0 ||
		!strings.Contains(err.Error(), "18 PB more needed") || !strings.Contains(err.Error(), where) {
		t.Errorf("preflight: %v", err)
	}
	if _, err := os.Stat(where); !errors.Is(err, fs.ErrNotExist) {
		t.Error("preflight made the folder")
	}
	if err := open(t, where, tor, storage.Options{Sparse: true}).Preflight(t.Context()); err != nil {
		t.Errorf("sparse: %v", err)
	}
}

// TestReservedCounts: space that is reserved already is not asked for again.
func TestReservedCounts(t *testing.T) {
	data := storagetest.Bytes(4<<20, 1)
	tor, dir := storagetest.Make(t, metainfo.Hybrid, 1<<20, storagetest.Entry{Path: "f", Data: data}), t.TempDir()
	d := open(t, dir, tor, storage.Options{})
	must(t, d.Allocate(t.Context()))
	before, err := d.FreeSpace()
	must(t, err)
	if st, err := os.Stat(path(dir, "f")); err != nil || st.Size() != 4<<20 {
		t.Fatalf("not reserved: %v", err)
	}
	must(t, d.Preflight(t.Context()))
	storagetest.Fill(t, tor, d)
	if after, err := d.FreeSpace(); err != nil || after < before-64<<20 { // others write here too
		t.Errorf("free space went from %d to %d, %v", before, after, err)
	}
}

// TestSparseFileCounts: of a file with holes only what it holds is counted.
func TestSparseFileCounts(t *testing.T) {
	data := storagetest.Bytes(8<<20, 1)
	tor, dir := storagetest.Make(t, metainfo.Hybrid, 1<<20, storagetest.Entry{Path: "f", Data: data}, storagetest.Entry{Path: "x"}), t.TempDir()
	must(t, os.MkdirAll(path(dir, ""), 0o755))
	f, err := os.Create(path(dir, "f"))
	must(t, err)
	_, err = f.WriteAt(data[2<<20:5<<20], 2<<20)
	must(t, err, f.Truncate(8<<20), f.Close())
	d := open(t, dir, tor, storage.Options{})
	if n := d.Needed(t.Context()); n != 5<<20 {
		t.Errorf("needs %d bytes, want %d", n, 5<<20)
	}
	if have, _ := check(t, d); have.Count() != 3 {
		t.Errorf("have %d pieces, want 3", have.Count())
	}
}

func TestWaitSpace(t *testing.T) {
	tor := library(t, metainfo.V1)
	d := open(t, t.TempDir(), tor, storage.Options{})
	must(t, d.WaitSpace(t.Context())) // there is room
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("stopped")
	cancel(why)
	if err := d.WaitSpace(ctx); !errors.Is(err, why) {
		t.Errorf("cancelled: %v", err)
	}

	m := storage.NewMem(tor.Info, tor.Hashes)
	m.SetSpace(2 * piece)
	if err := m.Preflight(t.Context()); !errors.Is(err, storage.ErrNoSpace) {
		t.Errorf("memory preflight: %v", err)
	}
	storagetest.Put(t, tor, m, 0)
	storagetest.Put(t, tor, m, 1)
	if _, err := m.WriteAt(tor.Piece(2), 2*piece); !errors.Is(err, storage.ErrNoSpace) {
		t.Errorf("memory is full: %v", err)
	}
	if err := m.WaitSpace(ctx); !errors.Is(err, why) {
		t.Errorf("memory, cancelled: %v", err)
	}
	waited := make(chan error)
	go func() { waited <- m.WaitSpace(t.Context()) }()
	m.SetSpace(3 * piece)
	must(t, <-waited)
	storagetest.Put(t, tor, m, 2)
}

func TestVanishedAndCutWhileSeeding(t *testing.T) {
	tor, dir := library(t, metainfo.V1), t.TempDir()
	must(t, fetch(t, dir, tor, storage.Options{}).Close())
	d := open(t, dir, tor, storage.Options{ReadOnly: true, OpenFiles: 1})
	check(t, d)
	must(t, os.Remove(path(dir, "sub/one")), os.Truncate(path(dir, "big"), piece))
	b := make([]byte, piece)
	if _, err := d.ReadAt(b, 0); err != nil {
		t.Errorf("what is there must be served: %v", err)
	}
	if n, err := d.ReadAt(b, piece/2); n != piece/2 || !errors.Is(err, io.ErrUnexpectedEOF) || !strings.Contains(err.Error(), "app/big") {
		t.Errorf("cut file: %d, %v", n, err)
	}
	if _, err := d.ReadAt(b, 21*piece); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "app/sub/one") {
		t.Errorf("vanished file: %v", err)
	}
	if _, _, _, _, err := d.Extent(21*piece, 10); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "app/sub/one") {
		t.Errorf("extent of a vanished file: %v", err)
	}
	must(t, os.RemoveAll(path(dir, "")))
	if _, err := d.ReadAt(b, int64(len(tor.Space))-10-piece); err == nil {
		t.Error("read from a folder that is gone")
	}
}

func TestVanishedWhileFetching(t *testing.T) {
	tor, dir := library(t, metainfo.V1), t.TempDir()
	d := open(t, dir, tor, storage.Options{OpenFiles: 1})
	check(t, d)
	storagetest.Fill(t, tor, d)
	must(t, os.Remove(path(dir, "sub/two")))
	if err := d.Finish(t.Context()); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "app/sub/two") {
		t.Errorf("finish: %v", err)
	}
	if _, err := d.WriteAt(tor.Piece(24), 24*piece); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "app/sub/two") {
		t.Errorf("write: %v", err)
	}
}

func TestDescriptorsAreBounded(t *testing.T) {
	var entries []storagetest.Entry
	for i := range 300 {
		entries = append(entries, storagetest.Entry{Path: "d" + string(rune('a'+i%26)) + "/" + string(rune('a'+i/26)), Data: storagetest.Bytes(50, byte(i))})
	}
	for _, v := range versions {
		tor := storagetest.Make(t, v, piece, entries...)
		d := open(t, t.TempDir(), tor, storage.Options{OpenFiles: 8})
		var wg sync.WaitGroup
		for p := range tor.Info.NumPieces() {
			wg.Go(func() {
				p := metainfo.Piece(p)
				if _, err := d.WriteAt(tor.Piece(p), tor.Info.PieceOffset(p)); err != nil {
					t.Error(err)
				}
				d.MarkHave(p)
			})
		}
		wg.Wait()
		if n := d.OpenFiles(); n > 8 {
			t.Errorf("%d files are open", n)
		}
		must(t, d.Finish(t.Context()))
		if have, _ := check(t, d); !have.All() {
			t.Errorf("have %d of %d", have.Count(), have.Len())
		}
	}
}

func TestCancelled(t *testing.T) {
	tor, dir := library(t, metainfo.V1), t.TempDir()
	d := fetch(t, dir, tor, storage.Options{})
	must(t, os.Remove(d.RecordPath()))
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("stopped")
	cancel(why)
	d = open(t, dir, tor, storage.Options{})
	_, err1 := d.Check(ctx, nil)
	_, err2 := d.Verify(ctx, nil)
	for what, err := range map[string]error{"preflight": d.Preflight(ctx), "allocate": d.Allocate(ctx), "check": err1, "verify": err2, "finish": d.Finish(ctx)} {
		if err == nil {
			t.Errorf("%s did not stop", what)
		}
	}
}

func TestProgress(t *testing.T) {
	tor, dir := library(t, metainfo.V1), t.TempDir()
	d := fetch(t, dir, tor, storage.Options{})
	var calls int
	var last, of int64
	_, err := d.Verify(t.Context(), func(done, total int64) {
		if done <= last {
			t.Errorf("progress went from %d to %d", last, done)
		}
		calls, last, of = calls+1, done, total
	})
	must(t, err)
	if last != of || of != tor.Info.Length() || calls == 0 {
		t.Errorf("ended at %d of %d after %d calls", last, of, calls)
	}
}

// TestBackgroundSync: written pieces become durable by themselves.
func TestBackgroundSync(t *testing.T) {
	tor, dir := library(t, metainfo.V1), t.TempDir()
	d := open(t, dir, tor, storage.Options{SyncEvery: time.Millisecond})
	storagetest.Fill(t, tor, d)
	for deadline := time.Now().Add(20 * time.Second); d.Durable() < tor.Info.NumPieces(); {
		if time.Now().After(deadline) {
			t.Fatalf("only %d pieces are durable", d.Durable())
		}
		time.Sleep(time.Millisecond) // polls what the background does
	}
}
