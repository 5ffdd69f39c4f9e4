package release_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"shoal/internal/deploy/release"
)

// states is what a listing says, in short: "1:good 2:active*".
func states(l release.Listing) string {
	var out []string
	for _, r := range l.Releases {
		s := r.Version + ":" + string(r.State)
		if r.Version == l.Current {
			s += "*"
		}
		out = append(out, s)
	}
	return strings.Join(out, " ")
}

func expect(t *testing.T, a *release.App, want, previous string) {
	t.Helper()
	l, err := a.List()
	must(t, err)
	if states(l) != want || l.Previous != previous {
		t.Errorf("%s, rollback to %q; want %s, %q", states(l), l.Previous, want, previous)
	}
}

func activate(t *testing.T, a *release.App, version string) {
	t.Helper()
	_, err := a.Activate(t.Context(), version, release.Good, false)
	must(t, err)
}

func TestLife(t *testing.T) {
	h := newHost(t, newDepot(t, "1", "2", "3", "4"))
	a, ctx := h.app(t), t.Context()
	must(t, h.stage(ctx, a, "1"))
	expect(t, a, "1:staged", "")
	activate(t, a, "1")
	expect(t, a, "1:active*", "")
	if _, err := a.Rollback(ctx); !errors.Is(err, release.ErrNotFound) {
		t.Errorf("rollback without a good release: %v", err)
	}
	must(t, h.stage(ctx, a, "2"))
	activate(t, a, "2")
	expect(t, a, "1:good 2:active*", "1")
	activate(t, a, "2") // again: nothing happens
	expect(t, a, "1:good 2:active*", "1")

	must(t, h.stage(ctx, a, "3"))
	activate(t, a, "3")
	expect(t, a, "1:good 2:good 3:active*", "2")
	_, err := a.Rollback(ctx)
	must(t, err)
	expect(t, a, "1:good 2:good* 3:failed", "1")
	if got := h.check(t); got != "2" {
		t.Errorf("current is %s, want 2", got)
	}
	if _, err := a.Activate(ctx, "3", release.Good, false); !errors.Is(err, release.ErrRefused) {
		t.Errorf("activate what failed: %v", err)
	}
	_, err = a.Activate(ctx, "3", release.Good, true)
	must(t, err)
	expect(t, a, "1:good 2:good 3:active*", "2")
	_, err = a.Mark(ctx, "3", release.Good)
	must(t, err)
	must(t, h.stage(ctx, a, "4"))
	if _, err := a.Mark(ctx, "4", release.Good); !errors.Is(err, release.ErrRefused) {
		t.Errorf("mark what never ran as good: %v", err)
	}
	_, err = a.Activate(ctx, "4", release.Staged, false)
	must(t, err)
	expect(t, a, "1:good 2:good 3:staged 4:active*", "2") // nobody knows of 3

	if _, err := a.Remove(ctx, "4"); !errors.Is(err, release.ErrRefused) {
		t.Errorf("remove what is in use: %v", err)
	}
	_, err = a.Remove(ctx, "1")
	must(t, err)
	swept, err := a.GC(ctx, release.Policy{Keep: 1}, true)
	must(t, err)
	if len(swept.Removed) != 1 || swept.Removed[0].Version != "3" {
		t.Errorf("would remove %+v, want 3", swept.Removed)
	}
	expect(t, a, "2:good 3:staged 4:active*", "2")
	_, err = a.GC(ctx, release.Policy{Keep: 1}, false)
	must(t, err)
	expect(t, a, "2:good 4:active*", "2")
	h.check(t)
	if left := h.hiddenNames(t); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

// TestRollbackMovesNoByte looks at inodes and times before and after.
func TestRollbackMovesNoByte(t *testing.T) {
	h := newHost(t, newDepot(t, "1", "2"))
	a := h.app(t)
	for _, v := range []string{"1", "2"} {
		must(t, h.stage(t.Context(), a, v))
		activate(t, a, v)
	}
	before, err := os.Stat(filepath.Join(h.dir, "web/releases/1/data/big"))
	must(t, err)
	_, err = a.Rollback(t.Context())
	must(t, err)
	after, err := os.Stat(filepath.Join(h.dir, "web/current/data/big"))
	must(t, err)
	if !os.SameFile(before, after) || before.ModTime() != after.ModTime() {
		t.Error("the file that is read after the rollback is another one")
	}
}

func TestStageRefuses(t *testing.T) {
	h := newHost(t, newDepot(t, "1", "2"))
	a, ctx := h.app(t), t.Context()
	meta, err := h.meta("1")
	must(t, err)
	for _, version := range []string{"", ".", "..", "../x", "a/b", "a\x00b", ".hidden", strings.Repeat("v", 129), "current\n"} {
		if _, err := a.Stage(ctx, version, meta, content{h.depot, "1"}); !errors.Is(err, release.ErrName) {
			t.Errorf("version %q: %v", version, err)
		}
		if _, err := a.Activate(ctx, version, release.Good, false); !errors.Is(err, release.ErrName) {
			t.Errorf("activate %q: %v", version, err)
		}
	}
	_, err = a.Stage(ctx, "1.0-rc1", meta, content{h.depot, "1"})
	must(t, err)
	for _, c := range []struct{ version, from, say string }{
		{"1.0-RC1", "1", "case alone"},
		{"1.0-rc1", "2", "other content"},
	} {
		meta, err := h.meta(c.from)
		must(t, err)
		_, err = a.Stage(ctx, c.version, meta, content{h.depot, c.from})
		if !errors.Is(err, release.ErrRefused) || !strings.Contains(err.Error(), c.say) {
			t.Errorf("stage %s of %s: %v, want %q", c.version, c.from, err, c.say)
		}
	}
	// The same again is fine.
	r, err := a.Stage(ctx, "1.0-rc1", meta, content{h.depot, "none"})
	if err != nil || r.State != release.Staged {
		t.Errorf("stage again: %+v, %v", r, err)
	}
	// What others put there is theirs.
	foreign := filepath.Join(h.dir, "web/releases/7")
	must(t, os.Mkdir(foreign, 0o755), os.WriteFile(foreign+"/theirs", nil, 0o644))
	if err := h.stageAs(ctx, a, "1", "7"); !errors.Is(err, release.ErrRefused) {
		t.Errorf("stage over a foreign folder: %v", err)
	}
	if _, err := a.Activate(ctx, "7", release.Good, false); !errors.Is(err, release.ErrNotFound) {
		t.Errorf("activate a foreign folder: %v", err)
	}
	_, err = a.GC(ctx, release.Policy{Keep: 1, Quota: 1}, false)
	must(t, err)
	if _, err := os.Stat(foreign + "/theirs"); err != nil {
		t.Errorf("a foreign folder was touched: %v", err)
	}
}

func (h host) stageAs(ctx context.Context, a *release.App, from, version string) error {
	meta, err := h.meta(from)
	if err != nil {
		return err
	}
	_, err = a.Stage(ctx, version, meta, content{h.depot, from})
	return err
}

func TestForeignCurrent(t *testing.T) {
	h := newHost(t, newDepot(t, "1"))
	a, link := h.app(t), filepath.Join(h.dir, "web/current")
	must(t, h.stage(t.Context(), a, "1"))
	must(t, os.Mkdir(filepath.Join(h.dir, "web/releases/old"), 0o755))
	for _, put := range []func() error{
		func() error { return os.Mkdir(link, 0o755) },
		func() error { return os.WriteFile(link, []byte("x"), 0o644) },
		func() error { return os.Symlink("releases/old", link) },
		func() error { return os.Symlink("/etc", link) },
	} {
		must(t, put())
		if _, err := a.Activate(t.Context(), "1", release.Good, false); !errors.Is(err, release.ErrRefused) || !strings.Contains(err.Error(), link) {
			t.Errorf("replaced what is not ours: %v", err)
		}
		if l, err := a.List(); err != nil || l.Current != "" || l.Target == "" {
			t.Errorf("list: %+v, %v", l, err)
		}
		must(t, os.Remove(link))
	}
	// A link that somebody pointed at a release of ours is believed.
	must(t, os.Symlink("releases/1", link))
	expect(t, a, "1:active*", "")
	// One that dangles loses nothing.
	must(t, os.Remove(link), os.Symlink("releases/never", link))
	activate(t, a, "1")
	expect(t, a, "1:active*", "")
}

// TestByHand lets an operator switch the link without us.
func TestByHand(t *testing.T) {
	h := newHost(t, newDepot(t, "1", "2"))
	a := h.app(t)
	for _, v := range []string{"1", "2"} {
		must(t, h.stage(t.Context(), a, v))
		activate(t, a, v)
	}
	link := filepath.Join(h.dir, "web/current")
	must(t, os.Symlink("releases/1", link+".x"), os.Rename(link+".x", link))
	expect(t, a, "1:good* 2:staged", "")
	activate(t, a, "2")
	expect(t, a, "1:good 2:active*", "1")
}

func TestDamagedState(t *testing.T) {
	h := newHost(t, newDepot(t, "1", "2"))
	a := h.app(t)
	for _, v := range []string{"1", "2"} {
		must(t, h.stage(t.Context(), a, v))
		activate(t, a, v)
	}
	state := filepath.Join(h.dir, "web/.shoal/state.json")
	for _, text := range []string{"", "{", `{"format":2}`, `{"format":1,"next":1,"releases":[{"version":"../x","state":"good"}]}`, strings.Repeat(" ", 9<<20)} {
		must(t, os.WriteFile(state, []byte(text), 0o600))
		expect(t, a, "1:staged 2:active*", "")
		activate(t, a, "1")
		expect(t, a, "1:active* 2:good", "2")
		kept, err := os.ReadFile(state + ".damaged")
		if err != nil || string(kept) != text {
			t.Errorf("the damaged state was not kept: %v", err)
		}
		h.check(t)
		activate(t, a, "2")
	}
}

// TestIncomplete refuses to switch to a release that has lost something.
func TestIncomplete(t *testing.T) {
	h := newHost(t, newDepot(t, "1"))
	a := h.app(t)
	must(t, h.stage(t.Context(), a, "1"))
	file := filepath.Join(h.dir, "web/releases/1/data/big")
	must(t, os.Truncate(file, 7))
	if _, err := a.Activate(t.Context(), "1", release.Good, false); !errors.Is(err, release.ErrDamaged) || !strings.Contains(err.Error(), "data/big") {
		t.Errorf("activated what is short: %v", err)
	}
	must(t, os.Remove(file))
	if _, err := a.Activate(t.Context(), "1", release.Good, false); !errors.Is(err, release.ErrDamaged) {
		t.Errorf("activated what lacks a file: %v", err)
	}
	if _, err := os.Lstat(filepath.Join(h.dir, "web/current")); err == nil {
		t.Error("there is a link")
	}
}

func TestNoRoot(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "not", "mounted")
	if _, err := release.Open(dir, release.Options{}); !errors.Is(err, release.ErrNotFound) || !strings.Contains(err.Error(), dir) {
		t.Errorf("opened a root that is not there: %v", err)
	}
	s, err := release.Open(t.TempDir(), release.Options{})
	must(t, err)
	defer s.Close()
	if _, err := s.App("web"); !errors.Is(err, release.ErrNotFound) {
		t.Errorf("opened an app that is not there: %v", err)
	}
	for _, app := range []string{"../x", "", ".", "..", "web@1", ".shoal", "a/b"} {
		if _, err := s.NewApp(app); !errors.Is(err, release.ErrName) {
			t.Errorf("app %q: %v", app, err)
		}
	}
}
