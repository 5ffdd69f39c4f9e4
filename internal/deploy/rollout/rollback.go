package rollout

import (
	"cmp"
	"fmt"
	"strings"

	"shoal"
)

// nothingBefore is why a host does not go back.
const nothingBefore = "nothing to go back to: no other release was live before"

// whyBack is why hosts go back, and how many cannot.
func (s *State) whyBack() string {
	stay := 0
	for i := range s.Members {
		if s.Members[i].Reason == nothingBefore {
			stay++
		}
	}
	if stay == 0 {
		return s.End
	}
	return strings.TrimPrefix(s.End+"; ", "; ") + plural(stay, "host has", "hosts have") + " " + nothingBefore
}

// rollback sends back every host that was ever ordered to switch, and only
// those. Going back moves no byte, and a freeze does not hold it.
func (d *decider) rollback(reason string) {
	d.s.Pause, d.s.End = nil, reason
	d.enter(RollingBack)
	back := 0
	for i := range d.s.Members {
		if d.goBack(&d.s.Members[i]) {
			back++
		}
	}
	d.note(NoteRollback, "%s back from %s: %s", plural(back, "host goes", "hosts go"), d.s.Rollout.Name(), reason)
}

// goBack orders one member back, if there is a reason and a way.
func (d *decider) goBack(m *Member) bool {
	switch m.Status {
	case HostTaken, HostDrifted, HostRestored:
		return false // in other hands, or back
	case HostUntouched, HostGone:
		// One that was called back before it took the order may have switched all the same.
		if m.Switch == 0 || d.hosts[m.Host] == nil {
			return false
		}
	}
	switch {
	case m.Switch == 0 && m.Status == HostLive:
		return false // it ran the release before
	case m.Switch == 0:
		d.order(m, ActWithdraw, HostUntouched, "")
		return false
	case m.Previous == "" || m.Previous == d.s.Rollout.Version:
		d.order(m, ActWithdraw, HostFailed, nothingBefore)
		m.Broken = true
		return false
	}
	d.order(m, ActRestore, HostRestoring, "to "+m.Previous)
	return true
}

// rollingBack waits for the hosts that go back.
func (d *decider) rollingBack() {
	limit := cmp.Or(d.s.Rollout.SwitchDeadline, shoal.DefaultSwitchDeadline)
	waiting := false
	for i := range d.s.Members {
		m := &d.s.Members[i]
		if m.Status != HostRestoring {
			continue
		}
		if d.s.Clock-m.Since >= limit {
			m.Broken = true
			d.set(m, HostLost, fmt.Sprintf("has not gone back to %s within %s", m.Previous, short(limit)))
			continue
		}
		waiting = true
	}
	if !waiting {
		d.enter(RolledBack)
		d.note(NoteEnd, "%s", summary(&d.s))
	}
}

// abort stops where things are: what runs, runs on; what has not begun, will not.
func (d *decider) abort(reason string) {
	wasBack := d.s.Phase == RollingBack
	d.s.Pause, d.s.End = nil, reason
	d.enter(Aborted)
	for i := range d.s.Members {
		m := &d.s.Members[i]
		switch m.Status {
		case HostStaging, HostStaged, HostQuarantined:
			d.order(m, ActWithdraw, HostUntouched, "")
		case HostSwitching, HostRestoring:
			h := d.hosts[m.Host]
			if h != nil && d.taken(m, h.Report.App(d.s.Rollout.App)) {
				break // it is at it: let it finish
			}
			status := HostUntouched
			if wasBack {
				status = HostFailed
			}
			d.order(m, ActWithdraw, status, "aborted before it took the order")
		}
	}
	d.note(NoteEnd, "%s: %s", summary(&d.s), reason)
}
