package controller_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"shoal"
	"shoal/internal/deploy/controller"
	"shoal/internal/deploy/fleetstore"
)

// TestTakeover measures, on a clock of the test's own and with the usual lease,
// how long a fleet is without a leader when one dies, and when one stops.
func TestTakeover(t *testing.T) {
	for name, die := range map[string]bool{"killed": true, "stopped": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := fleetstore.NewMemory()
				doomed := newMortal(store, -1, false)
				first := usual(t, doomed, "s1")
				time.Sleep(5 * time.Second) // the second one must not be quicker
				second := usual(t, store, "s2")
				ctx := as(t.Context(), "kim", shoal.Admin)
				time.Sleep(30 * time.Second)
				if !leads(ctx, t, second, "s1") {
					t.Fatal("the first server does not lead")
				}
				began := time.Now()
				if die {
					doomed.left.Store(1)
					if _, err := doomed.Append(ctx, "the end", nil); err == nil {
						t.Fatal("it lives on")
					}
				} else {
					first.stop()
				}
				for !leads(ctx, t, second, "s2") {
					time.Sleep(10 * time.Millisecond)
					if time.Since(began) > 10*time.Second {
						t.Fatal("nobody has taken over within ten seconds")
					}
				}
				took := time.Since(began)
				t.Logf("%s: the other one leads after %s", name, took)
				if !die && took > time.Second {
					t.Errorf("it took %s though the lease was given back", took)
				}
				first.stop()
				second.stop()
			})
		})
	}
}

// TestAlone starts a server that nobody can be beside again after it was killed:
// it waits for nobody's lease.
func TestAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := fleetstore.NewMemory()
		doomed := newMortal(store, -1, false)
		first := start(t, doomed, controller.Options{Lease: controller.Lease{Renew: -1}, Alone: true})
		time.Sleep(10 * time.Second)
		doomed.left.Store(1)
		if _, err := doomed.Append(t.Context(), "the end", nil); err == nil {
			t.Fatal("it lives on")
		}
		first.stop()
		if _, err := store.Get(t.Context(), fleetstore.Fleet, "lease"); err != nil {
			t.Fatalf("nothing is left of its lease: %v", err)
		}
		began := time.Now()
		second := start(t, store, controller.Options{Server: "s2", Lease: controller.Lease{Renew: -1}, Alone: true})
		<-second.Ready()
		synctest.Wait()
		if took := time.Since(began); took > 0 || !leads(as(t.Context(), "kim", shoal.Admin), t, second, "s2") {
			t.Errorf("after %s it does not lead", took)
		}
		second.stop()
	})
}

// usual is a server with the lease that is used in earnest.
func usual(t *testing.T, store fleetstore.Store, name string) server {
	t.Helper()
	s := start(t, store, controller.Options{Server: name, Lease: controller.Lease{Renew: -1}}) // no lease of a test
	<-s.Ready()
	return s
}

// TestServersTellEachOther lets a host report to one server for a long time,
// always the same, and wants the other one to know that it is there and what it
// is at.
func TestServersTellEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := fleetstore.NewMemory()
		first, second := usual(t, store, "s1"), usual(t, store, "s2")
		agent := as(t.Context(), "fra-1", shoal.Agent)
		w, err := hello(t, second, "fra-1", nil)
		if err != nil {
			t.Fatal(err)
		}
		var seq uint64
		report := func(done int64) {
			seq++
			work := &shoal.Work{Version: "1", Step: shoal.StepFetch, Done: done, Total: 100}
			r := shoal.Report{Host: "fra-1", Session: w.Session, Seq: seq, Free: 1000, Apps: []shoal.AppReport{{App: "web", Work: work}}}
			if err := second.Report(agent, r); err != nil {
				t.Fatal(err)
			}
		}
		look := func(ctx context.Context) shoal.Host {
			hosts, err := first.Hosts(as(ctx, "kim", shoal.Viewer), shoal.Selector{})
			if err != nil || len(hosts) != 1 {
				t.Fatal(hosts, err)
			}
			return hosts[0]
		}
		for i := range 20 {
			report(int64(i))
			time.Sleep(20 * time.Second)
			h := look(t.Context())
			if !h.Online(time.Now()) {
				t.Fatalf("after %d reports the other server takes the host for silent, seen %s ago", i+1, time.Since(h.Seen))
			}
			if work := h.Report.App("web").Work; i > 1 && (work == nil || work.Done != int64(i)) {
				t.Errorf("after %d reports the other server thinks that it is at %+v", i+1, work)
			}
		}
		time.Sleep(2 * time.Minute)
		if h := look(t.Context()); h.Online(time.Now()) {
			t.Errorf("a host that is silent counts as online, seen %s ago", time.Since(h.Seen))
		}
		first.stop()
		second.stop()
	})
}
