package rollout

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"strings"
	"time"

	"shoal"
)

// catchUpParallel is how many of a rollout's hosts may switch at the same time
// when they come late, at least one: the release is proven by then, but a data
// centre that returns from an outage should not restart its app everywhere at once.
const catchUpParallel = 10 // percent

// unfold makes one wave a data centre out of each-dc.
func unfold(waves shoal.Waves, members []Member) []Wave {
	var out []Wave
	for _, w := range waves {
		if !w.EachDatacenter {
			out = append(out, Wave{Wave: w})
			continue
		}
		dcs := map[string]bool{} // those that no wave before it was for
		for i := range members {
			if members[i].Status.counted() {
				dcs[members[i].Datacenter] = true
			}
		}
		for _, before := range out {
			for _, dc := range before.Datacenters {
				delete(dcs, dc)
			}
		}
		for _, dc := range slices.Sorted(maps.Keys(dcs)) {
			one := w
			one.EachDatacenter, one.Datacenters = false, []string{dc}
			if one.Name != "" {
				one.Name += "-" + dc
			}
			out = append(out, Wave{Wave: one})
		}
	}
	return out
}

// switching runs the wave that is open, or opens the next one.
func (d *decider) switching() {
	if d.s.Wave < len(d.s.Waves) && d.s.Waves[d.s.Wave].Open {
		d.deadlines(d.s.Waves[d.s.Wave].OpenAt)
	}
	if d.breach() {
		return
	}
	if d.s.Wave >= len(d.s.Waves) {
		d.enter(Done)
		d.note(NoteEnd, "%s", summary(&d.s))
		return
	}
	w := &d.s.Waves[d.s.Wave]
	if !w.Open {
		d.askApproval()
		if d.hold() == "" && (!w.Approve || w.ApprovedBy != "") {
			d.open(w)
		}
		return
	}
	d.dispatch(d.s.Wave+1, w.Parallel)
	for i := range d.s.Members {
		if m := &d.s.Members[i]; m.Wave == d.s.Wave+1 && !m.Status.settled() {
			w.Soaking = false // one that is tried again has to be well as long as the others
			return
		}
	}
	switch {
	case !w.Soaking:
		w.Soaking, w.SoakAt, d.moved = true, d.s.Clock, true
	case d.s.Clock-w.SoakAt >= w.Soak && d.hold() == "":
		d.s.Wave++
		d.moved = true
	}
}

func (d *decider) askApproval() {
	if d.s.Wave >= len(d.s.Waves) {
		return
	}
	if w := &d.s.Waves[d.s.Wave]; w.Approve && w.ApprovedBy == "" && !w.Asked {
		w.Asked = true
		d.note(NoteApproval, "wave %d, %s, waits for approval", d.s.Wave+1, w.Title())
	}
}

// open chooses the hosts of a wave. What has staged comes first; what has not
// is taken only by a wave that wants everybody, and waited for.
func (d *decider) open(w *Wave) {
	var fit, unfit []*Member
	reached := 0
	for i := range d.s.Members {
		m := &d.s.Members[i]
		switch {
		case m.Wave > 0 && m.Status.counted() || m.Status == HostLive:
			reached++
		case len(w.Datacenters) > 0 && !slices.Contains(w.Datacenters, m.Datacenter):
		case m.Status == HostStaged && d.online(m):
			fit = append(fit, m)
		case m.Status == HostStaged || m.Status == HostStaging:
			unfit = append(unfit, m)
		}
	}
	weave(d.s.Rollout.ID, fit)
	weave(d.s.Rollout.ID, unfit)
	chosen := append(fit, unfit...)
	if len(w.Datacenters) == 0 && w.Size != shoal.Percent(100) {
		want := max(0, w.Size.Up(d.s.size())-reached)
		if want > 0 && len(fit) == 0 && len(unfit) > 0 {
			return // an empty canary would prove nothing: wait for a host that can
		}
		chosen = fit[:min(want, len(fit))]
	}
	w.Open, w.OpenAt = true, d.s.Clock
	for _, m := range chosen {
		m.Wave = d.s.Wave + 1
	}
	if len(chosen) == 0 { // nobody is left for it, so there is nothing to watch
		w.Soaking, w.SoakAt, d.moved = true, d.s.Clock-w.Soak, true
		return
	}
	d.note(NoteWave, "wave %d of %d, %s: %s (%s)", d.s.Wave+1, len(d.s.Waves), w.Title(), plural(len(chosen), "host", "hosts"), names(chosen))
}

// mix spreads a hash over all its bits (the finalizer of MurmurHash3): FNV
// alone would keep hosts that are numbered in a row together.
func mix(h uint64) uint64 {
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}

func (d *decider) online(m *Member) bool {
	h := d.hosts[m.Host]
	return h != nil && h.Online(d.now)
}

// weave puts members in the order in which they switch: each data centre's in
// an order of their own that is the same for every call but differs between
// rollouts, and the data centres mixed so that every stretch has each of them
// by its share.
func weave(rollout uint64, ms []*Member) {
	rank := make(map[*Member]uint64, len(ms))
	size := map[string]int{}
	for _, m := range ms {
		h := fnv.New64a()
		fmt.Fprintf(h, "%d %s", rollout, m.Host)
		rank[m] = mix(h.Sum64())
		size[m.Datacenter]++
	}
	slices.SortFunc(ms, func(a, b *Member) int {
		return cmp.Or(cmp.Compare(rank[a], rank[b]), cmp.Compare(a.Host, b.Host))
	})
	at, seen := make(map[*Member]float64, len(ms)), map[string]int{}
	for _, m := range ms {
		at[m] = (float64(seen[m.Datacenter]) + 0.5) / float64(size[m.Datacenter])
		seen[m.Datacenter]++
	}
	slices.SortStableFunc(ms, func(a, b *Member) int {
		return cmp.Or(cmp.Compare(at[a], at[b]), cmp.Compare(a.Datacenter, b.Datacenter))
	})
}

// dispatch orders hosts of a wave to switch: those that have said that every
// byte is verified and that can be heard, as many at a time as may.
func (d *decider) dispatch(wave int, parallel shoal.Amount) {
	if d.hold() != "" {
		return
	}
	var able []*Member
	size, flying := 0, 0
	for i := range d.s.Members {
		m := &d.s.Members[i]
		if m.Wave != wave {
			continue
		}
		size++
		if m.Status == HostSwitching {
			flying++
		} else if m.Status == HostStaged && d.online(m) && d.claims[m.Host].by == 0 {
			able = append(able, m)
		}
	}
	room := len(able)
	if !parallel.IsZero() {
		room = max(1, parallel.Down(size)) - flying
	}
	if room <= 0 {
		return
	}
	weave(d.s.Rollout.ID, able)
	for _, m := range able[:min(room, len(able))] {
		m.Previous = d.hosts[m.Host].Report.App(d.s.Rollout.App).Live
		d.order(m, ActSwitch, HostSwitching, "")
		m.Switch = m.Serial
	}
}

// deadlines gives up waiting for hosts of the wave that is open.
func (d *decider) deadlines(openAt time.Duration) {
	limit := cmp.Or(d.s.Rollout.SwitchDeadline, shoal.DefaultSwitchDeadline)
	var late []*Member
	for i := range d.s.Members {
		m := &d.s.Members[i]
		switch {
		case m.Status == HostSwitching && d.s.Clock-m.Since >= limit:
			if d.online(m) {
				d.fail(m, HostFailed, fmt.Sprintf("not well %s after the order to switch", short(limit)))
			} else {
				d.fail(m, HostLost, fmt.Sprintf("silent since it was to switch, for %s", short(limit)))
			}
		case m.Wave == d.s.Wave+1 && d.s.Phase == Switching && d.s.Clock-openAt >= limit &&
			(m.Status == HostStaging || m.Status == HostStaged && !d.online(m)):
			d.set(m, HostQuarantined, fmt.Sprintf("not ready within %s of its wave", short(limit)))
			late = append(late, m)
		}
	}
	if len(late) > 0 {
		d.note(NoteProblem, "left behind, not ready within %s of their wave: %s", short(limit), names(late))
	}
}

// catchUp brings the release to hosts that come late: stragglers that are back,
// and new ones. Nothing of it undoes what has passed.
func (d *decider) catchUp() {
	wave := len(d.s.Waves) + 1
	for i := range d.s.Members {
		if m := &d.s.Members[i]; m.Status == HostStaged && m.Wave != wave {
			m.Wave, d.moved = wave, true
		}
	}
	if d.s.Pause == nil {
		d.deadlines(0)
		if d.breach() {
			return
		}
	}
	d.dispatch(wave, shoal.Count(max(1, shoal.Percent(catchUpParallel).Down(d.s.size()))))
}

// summary is how a rollout stands, in one line.
func summary(s *State) string {
	var parts []string
	for _, st := range []Status{
		HostLive, HostRestored, HostFailed, HostLost, HostDrifted, HostSwitching, HostRestoring, HostStaged, HostStaging,
		HostQuarantined, HostUntouched, HostTaken, HostGone,
	} {
		if n := s.Count(st); n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, st))
		}
	}
	return fmt.Sprintf("%s %s: %s", s.Rollout.Name(), s.Phase, cmp.Or(strings.Join(parts, ", "), "no host"))
}

// names lists members for a person: a few, and how many more.
func names(ms []*Member) string {
	const few = 5
	var out []string
	for _, m := range ms[:min(few, len(ms))] {
		out = append(out, m.Host)
	}
	if len(ms) > few {
		out = append(out, fmt.Sprintf("and %d more", len(ms)-few))
	}
	return strings.Join(out, ", ")
}

func plural(n int, one, many string) string {
	if n == 1 {
		many = one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// some names members in a status.
func (d *decider) some(status Status) string {
	var ms []*Member
	for i := range d.s.Members {
		if d.s.Members[i].Status == status {
			ms = append(ms, &d.s.Members[i])
		}
	}
	return names(ms)
}
