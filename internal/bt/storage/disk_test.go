package storage_test

import (
	"testing"

	"shoal/internal/bt/metainfo"
	"shoal/internal/bt/storage"
	"shoal/internal/bt/storage/storagetest"
)

// open opens a Disk that is closed with the test.
func open(t testing.TB, dir string, tor *storagetest.Torrent, o storage.Options) *storage.Disk {
	t.Helper()
	d, err := storage.Open(dir, tor.Info, tor.Hashes, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() }) // tests that care close it themselves
	return d
}

func TestDisk(t *testing.T) {
	for _, c := range []struct {
		name     string
		o        storage.Options
		versions []metainfo.Version
	}{
		{"keep", storage.Options{}, storagetest.Versions},
		{"drop", storage.Options{Cache: storage.Drop, Window: 64 << 10}, []metainfo.Version{metainfo.Hybrid}},
		{"few files", storage.Options{OpenFiles: 1, Threads: 4}, []metainfo.Version{metainfo.V1}},
		{"sparse", storage.Options{Sparse: true}, []metainfo.Version{metainfo.V2}},
	} {
		t.Run(c.name, func(t *testing.T) {
			storagetest.Run(t, c.versions, func(t *testing.T, tor *storagetest.Torrent) storagetest.Store {
				return open(t, t.TempDir()+"/to/be/made", tor, c.o)
			})
		})
	}
}

func TestMem(t *testing.T) {
	storagetest.Run(t, storagetest.Versions, func(t *testing.T, tor *storagetest.Torrent) storagetest.Store {
		return storage.NewMem(tor.Info, tor.Hashes)
	})
}
