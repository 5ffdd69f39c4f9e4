package node

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"shoal/internal/bt/metainfo"
	"shoal/internal/bt/metainfo/build"
	"shoal/internal/bt/storage"
)

// patience bounds every wait; a wait ends as soon as it can.
const patience = 20 * time.Second

// published is a small tree on disk with its metafile.
type published struct {
	dir  string // holds the tree app
	file string // the metafile
	meta *metainfo.Metafile
}

// testTree is what the tree holds: a mode, a link, an empty folder, an empty
// file, and bytes that need several pieces.
func testTree() map[string][]byte {
	big := make([]byte, 300<<10+7)
	r := rand.NewChaCha8([32]byte{1})
	r.Read(big)
	return map[string][]byte{"bin/start": []byte("#!/bin/sh\n"), "data/big": big, "data/none": {}, "VERSION": []byte("1\n")}
}

func newRelease(t *testing.T, version metainfo.Version, change ...func(app string)) published {
	t.Helper()
	r := published{dir: t.TempDir()}
	app := filepath.Join(r.dir, "app")
	for name, content := range testTree() {
		write(t, filepath.Join(app, name), content)
	}
	must(t, os.Chmod(filepath.Join(app, "bin/start"), 0o755))
	must(t, os.Symlink("bin/start", filepath.Join(app, "run")))
	must(t, os.Mkdir(filepath.Join(app, "empty"), 0o755))
	for _, c := range change {
		c(app)
	}
	return publish(t, r, app, version)
}

func publish(t *testing.T, r published, app string, version metainfo.Version) published {
	t.Helper()
	var err error
	r.meta, err = build.Build(t.Context(), app, build.Options{Version: version, PieceLength: 32 << 10})
	must(t, err)
	r.file = filepath.Join(t.TempDir(), "app.torrent")
	must(t, os.WriteFile(r.file, r.meta.Encode(), 0o644))
	return r
}

func write(t *testing.T, name string, content []byte) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(name), 0o755))
	must(t, os.WriteFile(name, content, 0o644))
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// same compares what arrived with what left, without the code under test.
func same(t *testing.T, dir string) {
	t.Helper()
	sameTree(t, filepath.Join(dir, "app"))
}

func sameTree(t *testing.T, app string) {
	t.Helper()
	for name, want := range testTree() {
		got, err := os.ReadFile(filepath.Join(app, name))
		if err != nil || string(got) != string(want) {
			t.Errorf("%s: %d bytes that differ, %v", name, len(got), err)
		}
	}
	if info, err := os.Stat(filepath.Join(app, "bin/start")); err != nil || info.Mode() != 0o755 {
		t.Errorf("bin/start: %v, %v", info.Mode(), err)
	}
	if to, err := os.Readlink(filepath.Join(app, "run")); err != nil || to != "bin/start" {
		t.Errorf("run: %q, %v", to, err)
	}
	if info, err := os.Stat(filepath.Join(app, "empty")); err != nil || !info.IsDir() {
		t.Errorf("empty: %v", err)
	}
}

// events is a Report that a test can wait on.
type events chan Event

func (e events) wait(t *testing.T, kind Kind) Event {
	t.Helper()
	timeout := time.After(patience)
	for {
		select {
		case got := <-e:
			if got.Kind == kind {
				return got
			}
			t.Logf("meanwhile: %v %s %v", got.Kind, got.Name, got.Err)
		case <-timeout:
			t.Fatalf("no event %q", kind)
		}
	}
}

func quiet(listen string, e events) Options {
	o := Options{Listen: listen, Log: slog.New(slog.DiscardHandler)}
	if e != nil {
		o.Report = func(ev Event) { e <- ev }
	}
	return o
}

// background runs a role until the test ends, or stop is called, which gives
// what it returned.
func background(t *testing.T, run func(context.Context) error) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done, result := make(chan struct{}), error(nil)
	go func() { defer close(done); result = run(ctx) }()
	stop = func() error { cancel(); <-done; return result }
	t.Cleanup(func() { stop() })
	return stop
}

// seed starts a seed of r, waits until it serves, and gives its address.
func seed(t *testing.T, r published) (addr string, stop func() error) {
	t.Helper()
	return seedWith(t, r, nil)
}

func seedWith(t *testing.T, r published, secure Secure) (addr string, stop func() error) {
	t.Helper()
	e := make(events, 100)
	o := quiet("127.0.0.1:0", e)
	o.Secure = secure
	stop = background(t, func(ctx context.Context) error {
		return NewSeed(SeedOptions{Options: o, Files: []string{r.file}, Content: ContentOptions{Dir: r.dir}}).Run(ctx)
	})
	return e.wait(t, Serving).Addr.String(), stop
}

func getFrom(t *testing.T, source, peer string, change func(*GetOptions)) (string, *Get, error) {
	t.Helper()
	dir := t.TempDir()
	o := GetOptions{Options: quiet("127.0.0.1:0", nil), Source: source, Content: ContentOptions{Dir: dir, Peers: []string{peer}}}
	if change != nil {
		change(&o)
	}
	g := NewGet(o)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	return o.Content.Dir, g, g.Run(ctx)
}

func TestSeedAndGet(t *testing.T) {
	for _, version := range []metainfo.Version{metainfo.V1, metainfo.V2, metainfo.Hybrid} {
		t.Run(version.String(), func(t *testing.T) {
			r := newRelease(t, version)
			addr, stop := seed(t, r)
			hookFile := filepath.Join(t.TempDir(), "done")
			dir, g, err := getFrom(t, r.file, addr, func(o *GetOptions) {
				o.OnComplete = `echo "$SHOAL_NAME $SHOAL_INFO_HASH" >>` + hookFile
			})
			must(t, err)
			same(t, dir)
			if st := g.Status(); !st.Complete || st.Downloaded < r.meta.Info.ContentLength() {
				t.Errorf("status at the end: %+v", st)
			}
			if text, err := os.ReadFile(hookFile); err != nil || !strings.HasPrefix(string(text), "app ") || strings.Count(string(text), "\n") != 1 {
				t.Errorf("the command left %q, %v", text, err)
			}
			if err := stop(); err != nil {
				t.Errorf("seed ended with %v", err)
			}
		})
	}
}

func TestGetMagnet(t *testing.T) {
	r := newRelease(t, metainfo.Hybrid)
	addr, _ := seed(t, r)
	dir, _, err := getFrom(t, r.meta.Magnet().String(), addr, nil)
	must(t, err)
	same(t, dir)
}

// TestGetWhatIsThere needs no peer, runs the command, and with Seed serves on.
func TestGetWhatIsThere(t *testing.T) {
	r := newRelease(t, metainfo.Hybrid)
	hookFile := filepath.Join(t.TempDir(), "done")
	_, g, err := getFrom(t, r.file, "127.0.0.1:1", func(o *GetOptions) {
		o.Content.Dir, o.OnComplete = r.dir, "touch "+hookFile
	})
	must(t, err)
	if _, err := os.Stat(hookFile); err != nil {
		t.Error(err)
	}
	if st := g.Status(); !st.Complete || st.Downloaded != 0 {
		t.Errorf("status: %+v", st)
	}
	e := make(events, 100)
	again := NewGet(GetOptions{Options: quiet("127.0.0.1:0", e), Source: r.file, Seed: true, Content: ContentOptions{Dir: r.dir}})
	background(t, again.Run)
	addr := e.wait(t, Complete).Addr.String()
	dir, _, err := getFrom(t, r.file, addr, nil)
	must(t, err)
	same(t, dir)
}

func TestGetSelected(t *testing.T) {
	r := newRelease(t, metainfo.Hybrid)
	addr, _ := seed(t, r)
	dir, _, err := getFrom(t, r.file, addr, func(o *GetOptions) { o.Content.Select = []string{"bin", "VERS*"} })
	must(t, err)
	for name, want := range map[string]bool{"bin/start": true, "VERSION": true, "data/big": false} {
		if _, err := os.Lstat(filepath.Join(dir, "app", name)); (err == nil) != want {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, _, err = getFrom(t, r.file, addr, func(o *GetOptions) { o.Content.Select = []string{"nothing"} })
	var none *SelectError
	if !errors.As(err, &none) {
		t.Errorf("a glob that matches nothing: %v", err)
	}
}

// TestRefusals are the errors that an operator meets, each by its type.
func TestRefusals(t *testing.T) {
	r := newRelease(t, metainfo.Hybrid)
	t.Run("a different file is in the way", func(t *testing.T) {
		var conflict *storage.ConflictError
		_, _, err := getFrom(t, r.file, "127.0.0.1:1", func(o *GetOptions) {
			write(t, filepath.Join(o.Content.Dir, "app", "VERSION"), []byte("something else"))
		})
		if !errors.As(err, &conflict) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("the content to seed is damaged", func(t *testing.T) {
		write(t, filepath.Join(r.dir, "app", "VERSION"), []byte("2\n"))
		var incomplete *IncompleteError
		err := NewSeed(SeedOptions{Options: quiet("127.0.0.1:0", nil), Files: []string{r.file}, Content: ContentOptions{Dir: r.dir}}).Run(t.Context())
		if !errors.As(err, &incomplete) || incomplete.Have != incomplete.Total-1 || incomplete.Hint() == "" {
			t.Errorf("got %v", err)
		}
	})
	t.Run("no metafile", func(t *testing.T) {
		var bad *MetafileError
		if _, _, err := getFrom(t, filepath.Join(r.dir, "app", "VERSION"), "127.0.0.1:1", nil); !errors.As(err, &bad) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("nothing there", func(t *testing.T) {
		if _, _, err := getFrom(t, filepath.Join(r.dir, "none.torrent"), "127.0.0.1:1", nil); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("stopped before the end", func(t *testing.T) {
		why := errors.New("enough")
		ctx, cancel := context.WithCancelCause(t.Context())
		e := make(events, 100)
		done := make(chan error, 1)
		go func() {
			done <- NewGet(GetOptions{Options: quiet("127.0.0.1:0", e), Source: r.file, Content: ContentOptions{Dir: t.TempDir()}}).Run(ctx)
		}()
		e.wait(t, Serving)
		cancel(why)
		if err := <-done; !errors.Is(err, why) {
			t.Errorf("got %v", err)
		}
	})
}

// TestSeedWatch serves a metafile while it lies in the folder.
func TestSeedWatch(t *testing.T) {
	r := newRelease(t, metainfo.Hybrid)
	watched, e := t.TempDir(), make(events, 100)
	write(t, filepath.Join(watched, "broken.torrent"), []byte("d4:info"))
	background(t, func(ctx context.Context) error {
		return NewSeed(SeedOptions{Options: quiet("127.0.0.1:0", e), Watch: watched, Content: ContentOptions{Dir: r.dir}}).Run(ctx)
	})
	must(t, os.Rename(r.file, filepath.Join(watched, "app.torrent")))
	addr := e.wait(t, Serving).Addr.String()
	dir, _, err := getFrom(t, filepath.Join(watched, "app.torrent"), addr, nil)
	must(t, err)
	same(t, dir)
	must(t, os.Remove(filepath.Join(watched, "app.torrent")))
	e.wait(t, Dropped)
}
