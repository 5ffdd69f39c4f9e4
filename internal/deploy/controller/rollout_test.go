package controller_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"shoal"
	"shoal/internal/deploy/controller"
	"shoal/internal/deploy/fleetstore"
	"shoal/internal/trust"
)

// station makes a shoal.Station of a controller: enrolling is not its own.
type station struct{ *controller.Controller }

func (station) Enroll(context.Context, shoal.Enrollment) (shoal.Credentials, error) {
	return shoal.Credentials{}, errors.New("not here")
}

var (
	_ shoal.Fleet  = (*controller.Controller)(nil)
	_ shoal.Access = (*controller.Controller)(nil)
	_ trust.Vault  = controller.Vault{}
)

// engines runs a test on both engines.
func engines(t *testing.T, test func(t *testing.T, store fleetstore.Store)) {
	t.Run("memory", func(t *testing.T) {
		store := fleetstore.NewMemory()
		t.Cleanup(func() { _ = store.Close() })
		test(t, store)
	})
	t.Run("embedded", func(t *testing.T) {
		store, err := fleetstore.Open(t.Context(), fleetstore.Options{Dir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = store.Close() })
		test(t, store)
	})
}

// TestPush brings a release to hosts, a second one with a canary that fails
// and a rollback by itself, and a third one.
func TestPush(t *testing.T) {
	engines(t, func(t *testing.T, store fleetstore.Store) {
		c := start(t, store, controller.Options{})
		a := newAgents(t, func() shoal.Station { return station{c.Controller} })
		hosts := hostNames(9)
		a.run(hosts...)
		ctx := admin(t)
		until(t, "all hosts are online", func() bool {
			s, err := c.Situation(ctx)
			return err == nil && s.Online == len(hosts) && s.Leader == "s1"
		})
		for _, v := range []string{"1", "2", "3"} {
			register(t, c, "web", v)
		}

		p, err := c.Push(ctx, wish(t, "web@1", "canary=1, 100%"))
		if err != nil {
			t.Fatal(err)
		}
		if p.Rollout.ID != 1 || p.Rollout.By != "kim" || p.Plan == nil || p.Plan.Hosts != len(hosts) {
			t.Fatalf("pushed %+v", p)
		}
		p = phase(t, c, 1, "done")
		if p.Counts["live"] != len(hosts) || len(p.Members) != len(hosts) {
			t.Errorf("%+v", p)
		}
		log := auditOnce(t, c, 1)
		for _, h := range hosts {
			for _, want := range []string{"stage web@1 " + h, "switch web@1 " + h} {
				if !slices.Contains(log, want) {
					t.Errorf("the audit log has no %q", want)
				}
			}
			if a.count(h+" switches 1") != 1 {
				t.Errorf("%s switched %d times", h, a.count(h+" switches 1"))
			}
		}

		for _, h := range hosts {
			a.sick[h+" 2"] = true
		}
		r := wish(t, "web@2", "canary=2, 100%")
		r.Limits.OnBreach = shoal.BreachRollback
		if _, err := c.Push(ctx, r); err != nil {
			t.Fatal(err)
		}
		p = phase(t, c, 2, "rolled-back")
		if !strings.Contains(p.End, "canary") || p.Counts["live"] != 0 {
			t.Errorf("%+v", p)
		}
		auditOnce(t, c, 2)
		if _, err := c.Push(ctx, wish(t, "web@3", "100%")); err != nil {
			t.Fatal(err)
		}
		phase(t, c, 3, "done")
		why, err := c.Why(ctx, hosts[0])
		if err != nil || len(why) != 1 || why[0].What != "nothing: it runs web@3" {
			t.Errorf("why: %+v, %v", why, err)
		}
		all, err := c.Rollouts(ctx, shoal.RolloutQuery{Over: true})
		if err != nil || len(all) != 3 || all[0].Rollout.ID != 3 {
			t.Errorf("rollouts: %+v, %v", all, err)
		}
	})
}
