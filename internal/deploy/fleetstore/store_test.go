package fleetstore_test

import (
	"errors"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"shoal/internal/deploy/fleetstore"
	"shoal/internal/deploy/fleetstore/storetest"
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
	if s, err := fleetstore.Open(t.Context(), fleetstore.Options{Dir: dir}); err == nil || !strings.Contains(err.Error(), "another") {
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
