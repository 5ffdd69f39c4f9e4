package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"shoal"
	"shoal/internal/bt/metainfo"
	"shoal/internal/bt/tracker"
	"shoal/internal/deploy/agent"
)

// headquarters is a control plane in memory.
type headquarters struct {
	mu      sync.Mutex
	news    chan struct{} // closed at the next change
	orders  shoal.Orders
	bundles map[string]shoal.Bundle
	hosts   map[string]*shoal.Host
	session uint64
	down    bool
}

func newHeadquarters() *headquarters {
	return &headquarters{news: make(chan struct{}), bundles: map[string]shoal.Bundle{}, hosts: map[string]*shoal.Host{}}
}

func (q *headquarters) change(do func()) {
	q.mu.Lock()
	defer q.mu.Unlock()
	do()
	close(q.news)
	q.news = make(chan struct{})
}

// order wants the same of all hosts.
func (q *headquarters) order(orders ...shoal.Order) {
	q.change(func() { q.orders.Version++; q.orders.Orders = orders })
}

func (q *headquarters) register(t *testing.T, r published, app, version, tracker string) {
	t.Helper()
	raw, err := os.ReadFile(r.file)
	must(t, err)
	q.change(func() {
		q.bundles[app+"@"+version] = shoal.Bundle{App: app, Version: version, Metafile: raw, Trackers: []string{tracker}}
	})
}

func (q *headquarters) Enroll(context.Context, shoal.Enrollment) (shoal.Credentials, error) {
	return shoal.Credentials{}, shoal.ErrDenied
}

func (q *headquarters) Hello(_ context.Context, h shoal.Hello) (w shoal.Welcome, err error) {
	q.change(func() {
		if q.down {
			err = shoal.ErrUnavailable
			return
		}
		q.session++
		w.Session = q.session
		if q.hosts[h.Host] == nil {
			q.hosts[h.Host] = &shoal.Host{Name: h.Host}
		}
	})
	return w, err
}

func (q *headquarters) Watch(ctx context.Context, _ string, since uint64) (shoal.Orders, error) {
	for {
		q.mu.Lock()
		o, news, down := q.orders, q.news, q.down
		o.Orders = slices.Clone(o.Orders)
		q.mu.Unlock()
		if down {
			return o, shoal.ErrUnavailable
		}
		if o.Version != since {
			return o, nil
		}
		select {
		case <-news:
		case <-ctx.Done():
			return o, ctx.Err()
		}
	}
}

func (q *headquarters) Report(_ context.Context, r shoal.Report) (err error) {
	q.change(func() {
		if h := q.hosts[r.Host]; q.down || h == nil {
			err = shoal.ErrUnavailable
		} else {
			h.Hear(r, time.Now())
		}
	})
	return err
}

func (q *headquarters) Bundle(_ context.Context, app, version string) (shoal.Bundle, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	b, ok := q.bundles[app+"@"+version]
	if !ok || q.down {
		return b, shoal.ErrUnavailable
	}
	return b, nil
}

// await waits until every host's report about web is one that ok accepts.
func (q *headquarters) await(t *testing.T, hosts int, what string, ok func(shoal.AppReport) bool) {
	t.Helper()
	limit := time.After(patience)
	for {
		q.mu.Lock()
		news, n, text := q.news, 0, ""
		for _, h := range q.hosts {
			a := h.Report.App("web")
			if ok(a) {
				n++
			} else {
				text += fmt.Sprintf("\n%s: %+v failure %+v work %+v", h.Name, a, a.Failure, a.Work)
			}
		}
		q.mu.Unlock()
		if n == hosts {
			return
		}
		select {
		case <-news:
		case <-limit:
			t.Fatalf("only %d of %d hosts report %s%s", n, hosts, what, text)
		}
	}
}

func isLive(version string) func(shoal.AppReport) bool {
	return func(a shoal.AppReport) bool { return a.Live == version && a.Health == shoal.Healthy }
}

func isStaged(version string) func(shoal.AppReport) bool {
	return func(a shoal.AppReport) bool { return slices.Contains(a.Staged, version) }
}

func anOrder(serial uint64, stage, live string) shoal.Order {
	return shoal.Order{ID: shoal.OrderID{Rollout: 1, Serial: serial}, App: "web", Stage: stage, Live: live}
}

// daemon starts an agent and gives its root and address.
func daemon(t *testing.T, q *headquarters, name, root string, down int64) (addr netip.AddrPort, stop func() error) {
	t.Helper()
	ready := make(chan netip.AddrPort, 1)
	o := quiet("127.0.0.1:0", nil)
	o.TorrentDown = down
	stop = background(t, func(ctx context.Context) error {
		return Agent(ctx, AgentOptions{
			Options: o, Station: q, Ready: func(a netip.AddrPort) { ready <- a },
			Config: agent.Config{Root: root, Host: name, Keep: 9},
			Pace:   agent.Pace{Tick: 50 * time.Millisecond, Quiet: 300 * time.Millisecond, Busy: 100 * time.Millisecond, Retry: 50 * time.Millisecond, Reports: 10 * time.Millisecond},
		})
	})
	select {
	case addr = <-ready:
	case <-time.After(patience):
		t.Fatal("the agent does not start")
	}
	return addr, stop
}

// introducer runs a tracker and gives its URL.
func introducer(t *testing.T) (url string) {
	t.Helper()
	at := make(chan netip.AddrPort, 1)
	background(t, func(ctx context.Context) error {
		return Tracker(ctx, TrackerOptions{Options: tracker.Options{Listen: "127.0.0.1:0", Interval: 10 * time.Second}, Ready: func(a netip.AddrPort) { at <- a }})
	})
	return "http://" + (<-at).String() + "/announce"
}

// TestAgents has three hosts fetch a release from a source that then goes away,
// switch to it, and give it to a fourth one.
func TestAgents(t *testing.T) {
	q, url := newHeadquarters(), introducer(t)
	r := newRelease(t, metainfo.Hybrid)
	r.meta.Announce = [][]string{{url}}
	must(t, os.WriteFile(r.file, r.meta.Encode(), 0o644))
	q.register(t, r, "web", "1", url)
	_, leave := seed(t, r)
	var roots []string
	for n := range 3 {
		roots = append(roots, t.TempDir())
		daemon(t, q, fmt.Sprint("web-", n), roots[n], 0)
	}
	q.order(anOrder(1, "1", ""))
	q.await(t, 3, "1 staged", isStaged("1"))
	for _, root := range roots {
		if _, err := os.Stat(filepath.Join(root, "web/current")); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("staged only, and it is live: %v", err)
		}
	}
	must(t, leave())
	q.order(anOrder(2, "1", "1"))
	q.await(t, 3, "1 live", isLive("1"))
	roots = append(roots, t.TempDir())
	daemon(t, q, "web-3", roots[3], 0)
	q.await(t, 4, "1 live", isLive("1"))
	for _, root := range roots {
		sameTree(t, filepath.Join(root, "web/current"))
	}
}

// TestAgentsAlone takes the control plane and the source away in the middle of
// staging: what the hosts have together is enough for all of them.
func TestAgentsAlone(t *testing.T) {
	q, url := newHeadquarters(), introducer(t)
	r := newRelease(t, metainfo.Hybrid)
	r.meta.Announce = [][]string{{url}}
	must(t, os.WriteFile(r.file, r.meta.Encode(), 0o644))
	q.register(t, r, "web", "1", url)
	_, leave := seed(t, r)
	first := t.TempDir()
	_, stop := daemon(t, q, "web-0", first, 0)
	q.order(anOrder(1, "1", ""))
	q.await(t, 1, "1 staged", isStaged("1"))
	must(t, leave())
	roots := []string{t.TempDir(), t.TempDir()}
	for n, root := range roots {
		daemon(t, q, fmt.Sprint("web-", n+1), root, r.meta.Info.ContentLength()/4)
	}
	q.await(t, 3, "a fetch under way", func(a shoal.AppReport) bool {
		return isStaged("1")(a) || a.Work != nil && a.Work.Step == shoal.StepFetch && a.Work.Done > 0 && a.Work.Done < a.Work.Total
	})
	q.change(func() { q.down = true })
	for _, root := range roots {
		for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
			if _, err := os.Stat(filepath.Join(root, "web/releases/1")); err == nil {
				break
			} else if time.Now().After(end) {
				t.Fatal("without a control plane nothing goes on")
			}
		}
	}
	must(t, stop())
	daemon(t, q, "web-0", first, 0) // without a server, with what is on its disk
	q.change(func() { q.down = false; q.orders.Version++; q.orders.Orders = []shoal.Order{anOrder(4, "1", "1")} })
	q.await(t, 3, "1 live", isLive("1"))
}

// TestAgentHolds lets no byte move while it is held, and goes on after that.
func TestAgentHolds(t *testing.T) {
	q, url := newHeadquarters(), introducer(t)
	r := newRelease(t, metainfo.Hybrid)
	r.meta.Announce = [][]string{{url}}
	must(t, os.WriteFile(r.file, r.meta.Encode(), 0o644))
	q.register(t, r, "web", "1", url)
	seed(t, r)
	daemon(t, q, "web-0", t.TempDir(), r.meta.Info.ContentLength()/8)
	q.order(anOrder(1, "1", ""))
	moving := func(a shoal.AppReport) bool { return a.Work != nil && a.Work.Peers > 0 && a.Work.Done > 0 }
	q.await(t, 1, "bytes", moving)
	for name, halt := range map[string]func(bool){
		"hold":     func(on bool) { q.change(func() { q.orders.Version++; q.orders.Orders[0].Hold = on }) },
		"stop-all": func(on bool) { q.change(func() { q.orders.Version++; q.orders.Stopped = on }) },
	} {
		halt(true)
		q.await(t, 1, name, func(a shoal.AppReport) bool {
			return a.Work != nil && a.Work.Peers == 0 && a.Work.Detail == "held" && a.Work.Rate == 0
		})
		var at int64 = -1
		for range 6 { // reports come five times a second
			q.await(t, 1, name, func(a shoal.AppReport) bool {
				if at >= 0 && a.Work.Done != at {
					t.Errorf("%s: %d bytes came meanwhile", name, a.Work.Done-at)
				}
				at = a.Work.Done
				return true
			})
			time.Sleep(100 * time.Millisecond)
		}
		halt(false)
		q.await(t, 1, "bytes again", func(a shoal.AppReport) bool { return moving(a) || isStaged("1")(a) })
	}
	q.await(t, 1, "1 staged", isStaged("1"))
}
