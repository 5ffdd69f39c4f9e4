package fleetstore_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"shoal"
	"shoal/internal/deploy/fleetstore"
	"shoal/internal/deploy/fleetstore/storetest"
	"shoal/internal/filelock"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestMemory(t *testing.T) {
	storetest.Run(t, func(t *testing.T) []fleetstore.Store {
		s := fleetstore.NewMemory()
		t.Cleanup(func() { _ = s.Close() })
		return []fleetstore.Store{s}
	})
}

func TestEmbedded(t *testing.T) {
	storetest.Run(t, func(t *testing.T) []fleetstore.Store {
		return []fleetstore.Store{openDir(t, t.TempDir())}
	})
}

func openDir(t *testing.T, dir string) fleetstore.Store {
	t.Helper()
	s, err := fleetstore.Open(t.Context(), fleetstore.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// TestReopen holds the embedded engine to what it is for: what was stored is
// there after the process, revisions go on, and no second one gets in.
func TestReopen(t *testing.T) {
	dir := t.TempDir()
	first := openDir(t, dir)
	rev, err := first.Put(t.Context(), fleetstore.Rollouts, "1", []byte("state"), 0)
	if err != nil {
		t.Fatal(err)
	}
	blob, err := first.PutBlob(t.Context(), []byte("metafile"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := first.Append(t.Context(), "1.1", []byte("stage")); err != nil {
		t.Fatal(err)
	}
	s, err := fleetstore.Open(t.Context(), fleetstore.Options{Dir: dir})
	if _, held := filelock.HeldBy(err); !held || !strings.Contains(err.Error(), dir) {
		t.Errorf("a second engine in the folder: %v, %v", s, err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	again := openDir(t, dir)
	if e, err := again.Get(t.Context(), fleetstore.Rollouts, "1"); err != nil || string(e.Value) != "state" || e.Revision != rev {
		t.Errorf("found %+v, %v", e, err)
	}
	if next, err := again.Put(t.Context(), fleetstore.Rollouts, "1", []byte("next"), rev); err != nil || next <= rev {
		t.Errorf("put: revision %d after %d, %v", next, rev, err)
	}
	if data, err := again.Blob(t.Context(), blob); err != nil || string(data) != "metafile" {
		t.Errorf("blob: %q, %v", data, err)
	}
	if _, err := again.Append(t.Context(), "1.1", nil); !errors.Is(err, fleetstore.ErrTaken) {
		t.Errorf("a record a second time: %v", err)
	}
}

func TestOptions(t *testing.T) {
	for _, c := range []struct {
		o    fleetstore.Options
		hint string
	}{
		{fleetstore.Options{}, "folder or at a URL"},
		{fleetstore.Options{Dir: "x", URL: "nats://x"}, "folder or at a URL"},
		{fleetstore.Options{Dir: t.TempDir(), Prefix: "a.b"}, "prefix"},
		{fleetstore.Options{URL: "nats://127.0.0.1:1"}, "check the URL"},
		{fleetstore.Options{Dir: "/dev/null/x"}, "make its folder"},
	} {
		if _, err := fleetstore.Open(t.Context(), c.o); err == nil || !strings.Contains(err.Error(), c.hint) {
			t.Errorf("%+v: %v, want an error with %q", c.o, err, c.hint)
		}
	}
}

// TestCluster runs the suite on three servers, through two clients at once.
func TestCluster(t *testing.T) {
	cluster := storetest.NewCluster(t)
	n := 0
	storetest.Run(t, func(t *testing.T) []fleetstore.Store {
		n++
		prefix := fmt.Sprintf("fleet%d", n)
		return []fleetstore.Store{cluster.Open(t, prefix), cluster.Open(t, prefix)}
	})
}

// TestClusterLosesServer kills one server of three, that which leads among
// them, under writers and a watch: nothing that was stored is lost or reordered.
func TestClusterLosesServer(t *testing.T) {
	cluster := storetest.NewCluster(t)
	a, b := cluster.Open(t, "fleet"), cluster.Open(t, "fleet")
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	const steps = 60
	done := errors.New("done")
	var seen []string
	watch := make(chan error, 1)
	go func() {
		watch <- b.Watch(ctx, fleetstore.Fleet, func(c fleetstore.Change) error {
			if c.Key == "n" {
				seen = append(seen, string(c.Value))
				if string(c.Value) == strconv.Itoa(steps) {
					return done
				}
			}
			return nil
		})
	}()
	for n, rev := 1, uint64(0); n <= steps; {
		if n == steps/3 {
			cluster.Kill(0)
		}
		next, err := a.Put(ctx, fleetstore.Fleet, "n", []byte(strconv.Itoa(n)), rev)
		if err != nil { // whether it was stored is not known: look
			e, err := a.Get(ctx, fleetstore.Fleet, "n")
			if err != nil && !errors.Is(err, fleetstore.ErrNone) {
				if ctx.Err() != nil {
					t.Fatalf("the cluster does not answer after the loss of a server: %v", err)
				}
				time.Sleep(50 * time.Millisecond)
				continue
			}
			is, _ := strconv.Atoi(string(e.Value))
			if is != n && is != n-1 {
				t.Fatalf("the store has %d after %d was put", is, n)
			}
			rev, n = e.Revision, is+1
			continue
		}
		rev = next
		n++
	}
	if err := <-watch; !errors.Is(err, done) {
		t.Fatal(err)
	}
	for i := 1; i < len(seen); i++ {
		was, _ := strconv.Atoi(seen[i-1])
		is, _ := strconv.Atoi(seen[i])
		if is <= was {
			t.Errorf("the watch saw %d after %d", is, was)
		}
	}
}

// TestClusterWithoutMajority: who is patient hears soon all the same that a call has
// come to nothing, and can look what became of it.
func TestClusterWithoutMajority(t *testing.T) {
	cluster := storetest.NewCluster(t)
	s := cluster.Open(t, "fleet")
	cluster.Kill(0)
	cluster.Kill(1)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	if _, err := s.Put(ctx, fleetstore.Fleet, "n", []byte("1"), 0); !errors.Is(err, shoal.ErrUnavailable) || ctx.Err() != nil {
		t.Errorf("put: %v; the caller's time: %v", err, ctx.Err())
	}
	if _, err := s.Get(ctx, fleetstore.Fleet, "n"); err == nil || ctx.Err() != nil { // a leader that does not know it yet may answer
		t.Errorf("get: %v; the caller's time: %v", err, ctx.Err())
	}
}
