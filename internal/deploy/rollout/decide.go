package rollout

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"shoal"
)

// MaxStep is the longest time that counts as watched between two calls of
// Decide. A controller calls it more often than that; when the clock has moved
// further, it jumped, or nobody watched.
const MaxStep = time.Minute

// View is what Decide sees of the world.
type View struct {
	Hosts   []shoal.Host   // the whole fleet, in any order
	Others  []State        // the other rollouts, of any app
	Freezes []shoal.Freeze // those that hold or are to come
	Stopped bool           // shoal stop-all is in force
}

// Decide gives the state that follows, and whether it differs in more than its
// clock; one that does not need not be stored. It is idempotent: called again
// with the same view and time it changes nothing.
func Decide(s State, v View, now time.Time) (next State, changed bool) {
	d := newDecider(s, v, now)
	d.tick()
	// A pass may make room for the next one: a gate that opens, a wave without
	// hosts. Each that changes anything moves a wave or a host forward.
	for range 4 + 2*len(d.s.Waves) + shoal.MaxWaves {
		d.moved = false
		d.pass()
		if !d.moved {
			break
		}
		changed = true
	}
	return d.s, changed
}

// decider is one call of Decide.
type decider struct {
	s      State
	v      View
	now    time.Time
	hosts  map[string]*shoal.Host
	claims map[string]claim
	moved  bool
}

func newDecider(s State, v View, now time.Time) *decider {
	d := &decider{s: s.clone(), v: v, now: now, hosts: make(map[string]*shoal.Host, len(v.Hosts))}
	for i := range v.Hosts {
		d.hosts[v.Hosts[i].Name] = &v.Hosts[i]
	}
	d.claims = claimsOn(s.Rollout, v.Others)
	return d
}

// tick moves the rollout's clock by what was watched.
func (d *decider) tick() {
	step := d.now.Sub(d.s.At)
	held := d.s.Pause != nil || d.v.Stopped || d.s.Phase == Switching && d.hold() != ""
	if !d.s.At.IsZero() && step > 0 && !held {
		d.s.Clock += min(step, MaxStep)
	}
	d.s.At = d.now
}

func (d *decider) pass() {
	if by := supersededBy(&d.s, d.v); by != 0 {
		d.abort(fmt.Sprintf("superseded by rollout %d", by))
	}
	d.membership()
	for i := range d.s.Members {
		d.observe(&d.s.Members[i])
	}
	switch d.s.Phase {
	case Queued:
		d.queued()
	case Staging:
		d.staging()
	case Ready:
		d.ready()
	case Switching:
		d.switching()
	case Done:
		d.catchUp()
	case RollingBack:
		d.rollingBack()
	}
}

// note adds a notice.
func (d *decider) note(kind ActionKind, format string, args ...any) {
	d.s.act(kind, "", fmt.Sprintf(format, args...))
	d.moved = true
}

func (d *decider) order(m *Member, kind ActionKind, status Status, reason string) {
	d.s.order(m, kind, status, reason)
	d.moved = true
}

func (d *decider) set(m *Member, status Status, reason string) {
	d.s.set(m, status, reason)
	d.moved = true
}

func (d *decider) enter(p Phase) {
	d.s.enter(p)
	d.moved = true
}

func (d *decider) pause(cause PauseCause, reason string) {
	d.s.pause(cause, reason)
	d.note(NoteProblem, "paused: %s", reason)
}

// hold is why no host may switch now; empty when it may.
func (d *decider) hold() string { return holds(&d.s, d.v, d.now) }

func holds(s *State, v View, now time.Time) string {
	switch {
	case v.Stopped:
		return "all transfers of the fleet are stopped"
	case s.Pause != nil:
		return "paused: " + s.Pause.Reason
	case s.Rollout.IgnoreFreeze:
		return ""
	}
	for _, f := range v.Freezes {
		if f.Covers(now) {
			return fmt.Sprintf("freeze until %s (%s)", f.To.UTC().Format("2006-01-02 15:04Z"), cmp.Or(f.Why, "no reason given"))
		}
	}
	return ""
}

func (d *decider) halted() bool { return d.v.Stopped || d.s.Pause != nil }

// membership lets hosts join that match, and those go that do not any more.
func (d *decider) membership() {
	joins := d.s.Phase == Staging || d.s.Phase == Ready || d.s.Phase == Switching || d.s.Phase == Done
	for i := range d.s.Members {
		m := &d.s.Members[i]
		h := d.hosts[m.Host]
		if h != nil && m.Datacenter != h.Datacenter {
			m.Datacenter, d.moved = h.Datacenter, true
		}
		claim := d.claims[m.Host]
		matches := h != nil && d.s.Rollout.To.Matches(*h)
		switch {
		case m.Status == HostTaken:
		case claim.forever:
			d.set(m, HostTaken, fmt.Sprintf("taken over by rollout %d", claim.by))
		case m.Status == HostGone:
			if joins && matches && claim.by == 0 {
				d.order(m, ActStage, HostStaging, "came back")
				m.Wave = 0
			}
		case h == nil:
			d.set(m, HostGone, strings.TrimPrefix(m.reasonIfBroken()+", then left the fleet", ", then "))
		case joins && !matches:
			d.order(m, ActWithdraw, HostGone, "the selector does not match it any more")
		}
	}
	if joins {
		d.join()
	}
}

// reasonIfBroken keeps why a host counts as broken when it goes.
func (m *Member) reasonIfBroken() string {
	if m.Broken {
		return m.Reason
	}
	return ""
}

func (d *decider) join() {
	var added []Member
	for i := range d.v.Hosts {
		h := &d.v.Hosts[i]
		if d.s.Rollout.To.Matches(*h) && d.claims[h.Name].by == 0 && d.s.Member(h.Name) == nil {
			added = append(added, Member{Host: h.Name, Datacenter: h.Datacenter})
		}
	}
	if len(added) == 0 {
		return
	}
	byName := func(a, b Member) int { return cmp.Compare(a.Host, b.Host) }
	slices.SortFunc(added, byName)
	for i := range added {
		d.order(&added[i], ActStage, HostStaging, "")
	}
	d.s.Members = append(d.s.Members, added...)
	slices.SortFunc(d.s.Members, byName)
}

// queued waits for its time and its turn.
func (d *decider) queued() {
	if d.halted() || d.now.Before(d.s.Rollout.StartAt) || aheadOf(&d.s, d.v) != 0 {
		return
	}
	d.enter(Staging)
	d.note(NoteStart, "%s goes to %s", d.s.Rollout.Name(), d.s.Rollout.To)
}

// staging waits for the gate.
func (d *decider) staging() {
	if d.halted() {
		return
	}
	verified, counted := d.gate()
	if g := d.s.Rollout.Gate; g.Deadline > 0 && d.s.Clock-d.s.PhaseAt >= g.Deadline && counted > verified {
		if late := counted - verified; late > g.Stragglers.Down(d.s.size()) {
			d.pause(PauseDeadline, fmt.Sprintf("%d of %d hosts have not staged within %s (%s)", late, counted, short(g.Deadline), d.blame(Why{Evidence: d.some(HostStaging)}).Evidence))
			return
		}
		for i := range d.s.Members {
			if m := &d.s.Members[i]; m.Status == HostStaging {
				d.set(m, HostQuarantined, "not staged within "+short(g.Deadline))
			}
		}
		d.note(NoteProblem, "left behind, not staged within %s: %s", short(g.Deadline), d.some(HostQuarantined))
		verified, counted = d.gate()
	}
	if verified < max(1, d.s.Rollout.Gate.Share.Or(shoal.Percent(100)).Up(counted)) {
		return
	}
	d.enter(Ready)
	d.s.Waves = unfold(d.s.Rollout.Waves, d.s.Members)
	d.note(NoteReady, "%d of %d hosts have verified %s", verified, counted, d.s.Rollout.Name())
}

// gate is how many hosts have the release on disk, of how many that count.
func (d *decider) gate() (verified, counted int) {
	for i := range d.s.Members {
		switch d.s.Members[i].Status {
		case HostStaged, HostLive:
			verified++
			counted++
		case HostStaging:
			counted++
		}
	}
	return verified, counted
}

// ready waits for the time to activate, and for the word where it is wanted.
func (d *decider) ready() {
	d.askApproval()
	r := &d.s.Rollout
	if d.hold() != "" || d.now.Before(r.ActivateAt) || r.StageOnly && !d.s.Activated {
		return
	}
	d.enter(Switching)
}
