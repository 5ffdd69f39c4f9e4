package storage_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"

	"shoal/internal/bt/metainfo"
	"shoal/internal/bt/storage"
	"shoal/internal/bt/storage/storagetest"
)

func TestRoundTrip(t *testing.T) {
	for _, v := range []metainfo.Version{metainfo.V1, metainfo.V2, metainfo.Hybrid} {
		t.Run(v.String(), func(t *testing.T) {
			tor := storagetest.Make(t, v, 32<<10,
				storagetest.Entry{Path: "a/big", Data: storagetest.Bytes(200_000, 1)},
				storagetest.Entry{Path: "a/small", Data: storagetest.Bytes(10, 2)},
				storagetest.Entry{Path: "b", Data: storagetest.Bytes(40_000, 3)},
				storagetest.Entry{Path: "empty"},
			)
			dir := filepath.Join(t.TempDir(), "new", "dest")
			d, err := storage.Open(dir, tor.Info, tor.Hashes, storage.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer d.Close()
			for p := range tor.Info.NumPieces() {
				if _, err := d.WriteAt(tor.Piece(metainfo.Piece(p)), tor.Info.PieceOffset(metainfo.Piece(p))); err != nil {
					t.Fatal(err)
				}
				d.MarkHave(metainfo.Piece(p))
			}
			got := make([]byte, tor.Info.Length())
			if _, err := d.ReadAt(got, 0); err != nil || !bytes.Equal(got, tor.Space) {
				t.Fatalf("read back something else, %v", err)
			}
			have, err := d.Check(context.Background(), nil)
			if err != nil || !have.All() {
				t.Fatalf("check: %d of %d, %v", have.Count(), have.Len(), err)
			}
			b, err := os.ReadFile(filepath.Join(dir, "app", "b"))
			if err != nil || !bytes.Equal(b, storagetest.Bytes(40_000, 3)) {
				t.Fatal("b differs", err)
			}
		})
	}
}
