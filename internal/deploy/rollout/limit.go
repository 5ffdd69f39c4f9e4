package rollout

import (
	"fmt"
	"maps"
	"slices"

	"shoal"
)

// breach looks for a limit that is passed, and does what the rollout says
// then. While a rollout is paused nothing follows: a person is at it.
func (d *decider) breach() bool {
	if d.halted() {
		return false
	}
	reason := d.breached()
	if reason == "" {
		return false
	}
	if d.s.Phase == Switching && d.s.Rollout.Limits.OnBreach == shoal.BreachRollback {
		d.rollback(reason)
	} else {
		d.pause(PauseBreach, reason)
	}
	return true
}

// tally counts the hosts of one wave, data centre or fleet.
type tally struct{ hosts, broken int }

// breached is which limit is passed; empty when none is. A host that broke and
// then left still counts: where a supervisor replaces broken hosts, a bad
// release would otherwise look fine.
func (d *decider) breached() string {
	var fleet tally
	waves, dcs := map[int]tally{}, map[string]tally{}
	for i := range d.s.Members {
		m := &d.s.Members[i]
		if !m.Status.counted() && !m.Broken {
			continue
		}
		one := tally{hosts: 1}
		if m.Broken {
			one.broken = 1
		}
		fleet = fleet.plus(one)
		dcs[m.Datacenter] = dcs[m.Datacenter].plus(one)
		if m.Wave > 0 {
			waves[m.Wave] = waves[m.Wave].plus(one)
		}
	}
	limits := d.s.Rollout.Limits
	for _, n := range slices.Sorted(maps.Keys(waves)) {
		limit, title := limits.Wave, "catch-up"
		if n <= len(d.s.Waves) {
			w := &d.s.Waves[n-1]
			limit, title = w.MaxFailed.Or(limit), fmt.Sprintf("wave %d, %s", n, w.Title())
		}
		if text := waves[n].over(limit.Or(shoal.Count(0))); text != "" {
			return title + ": " + text + d.evidence(func(m *Member) bool { return m.Wave == n })
		}
	}
	for _, dc := range slices.Sorted(maps.Keys(dcs)) {
		if text := dcs[dc].over(limits.Datacenter); text != "" {
			return "data centre " + dc + ": " + text + d.evidence(func(m *Member) bool { return m.Datacenter == dc })
		}
	}
	if text := fleet.over(limits.Fleet); text != "" {
		return "fleet: " + text + d.evidence(func(*Member) bool { return true })
	}
	return ""
}

func (t tally) plus(o tally) tally { return tally{t.hosts + o.hosts, t.broken + o.broken} }

// over says that more are broken than may be; empty when not, or without limit.
func (t tally) over(limit shoal.Amount) string {
	if limit.IsZero() || t.broken <= limit.Down(t.hosts) {
		return ""
	}
	return fmt.Sprintf("%d of %d hosts failed, %d may", t.broken, t.hosts, limit.Down(t.hosts))
}

// evidence is the first broken host of a group, and its reason.
func (d *decider) evidence(of func(*Member) bool) string {
	for i := range d.s.Members {
		if m := &d.s.Members[i]; m.Broken && of(m) {
			return fmt.Sprintf(" (%s: %s)", m.Host, m.Reason)
		}
	}
	return ""
}
