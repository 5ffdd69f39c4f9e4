package depot

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"shoal"
	"shoal/internal/bt/metainfo"
	"shoal/internal/bt/metainfo/build"
	"shoal/internal/deploy/agent"
	"shoal/internal/deploy/release"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestNeeded(t *testing.T) {
	at := time.Date(2026, 11, 25, 3, 0, 0, 0, time.UTC)
	made := func(app, version string, age int) shoal.Release {
		return shoal.Release{App: app, Version: version, Created: at.Add(-time.Duration(age) * time.Hour)}
	}
	all := []shoal.Release{made("web", "1", 9), made("web", "2", 8), made("web", "3", 1), made("db", "7", 5), made("web", "4", 0)}
	for name, c := range map[string]struct {
		wanted []string
		keep   int
		want   []string
	}{
		"the newest of each app":            {nil, 2, []string{"web@4", "web@3", "db@7"}},
		"what a rollout brings comes first": {[]string{"web@1"}, 1, []string{"web@1", "web@4", "db@7"}},
		"in its order":                      {[]string{"web@2", "web@1"}, 1, []string{"web@2", "web@1", "web@4", "db@7"}},
		"one whose release is gone":         {[]string{"web@0"}, 1, []string{"web@4", "db@7"}},
	} {
		if got := needed(all, c.wanted, c.keep); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// world is the fleet and the swarm of a test.
type world struct {
	mu       sync.Mutex
	releases []shoal.Release
	uploads  map[string]shoal.Upload
	stopped  bool
	trees    map[string]string // by app@version: where its one file lies
	broken   map[string]error
	asked    map[string][]string // by app@version: the peers that were named
	seeded   []string
	held     bool
}

func (w *world) Releases(context.Context, string) ([]shoal.Release, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.releases), nil
}

func (w *world) Wanted() []string { return nil }

func (w *world) Changes() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return uint64(len(w.releases))
}

func (w *world) Stopped() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.stopped
}

func (w *world) Upload(_ context.Context, app, version string) (shoal.Upload, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.uploads[app+"@"+version], nil
}

func (w *world) Content(app, version string) release.Content { return w.From(app, version, nil) }

func (w *world) From(app, version string, peers []string) release.Content {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked[app+"@"+version] = peers
	return content{w, app + "@" + version}
}

func (w *world) Seed(held []agent.Held) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seeded = nil
	for _, h := range held {
		w.seeded = append(w.seeded, h.App+"@"+h.Version)
	}
}

func (w *world) Hold(_ []string, all bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.held = all
}

func (w *world) Progress(string, string) shoal.Work { return shoal.Work{} }

type content struct {
	*world
	name string
}

func (c content) Fetch(_ context.Context, to release.Place, _ *metainfo.Metafile, _ func(int) bool) error {
	c.mu.Lock()
	from, err := c.trees[c.name], c.broken[c.name]
	c.mu.Unlock()
	if err != nil {
		return err
	}
	b, err := os.ReadFile(filepath.Join(from, "file"))
	if err != nil {
		return err
	}
	top := filepath.Join(to.Dir, to.Name)
	return errors.Join(os.MkdirAll(top, 0o755), os.WriteFile(filepath.Join(top, "file"), b, 0o644))
}

func (content) Verify(context.Context, release.Place, *metainfo.Metafile) ([]release.Problem, error) {
	return nil, errors.ErrUnsupported
}

func (w *world) register(t *testing.T, version string, age time.Duration, pending bool) {
	t.Helper()
	dir := t.TempDir()
	err := os.WriteFile(filepath.Join(dir, "file"), []byte("content of "+version), 0o644)
	meta, buildErr := build.Build(t.Context(), dir, build.Options{Name: "web", PieceLength: 16 << 10})
	if err := errors.Join(err, buildErr); err != nil {
		t.Fatal(err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.trees["web@"+version] = dir
	w.uploads["web@"+version] = shoal.Upload{App: "web", Version: version, Metafile: meta.Encode(), Peers: []string{"build-1:6881"}}
	w.releases = append(w.releases, shoal.Release{App: "web", Version: version, Created: time.Now().Add(-age), Pending: pending})
}

func (w *world) await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		w.mu.Lock()
		good := ok()
		w.mu.Unlock()
		if good {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("waited for %s in vain; served are %q", what, w.seeded)
		}
	}
}

// TestDepot takes what is registered over from where it was pushed, tries again
// what fails, stands still with stop-all and before what is pending, and serves
// it all after a restart.
func TestDepot(t *testing.T) {
	w := &world{uploads: map[string]shoal.Upload{}, trees: map[string]string{}, broken: map[string]error{}, asked: map[string][]string{}}
	root := t.TempDir()
	var d *Depot
	start := func() (stop func()) {
		var err error
		if d, err = New(Options{Root: root, Catalog: w, Fetcher: w, Every: 5 * time.Millisecond, Keep: 1}); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- d.Run(ctx) }()
		return func() {
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	}
	stop := start()
	w.mu.Lock()
	w.broken["web@1"] = errors.New("no luck")
	w.mu.Unlock()
	w.register(t, "1", time.Hour, false)
	w.await(t, "a try", func() bool { return w.asked["web@1"] != nil })
	if d.Held("web", "1") {
		t.Error("says that it holds what did not come")
	}
	w.mu.Lock()
	w.broken["web@1"] = nil
	w.mu.Unlock()
	w.await(t, "1", func() bool { return slices.Equal(w.seeded, []string{"web@1"}) })
	for !d.Held("web", "1") {
		time.Sleep(time.Millisecond)
	}
	w.mu.Lock()
	if !slices.Equal(w.asked["web@1"], []string{"build-1:6881"}) {
		t.Errorf("asked %q", w.asked["web@1"])
	}
	w.stopped = true
	w.mu.Unlock()
	w.await(t, "the hold", func() bool { return w.held })
	w.register(t, "2", 0, false)
	time.Sleep(50 * time.Millisecond)
	w.await(t, "nothing", func() bool { return w.asked["web@2"] == nil })
	w.mu.Lock()
	w.stopped = false
	w.mu.Unlock()
	w.await(t, "2", func() bool { return slices.Contains(w.seeded, "web@2") && !w.held })
	w.register(t, "3", 0, true)
	time.Sleep(50 * time.Millisecond)
	w.await(t, "nothing of what is pending", func() bool { return w.asked["web@3"] == nil })
	w.mu.Lock()
	w.releases[2].Pending = false
	w.mu.Unlock()
	w.await(t, "3", func() bool { return slices.Contains(w.seeded, "web@3") })
	stop()
	stop = start() // at a start it also looks for what nobody needs any more
	w.await(t, "3 alone", func() bool { return slices.Equal(w.seeded, []string{"web@3"}) })
	for {
		if _, err := os.Stat(filepath.Join(root, "web/releases/1")); errors.Is(err, os.ErrNotExist) {
			break
		}
		time.Sleep(time.Millisecond)
	}
	stop()
	if d.Held("web", "1") {
		t.Error("says that it holds what it has dropped")
	}
}
