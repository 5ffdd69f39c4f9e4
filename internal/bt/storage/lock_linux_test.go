package storage_test

import (
	"os/exec"
	"sync"
	"testing"

	"shoal/internal/bt/metainfo"
	"shoal/internal/bt/storage"
)

// TestLockAndFork: a child has copies of all descriptors between its fork and
// its exec. A record that was closed can be taken again meanwhile.
func TestLockAndFork(t *testing.T) {
	tor, dir := library(t, metainfo.V1), t.TempDir()
	var forks sync.WaitGroup
	done := make(chan struct{})
	for range 4 {
		forks.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
					_ = exec.Command("/bin/true").Run() // only the fork matters
				}
			}
		})
	}
	defer forks.Wait()
	defer close(done)
	for n := range 40 {
		d := open(t, dir, tor, storage.Options{})
		check(t, d)
		if _, err := d.WriteAt(tor.Piece(23), 23*piece); err != nil {
			t.Fatalf("closed %d times, then: %v", n, err)
		}
		d.Forget(23)
		must(t, d.Close())
	}
}
