package storage_test

import (
	"testing"

	"go.uber.org/goleak"

	"shoal/internal/bt/storage"
	"shoal/internal/bt/storage/storagetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

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
	for name, o := range map[string]storage.Options{
		"keep":      {},
		"drop":      {Cache: storage.Drop, Window: 64 << 10},
		"few files": {OpenFiles: 1, Threads: 4},
		"sparse":    {Sparse: true},
	} {
		t.Run(name, func(t *testing.T) {
			storagetest.Run(t, func(t *testing.T, tor *storagetest.Torrent) storagetest.Store {
				return open(t, t.TempDir()+"/to/be/made", tor, o)
			})
		})
	}
}

func TestMem(t *testing.T) {
	storagetest.Run(t, func(t *testing.T, tor *storagetest.Torrent) storagetest.Store {
		return storage.NewMem(tor.Info, tor.Hashes)
	})
}
