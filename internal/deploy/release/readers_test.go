package release_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"shoal/internal/deploy/release"
)

// TestReaders reads under current/ in a loop while the link is switched 50
// times between three releases, and old ones are swept and staged again. A
// reader that opens path by path sees whole files that are always there; one
// that resolves the link once sees one release.
func TestReaders(t *testing.T) {
	versions := []string{"1", "2", "3"}
	h := newHost(t, newDepot(t, versions...))
	a := h.app(t)
	for _, v := range versions {
		must(t, h.stage(t.Context(), a, v))
	}
	activate(t, a, "1")
	want := map[string]map[string]string{}
	for _, v := range versions {
		want[v] = map[string]string{}
		for _, name := range readNames {
			b, err := os.ReadFile(filepath.Join(h.depot.dir, v, name))
			must(t, err)
			want[v][name] = string(b)
		}
	}
	current := filepath.Join(h.dir, "web/current")
	var reads atomic.Int64
	stop, readers := make(chan struct{}), sync.WaitGroup{}
	for _, read := range []func() error{
		func() error { return readPathByPath(current, want) },
		func() error { return readOneRelease(current, want) },
	} {
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if err := read(); err != nil {
					t.Error(err)
					return
				}
				reads.Add(1)
			}
		})
	}
	for n := 1; n <= 50; n++ {
		before := reads.Load()
		v := versions[n%len(versions)]
		must(t, h.stage(t.Context(), a, v)) // if it was swept
		activate(t, a, v)
		_, err := a.GC(t.Context(), release.Policy{Keep: 1, Grace: time.Hour}, false)
		must(t, err)
		for reads.Load() < before+2 && !t.Failed() {
			time.Sleep(time.Millisecond) // each release is read before it is replaced
		}
	}
	close(stop)
	readers.Wait()
	t.Logf("%d reads of %d files", reads.Load(), len(readNames))
	h.check(t)
}

var readNames = []string{"VERSION", "bin/start", "data/big", "data/locked/in", "run"}

func readPathByPath(current string, want map[string]map[string]string) error {
	for _, name := range readNames {
		b, err := os.ReadFile(filepath.Join(current, name))
		if err != nil {
			return err
		}
		whole := false
		for v := range want {
			whole = whole || want[v][name] == string(b)
		}
		if !whole {
			return fmt.Errorf("%s is of no version: %.40q", name, b)
		}
	}
	return nil
}

func readOneRelease(current string, want map[string]map[string]string) error {
	root, err := os.OpenRoot(current)
	if err != nil {
		return err
	}
	version, err := root.ReadFile("VERSION")
	for _, name := range readNames {
		if err != nil {
			break
		}
		var b []byte
		b, err = root.ReadFile(name)
		if err == nil && string(b) != want[string(version)][name] {
			err = fmt.Errorf("%s is not of version %s: %.40q", name, version, b)
		}
	}
	return errors.Join(err, root.Close())
}

// TestGrace keeps what readers may still use, whatever the policy says.
func TestGrace(t *testing.T) {
	versions := []string{"1", "2", "3", "4"}
	h := newHost(t, newDepot(t, versions...))
	a := h.app(t)
	for _, v := range versions {
		must(t, h.stage(t.Context(), a, v))
		activate(t, a, v)
	}
	for _, c := range []struct {
		grace time.Duration
		left  string
	}{
		{time.Hour, "1:good 2:good 3:good 4:active*"},
		{0, "3:good 4:active*"},
	} {
		_, err := a.GC(t.Context(), release.Policy{Keep: 1, Grace: c.grace}, false)
		must(t, err)
		expect(t, a, c.left, "3")
	}
	entries, err := os.ReadDir(filepath.Join(h.dir, "web/.shoal/versions"))
	must(t, err)
	if len(entries) != 2 {
		t.Errorf("notes of %v are left", entries)
	}
	if left := h.hiddenNames(t); len(left) > 0 {
		t.Errorf("left behind: %s", strings.Join(left, " "))
	}
}
