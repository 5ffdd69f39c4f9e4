package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
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

// patience is longer than anything takes on a machine that is busy.
const patience = 2 * time.Minute

// depot is where releases come from: DIR/VERSION is a tree, DIR/VERSION.torrent
// its metafile. It stands for the swarm: all but the network is real.
type depot struct{ dir string }

func newDepot(t testing.TB, versions ...string) depot {
	t.Helper()
	d := depot{t.TempDir()}
	for _, v := range versions {
		top := filepath.Join(d.dir, v)
		must(t, os.MkdirAll(top+"/bin", 0o755), os.WriteFile(top+"/VERSION", []byte(v), 0o644),
			os.WriteFile(top+"/bin/start", []byte(strings.Repeat(v, 9000)), 0o755))
		meta, err := build.Build(t.Context(), top, build.Options{PieceLength: 16 << 10, Name: "app"})
		must(t, err, os.WriteFile(top+".torrent", meta.Encode(), 0o644))
	}
	return d
}

func (d depot) id(t testing.TB, version string) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(d.dir, version+".torrent"))
	must(t, err)
	meta, err := metainfo.Parse(raw)
	must(t, err)
	return release.ID(meta.Info)
}

// swarm is the Fetcher of these tests.
type swarm struct {
	depot
	mu     sync.Mutex
	open   chan struct{} // closed: bytes come
	held   []string
	all    bool
	seeded []string
	fails  error
}

func newSwarm(d depot) *swarm {
	s := &swarm{depot: d, open: make(chan struct{})}
	close(s.open)
	return s
}

// stall lets no byte come until the returned function is called.
func (s *swarm) stall() (flow func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := make(chan struct{})
	s.open = c
	return func() { close(c) }
}

func (s *swarm) Content(_, version string) release.Content { return &content{s, version} }

func (s *swarm) Seed(held []Held) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seeded = nil
	for _, h := range held {
		s.seeded = append(s.seeded, h.App+"@"+h.Version)
	}
}

func (s *swarm) Hold(apps []string, all bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held, s.all = apps, all
}

func (s *swarm) Progress(string, string) shoal.Work {
	return shoal.Work{Total: 100, Done: 50, Peers: 3}
}

type content struct {
	*swarm
	version string
}

func (c *content) Fetch(ctx context.Context, to release.Place, _ *metainfo.Metafile, _ func(int) bool) error {
	c.mu.Lock()
	open, fails := c.open, c.fails
	c.mu.Unlock()
	if fails != nil {
		return fails
	}
	select {
	case <-open:
	case <-ctx.Done():
		return ctx.Err()
	}
	top := filepath.Join(to.Dir, to.Name)
	for _, name := range []string{"VERSION", "bin/start"} {
		b, err := os.ReadFile(filepath.Join(c.dir, c.version, name))
		if err != nil {
			return err
		}
		if err := errors.Join(os.MkdirAll(filepath.Dir(filepath.Join(top, name)), 0o755), os.WriteFile(filepath.Join(top, name), b, 0o755)); err != nil {
			return err
		}
	}
	return nil
}

func (*content) Verify(context.Context, release.Place, *metainfo.Metafile) ([]release.Problem, error) {
	return nil, errors.ErrUnsupported
}

// station is a control plane in memory, for one host.
type station struct {
	mu      sync.Mutex
	news    chan struct{} // closed at the next change
	orders  shoal.Orders
	bundles map[string]shoal.Bundle
	down    bool
	session uint64
	hellos  int
	asked   int // bundles
	reports []shoal.Report
}

func newStation() *station {
	return &station{news: make(chan struct{}), bundles: map[string]shoal.Bundle{}}
}

func (s *station) change(do func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	do()
	close(s.news)
	s.news = make(chan struct{})
}

// order makes these the orders.
func (s *station) order(orders ...shoal.Order) {
	s.change(func() {
		s.orders.Version++
		s.orders.Orders = orders
	})
}

func (s *station) register(t testing.TB, d depot, app, version string, serial uint64) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(d.dir, version+".torrent"))
	must(t, err)
	s.change(func() {
		s.bundles[app+"@"+version] = shoal.Bundle{App: app, Version: version, Metafile: raw, Serial: serial, Trackers: []string{"http://tracker.example/announce"}}
	})
}

func (s *station) Enroll(context.Context, shoal.Enrollment) (shoal.Credentials, error) {
	return shoal.Credentials{}, shoal.ErrDenied
}

func (s *station) Hello(context.Context, shoal.Hello) (shoal.Welcome, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down {
		return shoal.Welcome{}, shoal.ErrUnavailable
	}
	s.session++
	s.hellos++
	return shoal.Welcome{Session: s.session, Datacenter: "fra"}, nil
}

func (s *station) Watch(ctx context.Context, _ string, since uint64) (shoal.Orders, error) {
	for {
		s.mu.Lock()
		o, news, down := s.orders, s.news, s.down
		s.mu.Unlock()
		switch {
		case down:
			return o, shoal.ErrUnavailable
		case o.Version != since:
			o.Orders = slices.Clone(o.Orders)
			return o, nil
		}
		select {
		case <-news:
		case <-ctx.Done():
			return o, ctx.Err()
		}
	}
}

func (s *station) Report(_ context.Context, r shoal.Report) error {
	var err error
	s.change(func() {
		switch {
		case s.down:
			err = shoal.ErrUnavailable
		case r.Session != s.session:
			err = fmt.Errorf("%w: session %d", shoal.ErrNotFound, r.Session)
		default:
			s.reports = append(s.reports, r)
		}
	})
	return err
}

func (s *station) Bundle(_ context.Context, app, version string) (shoal.Bundle, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	b, ok := s.bundles[app+"@"+version]
	switch {
	case s.down:
		return b, shoal.ErrUnavailable
	case !ok:
		return b, fmt.Errorf("%w: %s@%s", shoal.ErrNotFound, app, version)
	}
	return b, nil
}

// await waits until the newest report about web is one that ok accepts.
func (s *station) await(t testing.TB, what string, ok func(shoal.AppReport) bool) shoal.AppReport {
	t.Helper()
	limit := time.After(patience)
	for {
		s.mu.Lock()
		var last shoal.AppReport
		if n := len(s.reports); n > 0 {
			last = s.reports[n-1].App("web")
		}
		news := s.news
		s.mu.Unlock()
		if ok(last) {
			return last
		}
		select {
		case <-news:
		case <-limit:
			t.Fatalf("no report with %s; the last one: %+v failure %+v work %+v", what, last, last.Failure, last.Work)
		}
	}
}

// host is a root with an agent on it.
type host struct {
	t       testing.TB
	root    string
	o       Options
	swarm   *swarm
	station *station
	stop    func() error
}

func fast() Pace {
	return Pace{Tick: 20 * time.Millisecond, Quiet: 200 * time.Millisecond, Busy: 50 * time.Millisecond, Retry: 10 * time.Millisecond,
		Sweep: 50 * time.Millisecond, Reports: time.Millisecond}
}

func newHost(t testing.TB, d depot, change func(*Options)) *host {
	t.Helper()
	h := &host{t: t, root: t.TempDir(), swarm: newSwarm(d), station: newStation()}
	h.o = Options{Config: Config{Root: h.root, Host: "web-1"}, Pace: fast(), Log: slog.New(slog.DiscardHandler)}
	if os.Getenv("SHOAL_TEST_LOG") != "" {
		h.o.Log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	if change != nil {
		change(&h.o)
	}
	h.start()
	t.Cleanup(func() { must(t, h.stop()) })
	return h
}

func (h *host) start() {
	h.t.Helper()
	a, err := New(h.o)
	must(h.t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done, result := make(chan struct{}), error(nil)
	go func() { defer close(done); result = a.Run(ctx, h.station, h.swarm) }()
	h.stop = func() error { cancel(); <-done; return result }
}

func (h *host) restart() {
	h.t.Helper()
	must(h.t, h.stop())
	h.start()
}

// live is the version that current leads to, read through it.
func (h *host) live() string {
	b, err := os.ReadFile(filepath.Join(h.root, "web/current/VERSION"))
	if errors.Is(err, fs.ErrNotExist) {
		return ""
	}
	must(h.t, err)
	return string(b)
}

func order(rollout, serial uint64, stage, live string) shoal.Order {
	return shoal.Order{ID: shoal.OrderID{Rollout: rollout, Serial: serial}, Host: "web-1", App: "web", Stage: stage, Live: live}
}

func back(o shoal.Order) shoal.Order { o.Back = true; return o }
func hold(o shoal.Order) shoal.Order { o.Hold = true; return o }

func runs(version string) func(shoal.AppReport) bool {
	return func(a shoal.AppReport) bool { return a.Live == version && a.Health == shoal.Healthy }
}

func has(version string) func(shoal.AppReport) bool {
	return func(a shoal.AppReport) bool { return slices.Contains(a.Staged, version) }
}

func failed(step shoal.Step, text string) func(shoal.AppReport) bool {
	return func(a shoal.AppReport) bool {
		return a.Failure != nil && a.Failure.Step == step && strings.Contains(a.Failure.Reason, text) && a.Work == nil
	}
}

// script writes an executable for a hook.
func script(t testing.TB, text string) Hook {
	t.Helper()
	name := filepath.Join(t.TempDir(), "hook")
	must(t, os.WriteFile(name, []byte("#!/bin/sh\n"+text+"\n"), 0o755))
	return Hook{Command: []string{name}}
}

func ptr(n int) *int { return &n }

func text(err error) string {
	if err == nil {
		return ""
	}
	return cmp.Or(err.Error(), "?")
}
