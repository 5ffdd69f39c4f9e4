package controller_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"shoal"
	"shoal/internal/deploy/controller"
	"shoal/internal/deploy/fleetstore"
	"shoal/internal/deploy/fleetstore/storetest"
)

// mortal is the store as one server sees it, which dies at a write: before it
// is made, or after it and before the answer. From then on nothing of the
// server reaches the store, as after SIGKILL.
type mortal struct {
	fleetstore.Store
	left  atomic.Int64 // writes until death; negative is never
	after bool
	once  sync.Once
	died  chan struct{}
}

func newMortal(s fleetstore.Store, writes int64, after bool) *mortal {
	m := &mortal{Store: s, after: after, died: make(chan struct{})}
	m.left.Store(writes)
	return m
}

var errDead = fmt.Errorf("the server is dead: %w", shoal.ErrUnavailable)

func (m *mortal) dead() bool {
	select {
	case <-m.died:
		return true
	default:
		return false
	}
}

// write makes a write that counts.
func (m *mortal) write(do func() error) error {
	if m.dead() {
		return errDead
	}
	if m.left.Add(-1) != 0 {
		return do()
	}
	if m.after {
		_ = do() // nobody learns how it went
	}
	m.once.Do(func() { close(m.died) })
	return errDead
}

func (m *mortal) counts(b fleetstore.Bucket) bool {
	return b == fleetstore.Rollouts || b == fleetstore.Notices
}

func (m *mortal) Put(ctx context.Context, b fleetstore.Bucket, key string, value []byte, after uint64) (rev uint64, err error) {
	put := func() error {
		rev, err = m.Store.Put(ctx, b, key, value, after)
		return err
	}
	if m.counts(b) {
		err := m.write(put)
		return rev, err
	}
	if m.dead() {
		return 0, errDead
	}
	return m.Store.Put(ctx, b, key, value, after)
}

func (m *mortal) Delete(ctx context.Context, b fleetstore.Bucket, key string, after uint64) error {
	remove := func() error { return m.Store.Delete(ctx, b, key, after) }
	if m.counts(b) {
		return m.write(remove)
	}
	if m.dead() {
		return errDead
	}
	return remove()
}

func (m *mortal) Append(ctx context.Context, name string, data []byte) (r fleetstore.Record, err error) {
	err = m.write(func() error {
		r, err = m.Store.Append(ctx, name, data)
		return err
	})
	return r, err
}

// TestKilledAtEveryWrite kills the server that leads at each write that it
// makes for a rollout, before and after the write, and lets another one go on:
// nothing of the rollout is lost or done twice.
func TestKilledAtEveryWrite(t *testing.T) {
	lease := controller.Lease{Renew: 50 * time.Millisecond, Patience: 300 * time.Millisecond}
	for _, after := range []bool{false, true} {
		for n := int64(1); n <= 24; n++ {
			t.Run(fmt.Sprintf("%d %v", n, after), func(t *testing.T) {
				t.Parallel()
				store := fleetstore.NewMemory()
				t.Cleanup(func() { _ = store.Close() })
				var sent sync.Map // ID of a notice to its text
				o := controller.Options{Server: "s2", Lease: lease, Notify: func(_ context.Context, n shoal.Notice) error {
					if was, ok := sent.Swap(n.ID, n.Text); ok && was != n.Text {
						t.Errorf("notice %s says %q, and said %q", n.ID, n.Text, was)
					}
					return nil
				}}
				doomed := newMortal(store, -1, after)
				o.Server = "s1"
				first := start(t, doomed, o)
				<-first.Ready()
				until(t, "the doomed server leads", func() bool { return leads(admin(t), t, first, "s1") })
				o.Server = "s2"
				second := start(t, store, o)
				<-second.Ready()
				ctx := admin(t)
				a := newAgents(t, func() shoal.Station { return station{second.Controller} })
				hosts := hostNames(4)
				a.run(hosts...)
				until(t, "all hosts are there", func() bool {
					s, err := second.Situation(ctx)
					return err == nil && s.Online == len(hosts)
				})
				register(t, second, "web", "1")
				doomed.left.Store(n)
				if _, err := second.Push(ctx, wish(t, "web@1", "canary=1, 100%")); err != nil {
					t.Fatal(err)
				}
				p := phase(t, second, 1, "done")
				first.stop()
				until(t, "the outbox is empty", func() bool {
					entries, err := second.Audit(ctx, shoal.AuditQuery{Rollout: 1})
					return err == nil && len(entries) > 0 && entries[len(entries)-1].Do == "end"
				})
				if p.Counts["live"] != len(hosts) {
					t.Errorf("%+v", p)
				}
				actions := auditOnce(t, second, 1)
				// start, 4 stage, ready, 2 waves, 4 switch, end
				if len(actions) != 13 {
					t.Errorf("the audit log has %d actions: %q", len(actions), actions)
				}
				for _, h := range hosts {
					if a.count(h+" switches 1") != 1 {
						t.Errorf("%s switched %d times", h, a.count(h+" switches 1"))
					}
				}
				for _, id := range []string{"1-plan", "1-1"} {
					if _, ok := sent.Load(id); !ok {
						t.Errorf("notice %s was never sent", id)
					}
				}
			})
		}
	}
}

// leads tells whether a server has the lease, as another one sees it.
func leads(ctx context.Context, t *testing.T, s server, want string) bool {
	t.Helper()
	got, err := s.Situation(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return got.Leader == want
}

// trio is three servers on a cluster of three NATS servers.
type trio struct {
	t       *testing.T
	cluster *storetest.Cluster
	mu      sync.Mutex
	servers map[string]server
	stores  map[string]fleetstore.Store
}

func newTrio(t *testing.T) *trio {
	r := &trio{t: t, cluster: storetest.NewCluster(t), servers: map[string]server{}, stores: map[string]fleetstore.Store{}}
	for _, name := range []string{"s1", "s2", "s3"} {
		r.start(name)
	}
	return r
}

func (r *trio) start(name string) {
	store := r.cluster.Open(r.t, "fleet")
	s := start(r.t, store, controller.Options{Server: name, Lease: controller.Lease{Renew: 300 * time.Millisecond, Patience: 3 * time.Second}})
	select {
	case <-s.Ready():
	case <-time.After(patience):
		r.t.Fatalf("%s is not ready", name)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.servers[name], r.stores[name] = s, store
}

// kill cuts a server off from the store, all of a sudden, and ends it.
func (r *trio) kill(name string) {
	r.mu.Lock()
	s, store := r.servers[name], r.stores[name]
	delete(r.servers, name)
	r.mu.Unlock()
	if err := store.Close(); err != nil {
		r.t.Error(err)
	}
	s.stop()
}

// any is some server that runs; the zero server when none does.
func (r *trio) any() server {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, name := range []string{"s1", "s2", "s3"} {
		if s, ok := r.servers[name]; ok {
			return s
		}
	}
	return server{}
}

// killLeader kills the server that leads, waits until another one does, which
// has to be within ten seconds, and starts the first one again.
func (r *trio) killLeader(ctx context.Context) {
	r.t.Helper()
	leader := ""
	until(r.t, "a server leads", func() bool {
		s, err := r.any().Situation(ctx)
		leader = s.Leader
		return err == nil && leader != ""
	})
	r.kill(leader)
	until(r.t, "another server leads", func() bool {
		s, err := r.any().Situation(ctx)
		return err == nil && s.Leader != "" && s.Leader != leader
	})
	r.start(leader)
}

// TestKilledInEveryPhase kills the leader of three servers on a real cluster in
// every phase of two rollouts, one that ends well and one that is rolled back,
// and once all three of them.
func TestKilledInEveryPhase(t *testing.T) {
	r := newTrio(t)
	ctx := admin(t)
	a := newAgents(t, func() shoal.Station {
		if s := r.any(); s.Controller != nil {
			return station{s.Controller}
		}
		return nil
	})
	hosts := hostNames(6)
	a.run(hosts...)
	until(t, "all hosts are online", func() bool {
		s, err := r.any().Situation(ctx)
		return err == nil && s.Online == len(hosts)
	})
	register(t, r.any(), "web", "1")
	register(t, r.any(), "web", "2")
	wait := func(id uint64, want string) {
		t.Helper()
		phase(t, r.any(), id, want)
	}
	command := func(id uint64, do string) {
		t.Helper()
		if _, err := r.any().Command(ctx, id, shoal.Command{Do: do}); err != nil {
			t.Fatal(err)
		}
	}

	a.setIdle(true)
	first := wish(t, "web@1", "canary=1, 100%")
	first.StartAt, first.StageOnly = time.Now().Add(time.Second), true
	if _, err := r.any().Push(ctx, first); err != nil {
		t.Fatal(err)
	}
	r.killLeader(ctx) // queued
	wait(1, "staging")
	r.killLeader(ctx) // staging
	for _, name := range []string{"s1", "s2", "s3"} {
		r.kill(name)
	}
	for _, name := range []string{"s3", "s1", "s2"} {
		r.start(name)
	}
	a.setIdle(false)
	wait(1, "ready")
	r.killLeader(ctx) // ready
	a.setIdle(true)
	command(1, "activate")
	wait(1, "switching")
	r.killLeader(ctx) // switching
	a.setIdle(false)
	wait(1, "done")
	r.killLeader(ctx) // done

	for _, h := range hosts {
		a.sick[h+" 2"] = true
	}
	second := wish(t, "web@2", "100%")
	second.Limits.OnBreach = shoal.BreachRollback
	if _, err := r.any().Push(ctx, second); err != nil {
		t.Fatal(err)
	}
	for {
		p, err := r.any().Rollout(ctx, 2)
		if err != nil {
			t.Fatal(err)
		}
		if p.Phase == "rolling-back" || p.Phase == "rolled-back" {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	r.killLeader(ctx) // rolling back
	wait(2, "rolled-back")

	for id := uint64(1); id <= 2; id++ {
		until(t, "the outbox is empty", func() bool {
			entries, err := r.any().Audit(ctx, shoal.AuditQuery{Rollout: id})
			return err == nil && len(entries) > 0 && entries[len(entries)-1].Do == "end"
		})
		auditOnce(t, r.any(), id)
	}
	for _, h := range hosts {
		if n := a.count(h + " switches 1"); n != 1 {
			t.Errorf("%s switched to 1 %d times", h, n)
		}
		if n := a.count(h + " stages 2"); n != 1 {
			t.Errorf("%s staged 2 %d times", h, n)
		}
	}
}
