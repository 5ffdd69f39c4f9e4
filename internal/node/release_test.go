package node

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"shoal/internal/bt/metainfo"
	"shoal/internal/bt/storage"
	"shoal/internal/deploy/release"
)

// staged brings r in from a seed as web@VERSION and activates it.
func staged(t *testing.T, r published, root, peer, version string) (*Releases, *release.App) {
	t.Helper()
	rel := NewReleases(ReleaseOptions{Options: quiet("127.0.0.1:0", nil), Root: root, Content: ContentOptions{Peers: []string{peer}}})
	_, err := rel.Stage(t.Context(), "web", version, r.file)
	must(t, err)
	store, err := release.Open(root, release.Options{})
	must(t, err)
	defer store.Close()
	app, err := store.App("web")
	must(t, err)
	t.Cleanup(func() { app.Close() })
	_, err = app.Activate(t.Context(), version, release.Good, false)
	must(t, err)
	return rel, app
}

func TestStageAndSeedAgain(t *testing.T) {
	r, root := newRelease(t, metainfo.Hybrid), t.TempDir()
	peer, stop := seed(t, r)
	rel, app := staged(t, r, root, peer, "1.2.3")
	if st := rel.Status(); st.Downloaded != r.meta.Info.ContentLength() {
		t.Errorf("fetched %d bytes, want %d", st.Downloaded, r.meta.Info.ContentLength())
	}
	sameTree(t, filepath.Join(root, "web/current")+"/")
	// What the record of the fetch knows is still true under the release's name.
	must(t, stop())
	if _, err := rel.Stage(t.Context(), "web", "1.2.3", r.file); err != nil {
		t.Errorf("staged again without a peer: %v", err)
	}
	if found, err := app.Scrub(t.Context(), "1.2.3", rel, true); err != nil || !found.OK() || len(found.Problems) != 0 {
		t.Errorf("scrub: %+v, %v", found, err)
	}
	if _, err := rel.Stage(t.Context(), "../x", "1", r.file); !errors.Is(err, release.ErrName) {
		t.Errorf("app ../x: %v", err)
	}
}

// TestStageReuses fetches only what no installed release has, also if that has
// it under another name, and does not believe a file that has rotted there.
func TestStageReuses(t *testing.T) {
	r, root := newRelease(t, metainfo.Hybrid), t.TempDir()
	peer, stop := seed(t, r)
	staged(t, r, root, peer, "1")
	must(t, stop())
	next := newRelease(t, metainfo.Hybrid, func(app string) {
		must(t, os.Rename(app+"/data/big", app+"/data/renamed"), os.WriteFile(app+"/VERSION", []byte("2\n"), 0o644))
	})
	peer, _ = seed(t, next)
	fetched := func(version string) int64 {
		rel, _ := staged(t, next, root, peer, version)
		want, err := os.ReadFile(filepath.Join(next.dir, "app/data/renamed"))
		must(t, err)
		got, err := os.ReadFile(filepath.Join(root, "web/releases", version, "data/renamed"))
		if err != nil || string(got) != string(want) {
			t.Errorf("%s: data/renamed differs, %v", version, err)
		}
		return rel.Status().Downloaded
	}
	if n := fetched("2"); n != int64(len("2\n")) {
		t.Errorf("fetched %d bytes, want 2", n)
	}
	for _, old := range []string{"1/data/big", "2/data/renamed"} {
		rot(t, filepath.Join(root, "web/releases", old), 40_000)
	}
	if n := fetched("3"); n != 32<<10 {
		t.Errorf("fetched %d bytes, want the one piece that has rotted", n)
	}
}

func TestStageSingleFile(t *testing.T) {
	r, root := published{dir: t.TempDir()}, t.TempDir()
	model := filepath.Join(r.dir, "model.bin")
	write(t, model, testTree()["data/big"])
	r = publish(t, r, model, metainfo.Hybrid)
	peer, _ := seed(t, r)
	rel, app := staged(t, r, root, peer, "1")
	file := filepath.Join(root, "web/current", r.meta.Info.Name)
	want, err := os.ReadFile(filepath.Join(r.dir, r.meta.Info.Name))
	must(t, err)
	rot(t, file, 1000)
	found, err := app.Scrub(t.Context(), "1", rel, true)
	if err != nil || !found.OK() || len(found.Problems) != 1 {
		t.Errorf("scrub: %+v, %v", found, err)
	}
	if got, err := os.ReadFile(file); err != nil || string(got) != string(want) {
		t.Errorf("%s was not mended, %v", file, err)
	}
}

// rot flips one byte of a file without changing its times.
func rot(t *testing.T, name string, at int64) {
	t.Helper()
	st, err := os.Stat(name)
	must(t, err)
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	must(t, err)
	b := make([]byte, 1)
	_, err = f.ReadAt(b, at)
	must(t, err)
	b[0] ^= 1
	_, err = f.WriteAt(b, at)
	must(t, err)
	must(t, f.Close())
	must(t, os.Chtimes(name, st.ModTime(), st.ModTime()))
}

// TestScrub damages a live release in every way and mends it from the swarm,
// while a process has its files open, another release shares one of them, and a
// program of it runs.
func TestScrub(t *testing.T) {
	for _, version := range []metainfo.Version{metainfo.V1, metainfo.Hybrid} {
		t.Run(version.String(), func(t *testing.T) {
			r, root := newRelease(t, version), t.TempDir()
			peer, _ := seed(t, r)
			rel, app := staged(t, r, root, peer, "1")
			top := filepath.Join(root, "web/current")
			big := filepath.Join(top, "data/big")
			shared := filepath.Join(root, "shared")
			must(t, os.Link(big, shared))
			rot(t, big, 100_000)
			rotten, err := os.ReadFile(big)
			must(t, err)
			open, err := os.Open(big)
			must(t, err)
			defer open.Close()
			mapped, err := syscall.Mmap(int(open.Fd()), 0, len(rotten), syscall.PROT_READ, syscall.MAP_SHARED)
			must(t, err)
			defer syscall.Munmap(mapped)
			must(t, os.Remove(top+"/VERSION"), os.Remove(top+"/data/none"), os.Chmod(top+"/bin/start", 0o600),
				os.Remove(top+"/run"), os.Symlink("/etc/passwd", top+"/run"), os.Remove(top+"/empty"),
				os.WriteFile(top+"/data/theirs.log", []byte("kept"), 0o600))

			found, err := app.Scrub(t.Context(), "1", rel, false)
			must(t, err)
			if found.OK() || len(found.Problems) < 7 {
				t.Fatalf("found only %+v", found.Problems)
			}
			found, err = app.Scrub(t.Context(), "1", rel, true)
			must(t, err)
			for _, p := range found.Problems {
				if extra := p.Kind == "extra"; p.Mended == extra {
					t.Errorf("%+v", p)
				}
			}
			must(t, os.Rename(top+"/data/theirs.log", root+"/theirs.log"))
			sameTree(t, top+"/")
			if string(mapped) != string(rotten) {
				t.Error("bytes changed under a process that has the file mapped")
			}
			if got, err := os.ReadFile(shared); err != nil || string(got) != string(rotten) {
				t.Errorf("a file that another release shares was written to, %v", err)
			}
			if got, err := os.ReadFile(root + "/theirs.log"); err != nil || string(got) != "kept" {
				t.Errorf("a file of others was touched: %v", err)
			}
			if st := rel.Status(); st.Downloaded >= r.meta.Info.ContentLength() {
				t.Errorf("fetched %d bytes to mend one piece", st.Downloaded)
			}
			found, err = app.Scrub(t.Context(), "1", rel, false)
			if err != nil || len(found.Problems) != 0 {
				t.Errorf("after mending: %+v, %v", found, err)
			}
			if _, err := os.Stat(filepath.Join(root, "web/.shoal/versions/1/repair")); err == nil {
				t.Error("the repair was left behind")
			}
		})
	}
}

// TestScrubRunningProgram mends a program while it runs: its file could not be
// opened for writing (ETXTBSY).
func TestScrubRunningProgram(t *testing.T) {
	sleep, err := os.ReadFile("/bin/sleep")
	if err != nil {
		t.Skip("no program to run")
	}
	r := newRelease(t, metainfo.Hybrid, func(app string) {
		write(t, filepath.Join(app, "bin/sleep"), sleep)
		must(t, os.Chmod(filepath.Join(app, "bin/sleep"), 0o755))
	})
	root := t.TempDir()
	peer, _ := seed(t, r)
	rel, app := staged(t, r, root, peer, "1")
	program := filepath.Join(root, "web/current/bin/sleep")
	rot(t, program, int64(len(sleep)-1))
	running, err := os.StartProcess(program, []string{"sleep", "1000"}, &os.ProcAttr{})
	if err != nil {
		t.Skipf("the rotten program does not start: %v", err)
	}
	defer func() { running.Kill(); running.Wait() }()
	found, err := app.Scrub(t.Context(), "1", rel, true)
	if err != nil || !found.OK() || len(found.Problems) != 1 {
		t.Errorf("scrub: %+v, %v", found, err)
	}
	if got, err := os.ReadFile(program); err != nil || !slices.Equal(got, sleep) {
		t.Errorf("not mended: %v", err)
	}
	if err := running.Signal(syscall.Signal(0)); err != nil {
		t.Errorf("the program ended: %v", err)
	}
}

// TestScrubWithoutPeers finds the damage, cannot mend it and loses nothing.
func TestScrubWithoutPeers(t *testing.T) {
	r, root := newRelease(t, metainfo.Hybrid), t.TempDir()
	peer, stop := seed(t, r)
	rel, app := staged(t, r, root, peer, "1")
	must(t, stop())
	big := filepath.Join(root, "web/current/data/big")
	rot(t, big, 5)
	before, err := os.ReadFile(big)
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	rel.Report = func(e Event) {
		if e.Kind == Serving { // all that can be done without a peer is done
			cancel()
		}
	}
	if found, err := app.Scrub(ctx, "1", rel, true); err == nil {
		t.Errorf("mended by nobody: %+v", found)
	}
	if after, err := os.ReadFile(big); err != nil || string(after) != string(before) {
		t.Errorf("the file changed: %v", err)
	}
	if _, err := os.Stat(filepath.Join(root, "web/.shoal/versions/1/repair")); err == nil {
		t.Error("the repair was left behind")
	}
}

func TestProblemsOf(t *testing.T) {
	r := newRelease(t, metainfo.Hybrid)
	for i := range r.meta.Info.Files {
		f := &r.meta.Info.Files[i]
		want := release.Refetch
		if f.IsLink() {
			want = release.Relink
		}
		if got := remedyOf(r.meta.Info, i, "missing"); got != want {
			t.Errorf("%s: %q, want %q", strings.Join(f.Path, "/"), got, want)
		}
	}
	for kind, want := range map[string]release.Remedy{"extra": release.NoCure, "wrong type": release.NoCure, "missing": release.Mkdir, "unreadable": release.NoCure} {
		if got := remedyOf(r.meta.Info, -1, storage.ProblemKind(kind)); got != want {
			t.Errorf("folder %s: %q, want %q", kind, got, want)
		}
	}
}
