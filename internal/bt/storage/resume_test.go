package storage_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"shoal/internal/bt/bitfield"
	"shoal/internal/bt/metainfo"
	"shoal/internal/bt/storage"
	"shoal/internal/bt/storage/storagetest"
	"shoal/internal/filelock"
)

const piece = 32 << 10

// versions that store in different ways: pieces across files, and files at
// piece boundaries.
var versions = []metainfo.Version{metainfo.V1, metainfo.Hybrid}

// library is a torrent with a big file, and small ones.
func library(t testing.TB, v metainfo.Version) *storagetest.Torrent {
	return storagetest.Make(t, v, piece,
		storagetest.Entry{Path: "big", Data: storagetest.Bytes(20*piece, 1)},
		storagetest.Entry{Path: "sub/one", Data: storagetest.Bytes(3*piece+5, 2)},
		storagetest.Entry{Path: "sub/two", Data: storagetest.Bytes(2*piece, 3)},
		storagetest.Entry{Path: "tiny", Data: storagetest.Bytes(100, 4)},
	)
}

// check runs Check and returns what was there and how many bytes were hashed.
func check(t testing.TB, d *storage.Disk) (have *bitfield.Set, hashed int64) {
	t.Helper()
	have, err := d.Check(t.Context(), func(_, total int64) { hashed = total })
	if err != nil {
		t.Fatal(err)
	}
	return have, hashed
}

func list(set *bitfield.Set) (pieces []int) {
	for p := set.Next(0); p >= 0; p = set.Next(p + 1) {
		pieces = append(pieces, p)
	}
	return pieces
}

func path(dir string, name string) string { return filepath.Join(dir, storagetest.Name, name) }

// damageFile flips a byte in place, the way a broken program or an editor does.
func damageFile(t testing.TB, name string, off int64) {
	t.Helper()
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 1)
	_, err1 := f.ReadAt(b, off)
	b[0] ^= 1
	_, err2 := f.WriteAt(b, off)
	if err := errors.Join(err1, err2, f.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestKilledFetchGoesOn(t *testing.T) {
	for _, v := range versions {
		t.Run(v.String(), func(t *testing.T) {
			tor, dir := library(t, v), t.TempDir()
			d := open(t, dir, tor, storage.Options{})
			check(t, d)
			if err := d.Allocate(t.Context()); err != nil {
				t.Fatal(err)
			}
			for _, p := range []metainfo.Piece{0, 5, 6, 21} {
				storagetest.Put(t, tor, d, p)
			}
			// One block of piece 9 was written, and all of piece 12, which was not
			// marked yet.
			for _, w := range []struct{ p, n int }{{9, metainfo.BlockSize}, {12, piece}} {
				for off := 0; off < w.n; off += metainfo.BlockSize {
					at := w.p*piece + off
					if _, err := d.WriteAt(tor.Space[at:at+metainfo.BlockSize], int64(at)); err != nil {
						t.Fatal(err)
					}
				}
			}
			d.Crash()

			d = open(t, dir, tor, storage.Options{})
			have, hashed := check(t, d)
			if got := list(have); !slices.Equal(got, []int{0, 5, 6, 12, 21}) {
				t.Errorf("found pieces %v", got)
			}
			if hashed != piece {
				t.Errorf("hashed %d bytes; only piece 12 was in doubt", hashed)
			}
			if p := d.Partial(); len(p) != 1 || p[0].Piece != 9 || !slices.Equal(list(p[0].Blocks), []int{0}) {
				t.Errorf("partial pieces: %v", p)
			}
			// It goes on, and is killed again.
			storagetest.Put(t, tor, d, 1)
			d.Crash()
			d = open(t, dir, tor, storage.Options{})
			if have, _ := check(t, d); !slices.Equal(list(have), []int{0, 1, 5, 6, 12, 21}) {
				t.Errorf("after the second kill: %v", list(have))
			}
			if len(d.Partial()) != 1 {
				t.Error("the block of piece 9 was forgotten")
			}
			storagetest.Fill(t, tor, d)
			if err := d.Finish(t.Context()); err != nil {
				t.Fatal(err)
			}
			d.Crash()
			d = open(t, dir, tor, storage.Options{ReadOnly: true})
			if have, hashed := check(t, d); !have.All() || hashed != 0 {
				t.Errorf("after Finish: %d of %d, hashed %d", have.Count(), have.Len(), hashed)
			}
		})
	}
}

// TestChangedAfterKill: whatever anybody does to a file after a kill, however
// soon, is seen.
func TestChangedAfterKill(t *testing.T) {
	for _, v := range versions {
		t.Run(v.String(), func(t *testing.T) {
			tor, dir := library(t, v), t.TempDir()
			d := open(t, dir, tor, storage.Options{})
			storagetest.Fill(t, tor, d)
			d.Crash()
			time.Sleep(10 * time.Millisecond) // a tick of the file system's clock, not synchronisation
			damageFile(t, path(dir, "big"), 7*piece+9)
			d = open(t, dir, tor, storage.Options{})
			have, hashed := check(t, d)
			if have.Count() != have.Len()-1 || have.Has(7) {
				t.Errorf("found %d of %d", have.Count(), have.Len())
			}
			if hashed < 20*piece || hashed > 21*piece {
				t.Errorf("hashed %d bytes, want those of the one file", hashed)
			}
		})
	}
}

// TestTimesSetBack: setting the times of a file back does not hide a change.
func TestTimesSetBack(t *testing.T) {
	tor, dir := library(t, metainfo.Hybrid), t.TempDir()
	d := open(t, dir, tor, storage.Options{})
	storagetest.Fill(t, tor, d)
	if err := d.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	st, err := os.Stat(path(dir, "big"))
	if err != nil {
		t.Fatal(err)
	}
	damageFile(t, path(dir, "big"), 0)
	if err := os.Chtimes(path(dir, "big"), st.ModTime(), st.ModTime()); err != nil {
		t.Fatal(err)
	}
	if have, _ := check(t, open(t, dir, tor, storage.Options{ReadOnly: true})); have.Count() != have.Len()-1 {
		t.Errorf("found %d of %d", have.Count(), have.Len())
	}
}

func TestCleanStop(t *testing.T) {
	tor, dir := library(t, metainfo.V1), t.TempDir()
	d := open(t, dir, tor, storage.Options{})
	for _, p := range []metainfo.Piece{1, 2, 22} {
		storagetest.Put(t, tor, d, p)
	}
	if _, err := d.WriteAt(tor.Space[:metainfo.BlockSize], 0); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	d = open(t, dir, tor, storage.Options{})
	have, hashed := check(t, d)
	if !slices.Equal(list(have), []int{1, 2, 22}) || hashed != 0 || len(d.Partial()) != 1 {
		t.Errorf("have %v, hashed %d, partial %v", list(have), hashed, d.Partial())
	}
	damageFile(t, path(dir, "big"), piece)
	d = open(t, dir, tor, storage.Options{})
	if have, _ := check(t, d); !slices.Equal(list(have), []int{2, 22}) || len(d.Partial()) != 0 {
		t.Errorf("after a change: have %v, partial %v", list(have), d.Partial())
	}
	// What that check found out need not be found out again.
	if _, hashed := check(t, open(t, dir, tor, storage.Options{})); hashed != 0 {
		t.Errorf("hashed %d bytes again", hashed)
	}
}

func TestPowerLoss(t *testing.T) {
	tor, dir := library(t, metainfo.Hybrid), t.TempDir()
	d := open(t, dir, tor, storage.Options{})
	storagetest.Put(t, tor, d, 0)
	storagetest.Put(t, tor, d, 1)
	if err := d.Checkpoint(); err != nil {
		t.Fatal(err)
	}
	storagetest.Put(t, tor, d, 2)
	storagetest.Put(t, tor, d, 3)
	d.Crash()
	// Piece 3 never reached the disk. The file's times say nothing about that, so
	// they are made to be older than the record.
	damageFile(t, path(dir, "big"), 3*piece)
	touch(t, d.RecordPath())

	d = open(t, dir, tor, storage.Options{})
	d.Reboot(1)
	have, hashed := check(t, d)
	if !slices.Equal(list(have), []int{0, 1, 2}) {
		t.Errorf("have %v", list(have))
	}
	if hashed != 2*piece {
		t.Errorf("hashed %d bytes; pieces 2 and 3 were not durable", hashed)
	}
}

// touch makes a file newer than all that happened before, without changing it.
func touch(t testing.TB, name string) {
	t.Helper()
	time.Sleep(10 * time.Millisecond) // a tick of the file system's clock, not synchronisation
	if err := os.Chtimes(name, time.Time{}, time.Now()); err != nil {
		t.Fatal(err)
	}
}

func TestDurableSurvivesCompaction(t *testing.T) {
	tor, dir := library(t, metainfo.V1), t.TempDir()
	d := open(t, dir, tor, storage.Options{})
	for p := range metainfo.Piece(4) {
		storagetest.Put(t, tor, d, p)
	}
	if err := errors.Join(d.Checkpoint(), d.Compact()); err != nil {
		t.Fatal(err)
	}
	storagetest.Put(t, tor, d, 4)
	if _, err := d.WriteAt(tor.Space[6*piece:6*piece+metainfo.BlockSize], 6*piece); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(d.Compact(), d.Checkpoint()); err != nil {
		t.Fatal(err)
	}
	d.Crash()
	d = open(t, dir, tor, storage.Options{})
	d.Reboot(1)
	if have, hashed := check(t, d); have.Count() != 5 || hashed != piece { // piece 5 lies in a gap
		t.Errorf("have %v, hashed %d", list(have), hashed)
	}
	if len(d.Partial()) != 0 {
		t.Error("blocks that are not durable were kept over a power loss")
	}
}

// TestTornRecord cuts and garbles the record of a killed fetch: that costs a
// check and never anything else.
func TestTornRecord(t *testing.T) {
	tor, dir := library(t, metainfo.V1), t.TempDir()
	d := open(t, dir, tor, storage.Options{})
	if err := d.Allocate(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := []int{0, 1, 2, 24}
	for _, p := range want {
		storagetest.Put(t, tor, d, metainfo.Piece(p))
	}
	// A file that shoal had only begun must not look like somebody else's.
	if _, err := d.WriteAt(tor.Space[21*piece:21*piece+1000], 21*piece); err != nil {
		t.Fatal(err)
	}
	d.Crash()
	record, err := os.ReadFile(d.RecordPath())
	if err != nil {
		t.Fatal(err)
	}
	for i := range 40 {
		b := slices.Clone(record)
		switch i % 4 {
		case 0:
			b = b[:1+rand.N(len(b)-1)] // an empty one is left by who died before it made anything
			if (len(record)-len(b))%16 == 0 && len(b) > 0 {
				b = b[:len(b)-1] // whole entries are never lost but by a power loss
			}
		case 1:
			b[rand.N(len(b))] ^= 0x40
		case 2:
			clear(b[rand.N(len(b)):])
		case 3:
			b = append(b, storagetest.Bytes(rand.N(100), byte(i))...)
		}
		if err := os.WriteFile(d.RecordPath(), b, 0o600); err != nil {
			t.Fatal(err)
		}
		d := open(t, dir, tor, storage.Options{})
		if have, _ := check(t, d); !slices.Equal(list(have), want) && !bytes.Equal(b[:min(len(b), 88)], record[:88]) {
			t.Fatalf("round %d: have %v", i, list(have))
		} else if !slices.Equal(list(have), want) && !subset(have, want) {
			t.Fatalf("round %d: believed %v", i, list(have))
		}
		d.Crash()
	}
}

func subset(have *bitfield.Set, of []int) bool {
	for _, p := range list(have) {
		if !slices.Contains(of, p) {
			return false
		}
	}
	return true
}

// TestDiskFailsToStore: what the kernel could not write is not believed, not
// even when it can still be read from the cache.
func TestDiskFailsToStore(t *testing.T) {
	tor, dir := library(t, metainfo.V1), t.TempDir()
	d := open(t, dir, tor, storage.Options{})
	storagetest.Put(t, tor, d, 0)
	must(t, d.Checkpoint())
	storagetest.Put(t, tor, d, 1)
	if err := d.FailSync(); !errors.Is(err, unix.EIO) {
		t.Errorf("the cause is lost: %v", err)
	}
	if have := d.Have(); !slices.Equal(list(have), []int{0}) {
		t.Errorf("have %v", list(have))
	}
	for p := metainfo.Piece(2); int(p) < tor.Info.NumPieces(); p++ {
		storagetest.Put(t, tor, d, p)
	}
	if err := d.Finish(t.Context()); err == nil {
		t.Error("finished without a piece that was not stored")
	}
	d.Crash()
	if have, hashed := check(t, open(t, dir, tor, storage.Options{})); have.Has(1) || hashed != 0 {
		t.Errorf("have %v, hashed %d", list(have), hashed)
	}
}

func TestForget(t *testing.T) {
	tor, dir := library(t, metainfo.V1), t.TempDir()
	d := open(t, dir, tor, storage.Options{})
	for off := 0; off < piece; off += metainfo.BlockSize {
		if _, err := d.WriteAt(make([]byte, metainfo.BlockSize), int64(off)); err != nil {
			t.Fatal(err)
		}
	}
	if d.PiecesWritten() != 1 {
		t.Error("blocks were not noted")
	}
	d.Forget(0)
	d.Crash()
	d = open(t, dir, tor, storage.Options{})
	if have, hashed := check(t, d); have.Count() != 0 || hashed != 0 || len(d.Partial()) != 0 {
		t.Errorf("came back to a piece that was wrong: have %v, hashed %d", list(have), hashed)
	}
}

func TestTwoProcesses(t *testing.T) {
	tor, dir := library(t, metainfo.V1), t.TempDir()
	first, second := open(t, dir, tor, storage.Options{}), open(t, dir, tor, storage.Options{})
	storagetest.Put(t, tor, first, 0)
	_, err := second.WriteAt(tor.Piece(23), 23*piece)
	if _, held := filelock.HeldBy(err); !held {
		t.Errorf("two fetch into one place: %v", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	third := open(t, dir, tor, storage.Options{})
	check(t, third)
	storagetest.Fill(t, tor, third)
}

func TestRecordInAnotherFolder(t *testing.T) {
	tor, dir, where := library(t, metainfo.V1), t.TempDir(), filepath.Join(t.TempDir(), "state")
	o := storage.Options{ResumeDir: where}
	d := open(t, dir, tor, o)
	storagetest.Fill(t, tor, d)
	if err := errors.Join(d.Finish(t.Context()), d.Close()); err != nil {
		t.Fatal(err)
	}
	if e, err := os.ReadDir(dir); err != nil || len(e) != 1 {
		t.Errorf("beside the content: %v, %v", e, err)
	}
	if have, hashed := check(t, open(t, dir, tor, o)); !have.All() || hashed != 0 {
		t.Errorf("have %d, hashed %d", have.Count(), hashed)
	}
	// A seed that may not write beside the content still remembers its check.
	seed := storage.Options{ReadOnly: true, ResumeDir: filepath.Join(t.TempDir(), "seed")}
	if _, hashed := check(t, open(t, dir, tor, seed)); hashed == 0 {
		t.Error("knew the content without having seen it")
	}
	if have, hashed := check(t, open(t, dir, tor, seed)); !have.All() || hashed != 0 {
		t.Errorf("the second seed hashed %d", hashed)
	}
	// The same torrent elsewhere has another record.
	if have, _ := check(t, open(t, t.TempDir(), tor, o)); have.Count() != 0 {
		t.Error("took the record of another folder")
	}
}

func TestOtherTorrentOfTheSameName(t *testing.T) {
	dir := t.TempDir()
	a := library(t, metainfo.V1)
	b := storagetest.Make(t, metainfo.V1, piece, storagetest.Entry{Path: "other", Data: storagetest.Bytes(5*piece, 9)})
	for _, tor := range []*storagetest.Torrent{a, b} {
		d := open(t, dir, tor, storage.Options{})
		check(t, d)
		storagetest.Fill(t, tor, d)
		if err := errors.Join(d.Finish(t.Context()), d.Close()); err != nil {
			t.Fatal(err)
		}
	}
	for _, tor := range []*storagetest.Torrent{a, b} {
		if have, hashed := check(t, open(t, dir, tor, storage.Options{})); !have.All() || hashed != 0 {
			t.Errorf("have %d of %d, hashed %d", have.Count(), have.Len(), hashed)
		}
	}
}

// TestReservedSpaceIsNotRead: pieces that lie in holes need no reading, whether
// the torrent has zeros there or not.
func TestReservedSpaceIsNotRead(t *testing.T) {
	for _, v := range []metainfo.Version{metainfo.V1, metainfo.V2, metainfo.Hybrid} {
		data := storagetest.Bytes(64*piece+11, 1)
		clear(data[10*piece : 20*piece])
		clear(data[64*piece:])
		tor := storagetest.Make(t, v, piece, storagetest.Entry{Path: "big", Data: data})
		dir := t.TempDir()
		d := open(t, dir, tor, storage.Options{})
		check(t, d)
		if err := d.Allocate(t.Context()); err != nil {
			t.Fatal(err)
		}
		storagetest.Put(t, tor, d, 3)
		d.Crash()
		if err := os.Remove(d.RecordPath()); err != nil {
			t.Fatal(err)
		}
		var want []int
		for p := range 65 {
			if p == 3 || p == 64 || p >= 10 && p < 20 {
				want = append(want, p)
			}
		}
		if have, _ := check(t, open(t, dir, tor, storage.Options{})); !slices.Equal(list(have), want) {
			t.Errorf("%v: have %v", v, list(have))
		}
	}
}
