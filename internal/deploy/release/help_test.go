package release_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"shoal/internal/bt/metainfo"
	"shoal/internal/bt/metainfo/build"
	"shoal/internal/bt/storage"
	"shoal/internal/deploy/release"
	"shoal/internal/killpoint"
)

func TestMain(m *testing.M) {
	killpoint.Enter()
	goleak.VerifyTestMain(m)
}

func must(t testing.TB, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// depot is where versions of an app come from: DIR/VERSION is a tree and
// DIR/VERSION.torrent its metafile.
type depot struct{ dir string }

// newDepot makes versions of a tree that has every kind of entry. A file NAME
// holds its version and name, so that a mixture is seen.
func newDepot(t testing.TB, versions ...string) depot {
	t.Helper()
	d := depot{t.TempDir()}
	for n, v := range versions {
		top := filepath.Join(d.dir, v)
		big := make([]byte, 70<<10)
		_, _ = rand.NewChaCha8([32]byte{byte(n)}).Read(big) // never fails
		for name, content := range map[string]string{
			"VERSION": v, "bin/start": "#!/bin/sh\necho " + v + "\n", "data/big": v + string(big), "data/none": "",
			"data/locked/in": v + " in", "data/shared": strings.Repeat("the same in all versions", 3000),
		} {
			must(t, os.MkdirAll(filepath.Dir(filepath.Join(top, name)), 0o755), os.WriteFile(filepath.Join(top, name), []byte(content), 0o644))
		}
		must(t, os.Chmod(top+"/bin/start", 0o755), os.Symlink("bin/start", top+"/run"), os.Mkdir(top+"/empty", 0o755),
			os.Chmod(top+"/data/locked", 0o555))
		t.Cleanup(func() { _ = os.Chmod(top+"/data/locked", 0o755) })
		meta, err := build.Build(t.Context(), top, build.Options{PieceLength: 32 << 10, Name: "app"})
		must(t, err)
		must(t, os.WriteFile(top+".torrent", meta.Encode(), 0o644))
	}
	return d
}

func (d depot) meta(version string) (*metainfo.Metafile, error) {
	raw, err := os.ReadFile(filepath.Join(d.dir, version+".torrent"))
	if err != nil {
		return nil, err
	}
	return metainfo.Parse(raw)
}

// content is release.Content with a version of the depot in place of a swarm.
// All but the network is what runs in production.
type content struct {
	depot
	version string
}

func (c content) Fetch(ctx context.Context, to release.Place, meta *metainfo.Metafile, pick func(int) bool) error {
	hashes, err := metainfo.NewHashes(meta.Info, meta.Layers)
	if err != nil {
		return err
	}
	from, err := storage.Open(c.dir, meta.Info, hashes, storage.Options{As: c.version, ReadOnly: true})
	if err != nil {
		return err
	}
	defer from.Close()
	disk, err := storage.Open(to.Dir, meta.Info, hashes, storage.Options{As: to.Name, ResumeDir: to.State, Select: pick, Overwrite: true, Threads: 1})
	if err != nil {
		return err
	}
	return errors.Join(copyPieces(ctx, meta.Info, disk, from), disk.Close())
}

func copyPieces(ctx context.Context, info *metainfo.Info, to, from *storage.Disk) error {
	if err := to.Preflight(ctx); err != nil {
		return err
	}
	have, err := to.Check(ctx, nil)
	if err != nil {
		return err
	}
	if err := to.Allocate(ctx); err != nil {
		return err
	}
	for p := range info.NumPieces() {
		if have.Has(p) {
			continue
		}
		piece := metainfo.Piece(p)
		b := make([]byte, info.PieceData(piece))
		if _, err := from.ReadAt(b, info.PieceOffset(piece)); err != nil {
			return err
		}
		if _, err := to.WriteAt(b, info.PieceOffset(piece)); err != nil {
			return err
		}
		to.MarkHave(piece)
	}
	return to.Finish(ctx)
}

func (c content) Verify(context.Context, release.Place, *metainfo.Metafile) ([]release.Problem, error) {
	return nil, errors.ErrUnsupported // checks run with the engine, in package node
}

// host is a root with the app "web" on it.
type host struct {
	dir string
	depot
}

func newHost(t testing.TB, d depot) host {
	t.Helper()
	dir := t.TempDir()
	t.Cleanup(func() { unlockAll(dir) })
	return host{dir, d}
}

// unlockAll lets the test's folders be removed by those who are not root.
func unlockAll(dir string) {
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			_ = os.Chmod(path, 0o755) // the test's own check tells of what matters
		}
		return nil
	})
}

func (h host) app(t testing.TB) *release.App {
	t.Helper()
	a, err := h.open()
	must(t, err)
	t.Cleanup(func() { _ = a.Close() })
	return a
}

func (h host) open() (*release.App, error) {
	s, err := release.Open(h.dir, release.Options{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, err
	}
	defer s.Close()
	return s.NewApp("web")
}

func (h host) stage(ctx context.Context, a *release.App, version string) error {
	meta, err := h.meta(version)
	if err != nil {
		return err
	}
	_, err = a.Stage(ctx, version, meta, content{h.depot, version})
	return err
}

// tree lists what lies below a folder: type, mode, and bytes or link text.
func tree(dir string) (map[string]string, error) {
	out := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		st, err := d.Info()
		if err != nil {
			return err
		}
		text := ""
		switch {
		case d.Type()&fs.ModeSymlink != 0:
			text, err = os.Readlink(path)
		case d.Type().IsRegular():
			var b []byte
			b, err = os.ReadFile(path)
			text = string(b)
		}
		out[name] = st.Mode().String() + " " + text
		return err
	})
	return out, err
}

// check fails if anything that a reader can see is not one whole version, and
// returns which version is current.
func (h host) check(t testing.TB) (current string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(h.dir, "web/releases"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			continue // nobody reads it
		}
		h.same(t, e.Name(), filepath.Join(h.dir, "web/releases", e.Name()))
	}
	target, err := os.Readlink(filepath.Join(h.dir, "web/current"))
	if errors.Is(err, fs.ErrNotExist) {
		return ""
	}
	must(t, err)
	current = filepath.Base(target)
	h.same(t, current, filepath.Join(h.dir, "web/current")+"/")
	return current
}

// same compares a folder with the version that it should be.
func (h host) same(t testing.TB, version, dir string) {
	t.Helper()
	want, err := tree(filepath.Join(h.depot.dir, version))
	must(t, err)
	got, err := tree(dir)
	must(t, err)
	if !maps.Equal(got, want) {
		t.Errorf("%s is not the release %s: it holds\n%s\nwant\n%s", dir, version, brief(got), brief(want))
	}
}

func brief(tree map[string]string) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(tree)) {
		fmt.Fprintf(&b, "  %s: %.40q\n", name, tree[name])
	}
	return b.String()
}

// hiddenNames are what is left of work under way.
func (h host) hiddenNames(t testing.TB) (names []string) {
	t.Helper()
	must(t, filepath.WalkDir(filepath.Join(h.dir, "web"), func(path string, d fs.DirEntry, err error) error {
		base := filepath.Base(path)
		if err == nil && (strings.Contains(base, ".tmp-") || strings.Contains(base, ".gone-") || strings.HasSuffix(base, ".staging") || base == "repair") {
			names = append(names, path)
		}
		return err
	}))
	return names
}
