package filelock

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
)

func open(t *testing.T, name string) *os.File {
	t.Helper()
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

func TestHeld(t *testing.T) {
	name := filepath.Join(t.TempDir(), "lock")
	first, second := open(t, name), open(t, name)
	if err := Take(first); err != nil {
		t.Fatal(err)
	}
	err := Take(second)
	by, held := HeldBy(err)
	var at *fs.PathError
	if !held || !errors.As(err, &at) || at.Path != name || !strings.Contains(err.Error(), "in use by "+by) {
		t.Errorf("the second got %v", err)
	}
	if runtime.GOOS == "linux" && !strings.Contains(by, filepath.Base(os.Args[0])) {
		t.Errorf("held by %q, which is this process", by)
	}
	if err := Close(first); err != nil {
		t.Fatal(err)
	}
	if err := Take(second); err != nil {
		t.Errorf("after the first has closed: %v", err)
	}
}

func TestNoFile(t *testing.T) {
	f := open(t, filepath.Join(t.TempDir(), "lock"))
	_ = f.Close()
	if err := Take(f); err == nil {
		t.Error("locked a file that is closed")
	} else if by, held := HeldBy(err); held {
		t.Errorf("a file that is closed is held by %s", by)
	}
}

// TestFork: a child has copies of all descriptors between its fork and its exec. A lock that was given back can be taken
// meanwhile.
func TestFork(t *testing.T) {
	name := filepath.Join(t.TempDir(), "lock")
	var forks sync.WaitGroup
	done := make(chan struct{})
	for range 4 {
		forks.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
					_ = exec.Command("true").Run() // only the fork matters
				}
			}
		})
	}
	defer forks.Wait()
	defer close(done)
	for n := range 200 {
		f := open(t, name)
		if err := Take(f); err != nil {
			t.Fatalf("closed %d times, then: %v", n, err)
		}
		if err := Close(f); err != nil {
			t.Fatal(err)
		}
	}
}
