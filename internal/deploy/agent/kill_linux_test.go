package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"shoal"
	"shoal/internal/killpoint"
)

const (
	rootVar  = "SHOAL_AGENT_TEST_ROOT"
	depotVar = "SHOAL_AGENT_TEST_DEPOT"
)

// story is what the control plane wants, one thing after the other, and how it
// knows that it came to be.
func story() []struct {
	order shoal.Order
	until func(shoal.AppReport) bool
} {
	return []struct {
		order shoal.Order
		until func(shoal.AppReport) bool
	}{
		{order(1, 1, "1", "1"), runs("1")},
		{order(2, 1, "2", ""), has("2")},
		{order(2, 2, "2", "2"), func(a shoal.AppReport) bool { return runs("2")(a) && a.Taken.Serial == 2 }},
		{order(3, 1, "3", "3"), func(a shoal.AppReport) bool { return failed(shoal.StepHealth, "2 is live again")(a) && runs("2")(a) }},
		{back(order(2, 3, "", "1")), runs("1")},
	}
}

func toldConfig(root, depot string) Options {
	check := Hook{Command: []string{filepath.Join(depot, "check")}}
	post := Hook{Command: []string{filepath.Join(depot, "post")}}
	return Options{Config: Config{Root: root, Host: "web-1", Apps: map[string]AppConfig{"web": {
		PostActivate: post, Health: Health{Hook: check, Retries: ptr(0), Every: Duration(time.Hour)},
	}}}, Pace: fast()}
}

// TestRoleAgent is the process that is killed: an agent and its control plane,
// which remembers outside of the root how far it has come.
func TestRoleAgent(t *testing.T) {
	root, dir := os.Getenv(rootVar), os.Getenv(depotVar)
	if root == "" {
		t.Skip("this is a process of TestKilled")
	}
	told, d := filepath.Join(dir, "told"), depot{dir}
	b, err := os.ReadFile(told)
	must(t, err)
	from, err := strconv.Atoi(string(b))
	must(t, err)
	st := newStation()
	st.session = uint64(time.Now().UnixNano())
	for n, v := range []string{"1", "2", "3"} {
		st.register(t, d, "web", v, uint64(n+1))
	}
	o := toldConfig(root, dir)
	a, err := New(o)
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- a.Run(ctx, st, newSwarm(d)) }()
	for n, s := range story()[from:] {
		st.order(s.order)
		st.await(t, fmt.Sprint("the end of step ", from+n), s.until)
		must(t, os.WriteFile(told+".new", []byte(strconv.Itoa(from+n+1)), 0o644), os.Rename(told+".new", told))
	}
	cancel()
	must(t, <-done)
}

// TestKilled kills the agent before every change of the disk, always on the same
// root: each run goes on where the last one was killed, until one comes to the
// end. Whatever is live at any moment is whole, and the end is as if nothing had
// happened.
func TestKilled(t *testing.T) {
	d, root := newDepot(t, "1", "2", "3"), t.TempDir()
	must(t, os.WriteFile(filepath.Join(d.dir, "told"), []byte("0"), 0o644),
		os.WriteFile(filepath.Join(d.dir, "check"), []byte("#!/bin/sh\ntest $SHOAL_VERSION != 3\n"), 0o755),
		os.WriteFile(filepath.Join(d.dir, "post"), []byte("#!/bin/sh\ncp $SHOAL_CURRENT/VERSION "+d.dir+"/reloaded\n"), 0o755))
	for kills := 0; ; kills++ {
		cmd := exec.Command(os.Args[0], "-test.run=^TestRoleAgent$", "-test.count=1")
		cmd.Env = append(os.Environ(), rootVar+"="+root, depotVar+"="+d.dir, "GORACE=atexit_sleep_ms=0")
		var out strings.Builder
		cmd.Stdout, cmd.Stderr = &out, &out
		res, err := killpoint.Run(t.Context(), cmd, root, killpoint.At(kills+1))
		must(t, err)
		if res.Err != nil && !res.Killed {
			t.Fatalf("%v\n%s", res.Err, out.String())
		}
		whole(t, root, d, res.Steps)
		if !res.Killed {
			t.Logf("killed %d times", kills)
			if kills < 30 {
				t.Errorf("only %d changes of the disk were seen", kills)
			}
			break
		}
	}
	if b, err := os.ReadFile(filepath.Join(d.dir, "reloaded")); err != nil || string(b) != "1" {
		t.Errorf("the app was last told to run %q, %v", b, err)
	}
	r, err := os.OpenRoot(root)
	must(t, err)
	defer r.Close()
	rec, damaged, err := readRecord(r)
	must(t, err, damaged)
	if a := rec.app("web"); a.Switch != nil || a.Failure != nil || a.Floor != 2 || a.Health != shoal.Healthy || a.HealthOf != "1" {
		t.Errorf("%+v", a)
	}
	entries, err := os.ReadDir(filepath.Join(root, "web/releases"))
	must(t, err)
	if slices.ContainsFunc(entries, func(e os.DirEntry) bool { return strings.HasSuffix(e.Name(), ".staging") }) {
		t.Errorf("left behind: %v", entries)
	}
}

// whole fails if what is live is not one release with all its files.
func whole(t *testing.T, root string, d depot, steps []killpoint.Step) {
	t.Helper()
	version, err := os.ReadFile(filepath.Join(root, "web/current/VERSION"))
	if errors.Is(err, os.ErrNotExist) {
		if _, err := os.Lstat(filepath.Join(root, "web/current")); err == nil {
			t.Fatalf("after %v: current leads nowhere", steps[len(steps)-1])
		}
		return
	}
	must(t, err)
	want, err := os.ReadFile(filepath.Join(d.dir, string(version), "bin/start"))
	must(t, err)
	if got, err := os.ReadFile(filepath.Join(root, "web/current/bin/start")); err != nil || string(got) != string(want) {
		t.Fatalf("after %v: bin/start is not of version %s, %v", steps[len(steps)-1], version, err)
	}
}
