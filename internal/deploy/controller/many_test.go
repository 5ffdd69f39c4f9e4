package controller_test

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"shoal"
	"shoal/internal/deploy/controller"
	"shoal/internal/deploy/fleetstore"
)

// TestManyAgents keeps many agents at one server, straight at its Station, and
// says how long an order takes to reach all of them and what they cost. With
// SHOAL_AGENTS=10000 it is the measurement; without, a test that it works.
func TestManyAgents(t *testing.T) {
	n := 300
	if text := os.Getenv("SHOAL_AGENTS"); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	engines(t, func(t *testing.T, store fleetstore.Store) {
		s := start(t, store, controller.Options{Lease: controller.Lease{Renew: time.Second, Patience: 20 * time.Second}})
		<-s.Ready()
		ctx := admin(t)
		names := make([]string, n)
		for i := range names {
			names[i] = fmt.Sprintf("dc%d-%d", i%9, i)
		}
		before := memory()
		began := time.Now()
		inParallel(names, func(name string) {
			c := as(ctx, name, shoal.Agent)
			w, err := s.Hello(c, shoal.Hello{Host: name, Datacenter: name[:3], Instance: name})
			if err == nil {
				err = s.Report(c, shoal.Report{Host: name, Session: w.Session, Seq: 1, Free: 1 << 40})
			}
			if err != nil {
				t.Error(err)
			}
		})
		t.Logf("%d agents said hello and reported in %s", n, time.Since(began))

		crowd := newCrowd(t, ctx, s, names)
		crowd.wait(func(o shoal.Orders) bool { return len(o.Orders) == 0 })
		t.Logf("%d agents watch: %.1f kB each", n, float64(memory()-before)/float64(n)/1e3)

		measure := func(what string, do func() error, reached func(shoal.Orders) bool) {
			t.Helper()
			began := time.Now()
			if err := do(); err != nil {
				t.Fatal(err)
			}
			crowd.wait(reached)
			t.Logf("%s reached all %d agents in %s", what, n, time.Since(began))
		}
		measure("stop-all", func() error { return s.Stop(ctx, "") }, func(o shoal.Orders) bool { return o.Stopped })
		measure("start", func() error { return s.Start(ctx) }, func(o shoal.Orders) bool { return !o.Stopped })
		register(t, s, "web", "1")
		began = time.Now()
		measure("a push", func() error {
			_, err := s.Push(ctx, wish(t, "web@1", "canary=1, 10%, 100%"))
			return err
		}, func(o shoal.Orders) bool { return len(o.Orders) == 1 && o.Orders[0].Stage == "1" })
		crowd.obey()
		phase(t, s, 1, "done")
		t.Logf("a push of three waves was done in %s, with agents that take no time", time.Since(began))
		actions := auditOnce(t, s, 1)
		if len(actions) != 2*n+6 { // start, stage, ready, 3 waves, switch, end
			t.Errorf("%d actions in the audit log", len(actions))
		}
		crowd.stop()
	})
}

func memory() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}

func inParallel(names []string, do func(string)) {
	const width = 64
	var group sync.WaitGroup
	queue := make(chan string)
	for range width {
		group.Go(func() {
			for name := range queue {
				do(name)
			}
		})
	}
	for _, name := range names {
		queue <- name
	}
	close(queue)
	group.Wait()
}

// crowd is many agents that watch, and know what they were told last.
type crowd struct {
	t     *testing.T
	s     server
	names []string
	stop  func()

	mu    sync.Mutex
	last  map[string]shoal.Orders
	obeys bool
	news  chan struct{}
}

func newCrowd(t *testing.T, ctx context.Context, s server, names []string) *crowd {
	ctx, cancel := context.WithCancel(ctx)
	c := &crowd{t: t, s: s, names: names, last: map[string]shoal.Orders{}, news: make(chan struct{}, 1)}
	var group sync.WaitGroup
	c.stop = func() { cancel(); group.Wait() }
	t.Cleanup(c.stop)
	for _, name := range names {
		group.Go(func() { c.watch(as(ctx, name, shoal.Agent), name) })
	}
	return c
}

func (c *crowd) watch(ctx context.Context, name string) {
	var since uint64
	app := shoal.AppReport{App: "web"}
	for seq := uint64(2000); ; seq++ { // behind what obey says for them
		o, err := c.s.Watch(ctx, name, since)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			c.t.Error(err)
			return
		}
		since = o.Version
		c.mu.Lock()
		c.last[name] = o
		obeys := c.obeys
		c.mu.Unlock()
		select {
		case c.news <- struct{}{}:
		default:
		}
		if obeys {
			c.act(ctx, name, &app, o, seq)
		}
	}
}

func (c *crowd) act(ctx context.Context, name string, app *shoal.AppReport, o shoal.Orders, seq uint64) {
	for _, order := range o.Orders {
		app.Taken = order.ID
		if order.Stage != "" && !slices.Contains(app.Staged, order.Stage) {
			app.Staged = append(slices.Clone(app.Staged), order.Stage)
		}
		if order.Live != "" {
			app.Live, app.Health = order.Live, shoal.Healthy
		}
	}
	err := c.s.Report(ctx, shoal.Report{Host: name, Session: 1, Seq: seq, Free: 1 << 40, Apps: []shoal.AppReport{*app}})
	if err != nil && ctx.Err() == nil {
		c.t.Error(err)
	}
}

// obey lets the agents do what they are told from now on; what they were told
// already they report as done at once.
func (c *crowd) obey() {
	c.mu.Lock()
	c.obeys = true
	last := c.last
	c.last = map[string]shoal.Orders{}
	c.mu.Unlock()
	inParallel(c.names, func(name string) {
		app := shoal.AppReport{App: "web"}
		c.act(as(c.t.Context(), name, shoal.Agent), name, &app, last[name], 1000)
	})
}

// wait waits until every agent was told something.
func (c *crowd) wait(reached func(shoal.Orders) bool) {
	c.t.Helper()
	end := time.After(patience)
	for {
		c.mu.Lock()
		told := 0
		for _, o := range c.last {
			if reached(o) {
				told++
			}
		}
		c.mu.Unlock()
		if told == len(c.names) {
			return
		}
		select {
		case <-c.news:
			time.Sleep(time.Millisecond) // looking costs as much as telling
		case <-end:
			c.t.Fatalf("%d of %d agents were told", told, len(c.names))
		}
	}
}
