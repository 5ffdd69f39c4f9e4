package node

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"shoal"
	"shoal/internal/deploy/plan"
	"shoal/internal/topology"
)

// TestEstimate: a push is simulated where the topology allows it and somebody has the
// time, and calculated otherwise; the plan tells which it was, and why.
func TestEstimate(t *testing.T) {
	m, err := topology.Parse([]byte(`
defaults: {host: 1Gbit/s, link: {capacity: 100Mbit/s}}
datacenters: [{name: fra, cidrs: [10.1.0.0/16]}, {name: nyc, cidrs: [10.2.0.0/16]}]`))
	must(t, err)
	to, err := shoal.ParseSelector("all")
	must(t, err)
	now := time.Now()
	input := func(nyc string, hosts int) plan.Input {
		in := plan.Input{
			Release: shoal.Release{App: "web", Version: "2", Bytes: 1e9}, Rollout: shoal.Rollout{App: "web", Version: "2", To: to}, Source: "fra",
			Links: []plan.Link{{From: "fra", To: nyc, Rate: 12.5e6}},
		}
		for i := range hosts {
			in.Hosts = append(in.Hosts, shoal.Host{Name: fmt.Sprint(i), Datacenter: []string{"fra", nyc}[i%2], Seen: now, Report: shoal.Report{Free: 1e12}})
		}
		return in
	}
	e := newEstimator(m)
	e.patience = patience // of a machine with other things to do
	p := e.plan(t.Context(), input("nyc", 4), now)
	if p.By != shoal.BySimulation || p.Time < 80*time.Second || p.Time > 160*time.Second || len(p.Links) != 1 || p.Links[0].Copies != 1 || len(p.Warn) > 0 {
		t.Errorf("%+v", p)
	}
	later := input("nyc", 4)
	later.Rollout.StartAt = now.Add(24 * time.Hour)
	if p := e.plan(t.Context(), later, now); p.By != shoal.BySimulation || p.End.Before(later.Rollout.StartAt) {
		t.Errorf("a push of tomorrow: %+v", p)
	}
	p = e.plan(t.Context(), input("nyc", 4), now)
	gone, cancel := context.WithCancelCause(t.Context())
	cancel(fmt.Errorf("nobody asks any more"))
	if again := e.plan(t.Context(), input("nyc", 4), now.Add(time.Second)); again.Time != p.Time || again.By != p.By {
		t.Errorf("the same push a second later: %+v", again)
	}
	for why, p := range map[string]shoal.Plan{
		"nobody asks any more": e.plan(gone, input("nyc", 6), now),
		`centre "moon"`:        e.plan(t.Context(), input("moon", 4), now),
		"":                     newEstimator(nil).plan(t.Context(), input("nyc", 4), now),
	} {
		if p.By != shoal.ByArithmetic || p.Time != 80*time.Second || !strings.Contains(strings.Join(p.Warn, ""), why) {
			t.Errorf("%q: %+v", why, p)
		}
	}
	e.patience = time.Nanosecond
	if p := e.plan(t.Context(), input("nyc", 8), now); p.By != shoal.ByArithmetic || !strings.Contains(strings.Join(p.Warn, ""), "shoal simulate") {
		t.Errorf("%+v", p)
	}
}
