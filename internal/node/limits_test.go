package node

import (
	"errors"
	"strings"
	"testing"
	"time"

	"shoal/internal/bt/limit"
	"shoal/internal/bt/rate"
	"shoal/internal/bt/swarm"
	"shoal/internal/topology"
)

const linked = `
datacenters:
  - {name: fra1, cidrs: [127.0.1.0/24]}
  - {name: iad1, cidrs: [127.0.2.0/24]}
  - {name: sin1, cidrs: [127.0.3.0/24]}
links:
  - {between: [fra1, iad1], name: atlantic, limit: 40MB/s, budget: 1kB/day, schedule: [daily 00:00-12:00 20MB/s]}
`

func fra1(t *testing.T) *places {
	t.Helper()
	m, err := topology.Parse([]byte(linked))
	must(t, err)
	return &places{file: m, own: topology.Place{Datacenter: "fra1"}}
}

func asked(t *testing.T, texts ...string) (out []limit.Change) {
	t.Helper()
	for _, s := range texts {
		c, err := limit.ParseChange(s)
		must(t, err)
		out = append(out, c)
	}
	return out
}

// onWire is the rate of a chain as the network's counters show it, in MB/s.
func onWire(c rate.Chain) float64 { return float64(c.Rate()) * 1.02 / 1e6 }

func TestLimitsByPlace(t *testing.T) {
	l := newLimits(asked(t, "up=100MB/s", "up-wan=30MB/s", "up-local=60MB/s", "down-wan=9MB/s"), 0, fra1(t))
	noon := time.Date(2026, 1, 5, 12, 0, 0, 0, time.UTC)
	local, iad, sin, none := topology.Place{Datacenter: "fra1"}, topology.Place{Datacenter: "iad1"}, topology.Place{Datacenter: "sin1"}, topology.Place{}
	check := func(when time.Time, peer topology.Place, up, down float64) {
		t.Helper()
		l.chains(peer) // the first bytes make a link's limit known
		l.apply(when)
		u, d := l.chains(peer)
		if onWire(u) < up-0.001 || onWire(u) > up+0.001 || onWire(d) < down-0.001 || onWire(d) > down+0.001 {
			t.Errorf("%v at %v: up %.3f, down %.3f MB/s, want %v, %v", peer, when.Format(time.TimeOnly), onWire(u), onWire(d), up, down)
		}
	}
	check(noon, local, 60, 0)
	check(noon, iad, 30, 9)
	check(noon.Add(-time.Hour), iad, 20, 9)
	check(noon, sin, 30, 9)
	check(noon, none, 30, 9)
	must(t, l.change(asked(t, "down-wan=unlimited", "up-wan=unlimited")))
	l.traffic(noon, 1, 8)
	check(noon, iad, 40, 5) // what comes in is parted among eight
	check(noon.Add(-time.Hour), iad, 20, 2.5)
	must(t, l.change(asked(t, "up-link:atlantic=1MB/s")))
	check(noon, iad, 1, 5)
	l.yield(500e3)
	check(noon, local, 0.5, 0.5)
	check(noon, sin, 0.5, 0.5)
	l.yield(0)
	if err := l.change(asked(t, "up=7MB/s", "up-link:moon=1MB/s")); err == nil || !strings.Contains(err.Error(), "moon") {
		t.Errorf("a link that is not there: %v", err)
	}
	check(noon, local, 60, 0) // and nothing else has changed
}

// TestRampBeginsAnew: each transfer after a pause rises from the foot.
func TestRampBeginsAnew(t *testing.T) {
	l := newLimits(asked(t, "up=100MB/s"), 10*time.Second, fra1(t))
	at := func(now time.Time, moved int64, want float64) {
		t.Helper()
		l.traffic(now, moved, 0)
		l.apply(now)
		if up, _ := l.chains(topology.Place{}); onWire(up) < want-0.1 || onWire(up) > want+0.1 {
			t.Errorf("%v: %.2f MB/s, want %v", now.Sub(l.began), onWire(up), want)
		}
	}
	start := l.began
	at(start.Add(2*time.Second), 1, 20)
	at(start.Add(12*time.Second), 2, 100)
	at(start.Add(20*time.Second), 2, 100)
	at(start.Add(60*time.Second), 3, 5)
	at(start.Add(65*time.Second), 4, 50)
	at(start.Add(100*time.Second), 4, 100)
}

func TestLimitsAreBounded(t *testing.T) {
	l := newLimits(nil, 0, fra1(t))
	for n := range maxLimits {
		l.chains(topology.Place{Datacenter: "x" + strings.Repeat("y", n%60) + time.Duration(n).String()})
	}
	if len(l.table) > maxLimits {
		t.Errorf("%d limits", len(l.table))
	}
	if up, down := l.chains(topology.Place{Datacenter: "another"}); len(up) != 2 || len(down) != 2 {
		t.Errorf("a made-up place has %d and %d limits, want those of the WAN and the process", len(up), len(down))
	}
}

func TestLedger(t *testing.T) {
	l := newLedger(fra1(t))
	now := time.Date(2026, 1, 5, 12, 0, 0, 0, time.UTC)
	a, b := &share{}, &share{}
	engines := map[*share]*swarm.Torrent{a: {}, b: {}}
	enter := func(s *share, dc string, up, down int64, passed bool) {
		t.Helper()
		errs := l.enter(s, engines[s], map[string]swarm.Traffic{dc: {Up: up, Down: down}}, now)
		if (len(errs) > 0) != passed {
			t.Errorf("%s %d, %d: passed %v, want %v", dc, up, down, errs, passed)
		}
		for _, err := range errs {
			var over *BudgetError
			if !errors.As(error(err), &over) || over.Link.Name != "atlantic" || !strings.Contains(err.Error(), "1kB/day") {
				t.Errorf("alarm: %v", err)
			}
		}
	}
	enter(a, "iad1", 600, 0, false)
	enter(a, "iad1", 900, 0, false)
	enter(b, "fra1", 5000, 5000, false)
	enter(b, "sin1", 5000, 5000, false)
	enter(b, "", 5000, 5000, false)
	enter(b, "iad1", 101, 0, true)
	enter(b, "iad1", 500, 0, false) // told once
	l.leave(a)
	enter(a, "iad1", 10, 0, false)
	engines[a] = &swarm.Torrent{} // after a pause
	enter(a, "iad1", 15, 0, false)
	by, links := l.figures()
	if by["iad1"].Up != 900+500+10+15 || by["fra1"].Down != 5000 || links["atlantic"].Up != 1425 || links["atlantic"].budget.Bytes != 1000 {
		t.Errorf("sums %+v, links %+v", by, links)
	}
	if l.total() != 1425+30000 {
		t.Errorf("total %d", l.total())
	}
}
