package release_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"shoal/internal/deploy/release"
	"shoal/internal/killpoint"
)

// The killed process is this test binary with one of these operations to do.
const (
	doVar    = "SHOAL_RELEASE_TEST_DO"
	rootVar  = "SHOAL_RELEASE_TEST_ROOT"
	depotVar = "SHOAL_RELEASE_TEST_DEPOT"
)

// deed is one thing that a host does.
type deed struct {
	name string
	do   func(ctx context.Context, h host, a *release.App) error
}

func stageDeed(version string) deed {
	return deed{"stage " + version, func(ctx context.Context, h host, a *release.App) error { return h.stage(ctx, a, version) }}
}

func activateDeed(version string) deed {
	return deed{"activate " + version, func(ctx context.Context, _ host, a *release.App) error {
		_, err := a.Activate(ctx, version, release.Good, true)
		return err
	}}
}

func deeds() []deed {
	return []deed{
		stageDeed("1"), stageDeed("2"), activateDeed("1"), activateDeed("2"),
		{"rollback", func(ctx context.Context, _ host, a *release.App) error {
			l, err := a.List()
			if err == nil && l.Current != "1" { // what an agent does: it looks before it acts again
				_, err = a.Rollback(ctx)
			}
			return err
		}},
		{"remove 2", func(ctx context.Context, _ host, a *release.App) error {
			_, err := a.Remove(ctx, "2")
			if errors.Is(err, release.ErrNotFound) {
				return nil
			}
			return err
		}},
		{"gc", func(ctx context.Context, _ host, a *release.App) error {
			_, err := a.GC(ctx, release.Policy{Keep: 1}, false)
			return err
		}},
	}
}

func deedOf(name string) deed {
	all := deeds()
	return all[slices.IndexFunc(all, func(d deed) bool { return d.name == name })]
}

// TestRoleDo is the process that is killed.
func TestRoleDo(t *testing.T) {
	name := os.Getenv(doVar)
	if name == "" {
		t.Skip("this is a process of TestKilled")
	}
	h := host{os.Getenv(rootVar), depot{os.Getenv(depotVar)}}
	a, err := h.open()
	must(t, err)
	must(t, deedOf(name).do(t.Context(), h, a), a.Close())
}

// run does the deed in a process of its own, which is killed before the change
// of the disk that kill says.
func (h host) run(t *testing.T, name string, kill func(int, killpoint.Step) bool) killpoint.Result {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestRoleDo$", "-test.count=1")
	cmd.Env = append(os.Environ(), doVar+"="+name, rootVar+"="+h.dir, depotVar+"="+h.depot.dir, "GORACE=atexit_sleep_ms=0")
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	r, err := killpoint.Run(t.Context(), cmd, h.dir, kill)
	must(t, err)
	if r.Err != nil && !r.Killed {
		t.Fatalf("%s: %v\n%s", name, r.Err, out.String())
	}
	return r
}

// TestKilled kills every deed at every system call that changes the disk. What
// readers see then is the old release or the new one, whole; and the deed, done
// again, ends as if nothing had happened.
func TestKilled(t *testing.T) {
	d := newDepot(t, "1", "2")
	for _, c := range []struct {
		before []string // deeds
		do     string
		see    []string // what may be current meanwhile
		after  string
	}{
		{nil, "stage 1", []string{""}, "1:staged"},
		{[]string{"stage 1"}, "activate 1", []string{"", "1"}, "1:active*"},
		{[]string{"stage 1", "activate 1"}, "stage 2", []string{"1"}, "1:active* 2:staged"},
		{[]string{"stage 1", "activate 1", "stage 2"}, "activate 2", []string{"1", "2"}, "1:good 2:active*"},
		{[]string{"stage 1", "activate 1", "stage 2", "activate 2"}, "rollback", []string{"1", "2"}, "1:good* 2:failed"},
		{[]string{"stage 1", "activate 1", "stage 2"}, "remove 2", []string{"1"}, "1:active*"},
		{[]string{"stage 1", "activate 1", "stage 2", "activate 2", "rollback"}, "gc", []string{"1"}, "1:good*"},
	} {
		t.Run(c.do, func(t *testing.T) {
			t.Parallel()
			before := newHost(t, d)
			for _, b := range c.before {
				must(t, before.deed(t, b))
			}
			kills := 0
			for {
				h := before.copy(t)
				r := h.run(t, c.do, killpoint.At(kills+1))
				what := fmt.Sprintf("%s killed before %s", c.do, last(r.Steps))
				if now := h.check(t); !slices.Contains(c.see, now) {
					t.Errorf("%s: current is %q, want one of %q", what, now, c.see)
				}
				must(t, h.deed(t, c.do))
				h.converged(t, what, c.after)
				must(t, os.RemoveAll(h.dir))
				if !r.Killed {
					break
				}
				kills++
			}
			t.Logf("killed %d times", kills)
			if kills < 5 {
				t.Errorf("only %d changes of the disk were seen", kills)
			}
		})
	}
}

// copy makes another host that is like this one.
func (h host) copy(t *testing.T) host {
	t.Helper()
	other := newHost(t, h.depot)
	if out, err := exec.Command("cp", "-a", h.dir+"/.", other.dir).CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	return other
}

func (h host) deed(t *testing.T, name string) error {
	t.Helper()
	a, err := h.open()
	if err != nil {
		return err
	}
	return errors.Join(deedOf(name).do(t.Context(), h, a), a.Close())
}

// converged fails if the host is not as if nothing had been cut off.
func (h host) converged(t *testing.T, what, want string) {
	t.Helper()
	h.check(t)
	a, err := h.open()
	must(t, err)
	defer a.Close()
	l, err := a.List()
	must(t, err)
	if states(l) != want {
		t.Errorf("%s, and done again: %s, want %s", what, states(l), want)
	}
	_, err = a.GC(t.Context(), release.Policy{Keep: 9}, false)
	must(t, err)
	if left := h.hiddenNames(t); len(left) > 0 {
		t.Errorf("%s: left behind: %q", what, left)
	}
	unlockAll(h.dir)
}

func last(steps []killpoint.Step) string {
	if len(steps) == 0 {
		return "anything"
	}
	return steps[len(steps)-1].String()
}

// TestOrder pins the system calls of a switch, in their order: what must be
// durable before the link moves is synced before. A SIGKILL cannot show that, as
// the kernel outlives it; losing power can.
func TestOrder(t *testing.T) {
	h := newHost(t, newDepot(t, "1", "2"))
	must(t, h.deed(t, "stage 1"), h.deed(t, "activate 1"))
	var stage []string
	for _, s := range h.run(t, "stage 2", killpoint.At(0)).Steps {
		if strings.HasPrefix(s.Call, "sync") || strings.Contains(s.Path, "web/releases") && s.Call == "renameat" ||
			s.String() == "fsync web/releases" || strings.HasSuffix(s.Path, "state.json") {
			stage = append(stage, plain(s))
		}
	}
	if want := []string{
		"syncfs web/releases", // by the one who fetched
		"syncfs web/releases/.2.staging",
		"renameat web/releases/.2.staging -> web/releases/2",
		"fsync web/releases",
		"renameat web/.shoal/TEMP -> web/.shoal/state.json",
	}; !endsWith(stage, want) {
		t.Errorf("staging ended with\n%s\nwant\n%s", strings.Join(stage, "\n"), strings.Join(want, "\n"))
	}
	var swap []string
	for _, s := range h.run(t, "activate 2", killpoint.At(0)).Steps {
		swap = append(swap, plain(s))
	}
	record := []string{"openat web/.shoal/TEMP", "write web/.shoal/TEMP", "fchmod web/.shoal/TEMP", "fsync web/.shoal/TEMP",
		"renameat web/.shoal/TEMP -> web/.shoal/state.json", "fsync web/.shoal"}
	want := slices.Concat(record, []string{"symlinkat web/.current.new", "fsync web",
		"renameat web/.current.new -> web/current", "fsync web"}, record)
	if !endsWith(swap, want) {
		t.Errorf("the switch was\n%s\nwant\n%s", strings.Join(swap, "\n"), strings.Join(want, "\n"))
	}
}

func endsWith(got, want []string) bool {
	return len(got) >= len(want) && slices.Equal(got[len(got)-len(want):], want)
}

// plain is a step with one name for all temporary files.
func plain(s killpoint.Step) string {
	words := strings.Fields(s.String())
	for i, w := range words {
		if strings.Contains(w, ".tmp-") {
			words[i] = filepath.Join(filepath.Dir(w), "TEMP")
		}
	}
	return strings.Join(words, " ")
}
