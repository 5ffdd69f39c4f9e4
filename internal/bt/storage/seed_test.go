package storage_test

import (
	"context"
	"os"
	"testing"

	"shoal/internal/bt/metainfo"
	"shoal/internal/bt/storage"
	"shoal/internal/bt/storage/storagetest"
)

// TestSample: a seed believes files of the right lengths after a sample, and
// falls back to hashing everything when something is off.
func TestSample(t *testing.T) {
	data := storagetest.Bytes(100*16384, 1)
	tor := storagetest.Make(t, metainfo.V1, 16384, storagetest.Entry{Path: "big", Data: data})
	tests := []struct {
		name   string
		change func(f *os.File) error
		have   int
	}{
		{"as it was made", func(*os.File) error { return nil }, 100},
		{"first piece damaged", func(f *os.File) error { _, err := f.WriteAt([]byte("x"), 0); return err }, 99},
		{"last piece damaged", func(f *os.File) error { _, err := f.WriteAt([]byte("x"), 100*16384-1); return err }, 99},
		{"too short", func(f *os.File) error { return f.Truncate(100*16384 - 1) }, 99},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			put(t, path(dir, "big"), data)
			f, err := os.OpenFile(path(dir, "big"), os.O_RDWR, 0)
			must(t, err)
			must(t, tt.change(f), f.Close())
			d := open(t, dir, tor, storage.Options{ReadOnly: true, Sample: true})
			defer d.Close()
			have, err := d.Check(context.Background(), nil)
			must(t, err)
			if have.Count() != tt.have {
				t.Errorf("Check: %d pieces, want %d", have.Count(), tt.have)
			}
		})
	}
}
