package storage_test

import (
	"slices"
	"testing"

	"shoal/internal/bt/metainfo"
	"shoal/internal/bt/storage"
	"shoal/internal/bt/storage/storagetest"
)

// TestKilledInWrite: a kill between a write and its note in the record, as which a
// later change looks too, does not lose what else was in flight.
func TestKilledInWrite(t *testing.T) {
	tor, dir := library(t, metainfo.V1), t.TempDir()
	d := open(t, dir, tor, storage.Options{})
	if _, err := d.WriteAt(tor.Space[9*piece:9*piece+metainfo.BlockSize], 9*piece); err != nil {
		t.Fatal(err)
	}
	d.Crash()
	touch(t, path(dir, "big"))
	d = open(t, dir, tor, storage.Options{})
	if check(t, d); len(d.Partial()) != 1 || d.Partial()[0].Piece != 9 {
		t.Errorf("partial pieces: %v", d.Partial())
	}
}

// TestPartialNow holds that what is in flight can be asked for at any time, and
// that blocks count which came in several writes, as the network had cut them.
func TestPartialNow(t *testing.T) {
	const block = metainfo.BlockSize
	tor := storagetest.Make(t, metainfo.V1, 8*block, storagetest.Entry{Path: "big", Data: storagetest.Bytes(16*block-100, 1)})
	for _, tt := range []struct {
		name string
		cuts []int // offsets; each write is from one to the next, a negative one is left out
		want []int // blocks
	}{
		{"whole blocks", []int{0, block, 3 * block}, []int{0, 1, 2}},
		{"cut in the middle", []int{0, 20_000, 40_000}, []int{0, 1}},
		{"cut thrice in one block", []int{0, 100, 200, 300, block}, []int{0}},
		{"a start in the middle", []int{100, 3 * block}, []int{1, 2}},
		{"a gap in the middle of a block", []int{0, -20_000, 20_100, 40_000}, []int{0}},
		{"nothing whole", []int{0, 100}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := open(t, t.TempDir(), tor, storage.Options{})
			check(t, d)
			for p := range 2 {
				storagetest.Put(t, tor, d, metainfo.Piece(p))
				d.Forget(metainfo.Piece(p))
			}
			for i, from := range tt.cuts[:len(tt.cuts)-1] {
				if to := max(tt.cuts[i+1], -tt.cuts[i+1]); from >= 0 {
					if _, err := d.WriteAt(tor.Space[from:to], int64(from)); err != nil {
						t.Fatal(err)
					}
				}
			}
			var got []int
			for _, p := range d.Partial() {
				got = append(got, list(p.Blocks)...)
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("blocks %v, want %v", got, tt.want)
			}
			storagetest.Put(t, tor, d, 0)
			if len(d.Partial()) != 0 {
				t.Errorf("a piece that is there is in flight: %v", d.Partial())
			}
		})
	}
	// The last block of the torrent is a short one.
	d := open(t, t.TempDir(), tor, storage.Options{})
	check(t, d)
	end := len(tor.Space)
	for _, w := range []struct{ from, to int }{{end - 2*block, end - 20}, {end - 20, end}} {
		if _, err := d.WriteAt(tor.Space[w.from:w.to], int64(w.from)); err != nil {
			t.Fatal(err)
		}
	}
	if p := d.Partial(); len(p) != 1 || p[0].Piece != 1 || !slices.Equal(list(p[0].Blocks), []int{6, 7}) {
		t.Errorf("the last blocks: %v", p)
	}
}
