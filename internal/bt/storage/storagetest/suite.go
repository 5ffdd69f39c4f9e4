package storagetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"testing"

	"shoal/internal/bt/bitfield"
	"shoal/internal/bt/metainfo"
	"shoal/internal/bt/storage"
)

// Store is what the suite asks of an implementation: moving bytes, and the
// stations of a fetch.
type Store interface {
	Mover
	Stations
}

// Mover moves content.
type Mover interface {
	io.ReaderAt
	io.WriterAt
	Extent(off, n int64) (file *os.File, fileOff, length int64, release func(), err error)
	Release(p metainfo.Piece)
}

// Stations are the steps of a fetch.
type Stations interface {
	Allocate(ctx context.Context) error
	Check(ctx context.Context, progress func(done, total int64)) (*bitfield.Set, error)
	MarkHave(ps ...metainfo.Piece)
	Finish(ctx context.Context) error
	Close() error
}

// Versions are all forms of torrents.
var Versions = []metainfo.Version{metainfo.V1, metainfo.V2, metainfo.Hybrid}

// Run holds an implementation to the contract of storage, with torrents of the
// given versions. open makes an empty one for a torrent.
func Run(t *testing.T, versions []metainfo.Version, open func(t *testing.T, tor *Torrent) Store) {
	for _, v := range versions {
		t.Run(v.String(), func(t *testing.T) {
			for _, c := range cases {
				t.Run(c.name, func(t *testing.T) {
					tor := Make(t, v, 32<<10, tree()...)
					s := open(t, tor)
					t.Cleanup(func() { _ = s.Close() }) // some cases close it themselves
					c.run(t, tor, s)
				})
			}
		})
	}
}

var cases = []struct {
	name string
	run  func(t *testing.T, tor *Torrent, s Store)
}{
	{"pieces", pieces},
	{"blocks in any order", blocks},
	{"bounds", bounds},
	{"what is not there", absent},
	{"damage is found", damage},
	{"extents", extents},
	{"many at once", concurrent},
	{"finish", finish},
	{"closed", closed},
}

// tree has all that makes offsets hard: files below, at and above the size of a
// piece, empty ones, and folders.
func tree() []Entry {
	return []Entry{
		{Path: "a/big", Data: Bytes(200_001, 1)},
		{Path: "a/empty"},
		{Path: "a/one", Data: Bytes(1, 2)},
		{Path: "b/c/exact", Data: Bytes(64<<10, 3)},
		{Path: "b/c/small", Data: Bytes(100, 4)},
		{Path: "b/c/tiny", Data: Bytes(7, 5)},
		{Path: "z", Data: Bytes(40_000, 6)},
	}
}

// Fill writes and marks all pieces.
func Fill(t testing.TB, tor *Torrent, s Store) {
	t.Helper()
	for p := range tor.Info.NumPieces() {
		Put(t, tor, s, metainfo.Piece(p))
	}
}

// Put writes and marks one piece.
func Put(t testing.TB, tor *Torrent, s Store, p metainfo.Piece) {
	t.Helper()
	b := tor.Piece(p)
	if n, err := s.WriteAt(b, tor.Info.PieceOffset(p)); err != nil || n != len(b) {
		t.Fatalf("write of piece %d: %d bytes, %v", p, n, err)
	}
	s.MarkHave(p)
}

// same fails unless all of piece space reads as the torrent's content.
func same(t *testing.T, tor *Torrent, s Store) {
	t.Helper()
	got := make([]byte, len(tor.Space))
	if n, err := s.ReadAt(got, 0); err != nil || n != len(got) || !bytes.Equal(got, tor.Space) {
		t.Fatalf("read %d bytes, %v; same as written: %v", n, err, bytes.Equal(got, tor.Space))
	}
}

func count(t *testing.T, s Store, want int) {
	t.Helper()
	have, err := s.Check(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if have.Count() != want {
		t.Fatalf("check found %d pieces, want %d", have.Count(), want)
	}
}

func pieces(t *testing.T, tor *Torrent, s Store) {
	Fill(t, tor, s)
	same(t, tor, s)
	for off := 0; off < len(tor.Space); off += 9_999 {
		b := make([]byte, min(70_000, len(tor.Space)-off))
		if _, err := s.ReadAt(b, int64(off)); err != nil || !bytes.Equal(b, tor.Space[off:off+len(b)]) {
			t.Fatalf("read at %d: %v", off, err)
		}
	}
	count(t, s, tor.Info.NumPieces())
}

func blocks(t *testing.T, tor *Torrent, s Store) {
	var offs []int
	for off := 0; off < len(tor.Space); off += 5000 {
		offs = append(offs, off)
	}
	slices.Reverse(offs)
	for _, off := range offs {
		b := slices.Clone(tor.Space[off:min(off+5000, len(tor.Space))])
		if _, err := s.WriteAt(b, int64(off)); err != nil {
			t.Fatal(err)
		}
	}
	same(t, tor, s)
	count(t, s, tor.Info.NumPieces())
}

func bounds(t *testing.T, tor *Torrent, s Store) {
	end := int64(len(tor.Space))
	b := make([]byte, 100)
	for _, off := range []int64{-1, end - 99, end, end + 1, 1 << 62} {
		if n, err := s.ReadAt(b, off); err == nil || n != 0 {
			t.Errorf("read at %d: %d bytes, no error", off, n)
		}
		if n, err := s.WriteAt(b, off); err == nil || n != 0 {
			t.Errorf("write at %d: %d bytes, no error", off, n)
		}
		if _, _, _, release, err := s.Extent(off, 100); err == nil {
			release()
			t.Errorf("extent at %d: no error", off)
		}
	}
	if n, err := s.WriteAt(nil, end); err != nil || n != 0 {
		t.Errorf("empty write at the end: %d, %v", n, err)
	}
	// Padding that comes with data is accepted and not stored as anything else.
	if _, err := s.WriteAt(bytes.Clone(tor.Space), 0); err != nil {
		t.Error(err)
	}
	same(t, tor, s)
}

func absent(t *testing.T, tor *Torrent, s Store) {
	count(t, s, 0)
	if _, err := s.ReadAt(make([]byte, 10), 0); err == nil {
		t.Error("read what was never written")
	}
	Put(t, tor, s, 1)
	count(t, s, 1)
	if err := s.Finish(t.Context()); err == nil {
		t.Error("finished with one piece")
	}
}

func damage(t *testing.T, tor *Torrent, s Store) {
	Fill(t, tor, s)
	if _, err := s.WriteAt([]byte{tor.Space[70_000] ^ 1}, 70_000); err != nil {
		t.Fatal(err)
	}
	have, err := s.Check(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if have.Count() != have.Len()-1 || have.Has(70_000/(32<<10)) {
		t.Fatalf("check found %d of %d pieces", have.Count(), have.Len())
	}
}

func extents(t *testing.T, tor *Torrent, s Store) {
	Fill(t, tor, s)
	for off, n := int64(0), int64(0); off < tor.Info.Length(); off += n {
		f, at, length, release, err := s.Extent(off, tor.Info.Length()-off)
		if errors.Is(err, errors.ErrUnsupported) {
			t.Skip("has no files to send from")
		}
		if err != nil || length <= 0 {
			t.Fatalf("extent at %d: %d bytes, %v", off, length, err)
		}
		got := make([]byte, length)
		if f != nil {
			if _, err := f.ReadAt(got, at); err != nil {
				t.Fatal(err)
			}
		}
		release()
		if !bytes.Equal(got, tor.Space[off:off+length]) {
			t.Fatalf("extent at %d is other content", off)
		}
		n = length
		s.Release(metainfo.Piece(off / tor.Info.PieceLength))
	}
	same(t, tor, s)
}

func concurrent(t *testing.T, tor *Torrent, s Store) {
	var wg sync.WaitGroup
	errs := make(chan error, tor.Info.NumPieces()+1)
	wg.Go(func() { errs <- s.Allocate(t.Context()) })
	for p := range tor.Info.NumPieces() {
		wg.Go(func() {
			p := metainfo.Piece(p)
			_, err := s.WriteAt(tor.Piece(p), tor.Info.PieceOffset(p))
			s.MarkHave(p)
			got := make([]byte, tor.Info.PieceData(p))
			if _, err2 := s.ReadAt(got, tor.Info.PieceOffset(p)); err == nil {
				err = err2
			}
			if err == nil && !bytes.Equal(got, tor.Piece(p)) {
				err = fmt.Errorf("piece %d reads differently", p)
			}
			errs <- err
		})
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			t.Error(err)
		}
	}
	same(t, tor, s)
}

func finish(t *testing.T, tor *Torrent, s Store) {
	count(t, s, 0)
	if err := s.Allocate(t.Context()); err != nil {
		t.Fatal(err)
	}
	Fill(t, tor, s)
	for range 2 {
		if err := s.Finish(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	same(t, tor, s)
	count(t, s, tor.Info.NumPieces())
}

func closed(t *testing.T, tor *Torrent, s Store) {
	Fill(t, tor, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.ReadAt(make([]byte, 1), 0); !errors.Is(err, os.ErrClosed) {
		t.Errorf("read after Close: %v", err)
	}
	if _, err := s.WriteAt(make([]byte, 1), 0); !errors.Is(err, os.ErrClosed) {
		t.Errorf("write after Close: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
}

var (
	_ Store = (*storage.Disk)(nil)
	_ Store = (*storage.Mem)(nil)
)
