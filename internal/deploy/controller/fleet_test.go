package controller_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"shoal"
	"shoal/internal/bt/metainfo"
	"shoal/internal/bt/metainfo/build"
	"shoal/internal/deploy/controller"
	"shoal/internal/deploy/fleetstore"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is for a machine that is frozen while somebody measures.
const patience = 3 * time.Minute

// server is a controller that runs, until stop.
type server struct {
	*controller.Controller
	stop func()
}

func start(t *testing.T, store fleetstore.Store, o controller.Options) server {
	t.Helper()
	if o.Server == "" {
		o.Server = "s1"
	}
	if o.Lease == (controller.Lease{}) {
		o.Lease = controller.Lease{Renew: 100 * time.Millisecond, Patience: time.Second}
	}
	c, err := controller.New(store, o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	var once sync.Once
	s := server{c, func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				t.Errorf("the controller ended with %v", err)
			}
		})
	}}
	t.Cleanup(s.stop)
	return s
}

func as(ctx context.Context, name string, role shoal.Role, apps ...string) context.Context {
	return shoal.WithPrincipal(ctx, shoal.Principal{Name: name, Role: role, Apps: apps})
}

func admin(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return as(ctx, "kim", shoal.Admin)
}

// upload is a release of one file.
func upload(t *testing.T, app, version string, size int) shoal.Upload {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "tree")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "file"), []byte(strings.Repeat(version+"\n", size/(len(version)+1)+1)), 0o644); err != nil {
		t.Fatal(err)
	}
	m, err := build.Build(t.Context(), dir, build.Options{Version: metainfo.Hybrid})
	if err != nil {
		t.Fatal(err)
	}
	return shoal.Upload{App: app, Version: version, Metafile: m.Encode(), Serial: 1, Peers: []string{"127.0.0.1:6881"}}
}

func register(t *testing.T, f shoal.Fleet, app, version string) {
	t.Helper()
	if _, err := f.Register(admin(t), upload(t, app, version, 100)); err != nil {
		t.Fatal(err)
	}
}

// wish is a rollout to all hosts.
func wish(t *testing.T, name, waves string) shoal.Rollout {
	t.Helper()
	app, version, err := shoal.ParseRelease(name)
	if err != nil {
		t.Fatal(err)
	}
	ws, err := shoal.ParseWaves(waves, shoal.Wave{})
	if err != nil {
		t.Fatal(err)
	}
	to, err := shoal.ParseSelector("all")
	if err != nil {
		t.Fatal(err)
	}
	return shoal.Rollout{App: app, Version: version, To: to, Waves: ws}
}

// agents are hosts that obey at once. They keep what they are when servers go.
type agents struct {
	t     *testing.T
	reach func() shoal.Station // some server
	group sync.WaitGroup

	mu   sync.Mutex
	idle bool            // they take note of orders, and do nothing
	sick map[string]bool // "host version" whose health check fails
	did  map[string]int  // "host verb version" to how often
}

func newAgents(t *testing.T, reach func() shoal.Station) *agents {
	return &agents{t: t, reach: reach, sick: map[string]bool{}, did: map[string]int{}}
}

// run starts hosts, which end with the test.
func (a *agents) run(names ...string) {
	ctx, cancel := context.WithCancel(context.Background())
	for _, name := range names {
		a.group.Go(func() { a.host(ctx, name) })
	}
	a.t.Cleanup(func() { cancel(); a.group.Wait() })
}

func (a *agents) host(ctx context.Context, name string) {
	ctx = as(ctx, name, shoal.Agent)
	dc, _, _ := strings.Cut(name, "-")
	apps := map[string]*shoal.AppReport{}
	for ctx.Err() == nil {
		station := a.reach()
		if station == nil {
			sleep(ctx, 20*time.Millisecond)
			continue
		}
		err := a.session(ctx, station, name, dc, apps)
		if err != nil && ctx.Err() == nil && !errors.Is(err, shoal.ErrUnavailable) && !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
			a.t.Errorf("%s: %v", name, err)
		}
		sleep(ctx, 20*time.Millisecond)
	}
}

// session is a host at one server, until it fails or another one is to be asked.
func (a *agents) session(ctx context.Context, station shoal.Station, name, dc string, apps map[string]*shoal.AppReport) error {
	call := func() (context.Context, context.CancelFunc) { return context.WithTimeout(ctx, 10*time.Second) }
	c, cancel := call()
	defer cancel()
	w, err := station.Hello(c, shoal.Hello{Host: name, Datacenter: dc, Software: "test", Clock: time.Now(), Instance: name})
	if err != nil {
		return err
	}
	var seq, since uint64
	for ctx.Err() == nil && a.reach() == station {
		seq++
		r := shoal.Report{Host: name, Session: w.Session, Seq: seq, Free: 1 << 40}
		for _, app := range apps {
			one := *app
			one.Staged = slices.Clone(one.Staged)
			r.Apps = append(r.Apps, one)
		}
		c, cancel := call()
		err := station.Report(c, r)
		cancel()
		if err != nil {
			return err
		}
		c, cancel = context.WithTimeout(ctx, 300*time.Millisecond)
		o, err := station.Watch(c, name, since)
		cancel()
		if errors.Is(err, context.DeadlineExceeded) {
			continue
		}
		if err != nil {
			return err
		}
		since = o.Version
		if a.isIdle() {
			since = 0 // to look again
			sleep(ctx, 50*time.Millisecond)
		}
		for _, order := range o.Orders {
			a.obey(apps, order, o.Stopped)
		}
	}
	return nil
}

func (a *agents) obey(apps map[string]*shoal.AppReport, o shoal.Order, stopped bool) {
	app := apps[o.App]
	if app == nil {
		app = &shoal.AppReport{App: o.App}
		apps[o.App] = app
	}
	app.Taken = o.ID
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.idle || o.Hold || stopped && !o.Back {
		return
	}
	if o.Stage != "" && !slices.Contains(app.Staged, o.Stage) {
		app.Staged = append(app.Staged, o.Stage)
		a.did[fmt.Sprintf("%s stages %s", o.Host, o.Stage)]++
	}
	if o.Live == "" || o.Live == app.Live || app.Failure != nil && app.Failure.Order == o.ID {
		return
	}
	a.did[fmt.Sprintf("%s switches %s", o.Host, o.Live)]++
	if a.sick[o.Host+" "+o.Live] {
		app.Failure = &shoal.Failure{Order: o.ID, Step: shoal.StepHealth, Reason: "exit status 1"}
		return
	}
	app.Live, app.Health, app.Failure = o.Live, shoal.Healthy, nil
}

func (a *agents) isIdle() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.idle
}

func (a *agents) setIdle(idle bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.idle = idle
}

func (a *agents) count(what string) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.did[what]
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// until waits for something to become true.
func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for: %s", what)
		}
	}
}

// phase waits until a rollout is in a phase.
func phase(t *testing.T, f shoal.Fleet, id uint64, want string) shoal.Progress {
	t.Helper()
	ctx := admin(t)
	var p shoal.Progress
	for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		var err error
		if p, err = f.Rollout(ctx, id); err != nil {
			t.Fatal(err)
		}
		if p.Phase == want {
			return p
		}
		if time.Now().After(end) {
			t.Fatalf("rollout %d is %s, waited for %s: %+v, %v", id, p.Phase, want, p.Waits, p.Counts)
		}
	}
}

// auditOnce holds the audit log to its promise: the actions of a rollout are
// there once each, without a gap, in their order. It gives them as text.
func auditOnce(t *testing.T, f shoal.Access, id uint64) []string {
	t.Helper()
	var texts []string
	var last, after uint64
	for {
		entries, err := f.Audit(admin(t), shoal.AuditQuery{Rollout: id, After: after, Limit: 100})
		if err != nil {
			t.Fatal(err)
		}
		if len(entries) == 0 {
			return texts
		}
		for _, e := range entries {
			if e.N <= after {
				t.Errorf("entry %d after %d", e.N, after)
			}
			after = e.N
			if e.Action == 0 {
				continue // of a person
			}
			if e.Action != last+1 {
				t.Errorf("rollout %d: action %d after %d: %+v", id, e.Action, last, e)
			}
			last = e.Action
			texts = append(texts, e.Do+" "+e.What)
		}
	}
}

func hostNames(n int) []string {
	var names []string
	for i := range n {
		names = append(names, fmt.Sprintf("%s-%d", []string{"fra", "nyc", "sgp"}[i%3], i))
	}
	return names
}
