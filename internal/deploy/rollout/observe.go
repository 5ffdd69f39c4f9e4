package rollout

import (
	"fmt"
	"slices"

	"shoal"
)

// observe moves a member on by the newest report of its host. A report is a
// whole snapshot, so this asks only what is true now; what came late or twice
// was dropped by Host.Hear before.
func (d *decider) observe(m *Member) {
	h := d.hosts[m.Host]
	if h == nil {
		return
	}
	a := h.Report.App(d.s.Rollout.App)
	if f := d.failure(m, a); f != nil {
		m.Judged = f.Order.Serial
		d.fail(m, HostFailed, fmt.Sprintf("%s: %s", f.Step, f.Reason))
		return
	}
	switch m.Status {
	case HostStaging, HostStaged, HostQuarantined:
		d.observeStaging(m, a)
	case HostSwitching:
		d.observeSwitching(m, a)
	case HostLive:
		d.observeLive(m, a)
	case HostFailed, HostLost:
		d.observeBroken(m, a)
	case HostDrifted:
		if d.well(a) {
			d.set(m, HostLive, "")
		}
	case HostRestoring:
		d.observeRestoring(m, a)
	}
}

// well tells that a host runs the release and is healthy.
func (d *decider) well(a shoal.AppReport) bool {
	return a.Live == d.s.Rollout.Version && a.Health == shoal.Healthy
}

// taken tells that the host knows the newest order to it.
func (d *decider) taken(m *Member, a shoal.AppReport) bool {
	return a.Taken.Rollout == d.s.Rollout.ID && a.Taken.Serial >= m.Serial
}

// failure is a failure of the newest order to switch that was not counted yet.
// One of an older order, or of another rollout, is history.
func (d *decider) failure(m *Member, a shoal.AppReport) *shoal.Failure {
	f := a.Failure
	if f == nil || f.Order.Rollout != d.s.Rollout.ID || m.Switch == 0 || f.Order.Serial != m.Switch || m.Judged >= m.Switch {
		return nil
	}
	switch m.Status {
	case HostStaging, HostStaged, HostQuarantined, HostSwitching, HostLive, HostLost:
		return f
	}
	return nil
}

// fail notes that the release did a host no good, and takes the order back so
// that the host does not try again by itself.
func (d *decider) fail(m *Member, status Status, reason string) {
	if d.s.Phase == Switching || d.s.Phase == Done {
		d.order(m, ActRecall, status, reason)
	} else {
		d.set(m, status, reason)
	}
	m.Broken = true
}

func (d *decider) observeStaging(m *Member, a shoal.AppReport) {
	has := slices.Contains(a.Staged, d.s.Rollout.Version)
	switch {
	case d.well(a):
		d.set(m, HostLive, "")
	case has && m.Status != HostStaged && (m.Status != HostQuarantined || d.online(m)):
		if m.Status == HostQuarantined {
			m.Wave = 0
		}
		d.set(m, HostStaged, "")
	case !has && m.Status == HostStaged:
		d.set(m, HostStaging, "the verified copy is gone from its disk")
	case !has && m.Status == HostStaging && a.Failure != nil && a.Failure.Order.Rollout == d.s.Rollout.ID:
		if text := fmt.Sprintf("%s: %s", a.Failure.Step, a.Failure.Reason); m.Reason != text {
			m.Reason, d.moved = text, true
		}
	}
}

func (d *decider) observeSwitching(m *Member, a shoal.AppReport) {
	switch {
	case d.well(a):
		d.set(m, HostLive, "")
	case d.hold() != "" && !d.taken(m, a) && d.s.Phase != Aborted:
		d.order(m, ActRecall, HostStaged, "")
	}
}

func (d *decider) observeLive(m *Member, a shoal.AppReport) {
	target := d.s.Rollout.Version
	has := a.Live == target
	switch d.s.Phase {
	case Staging, Ready: // it had the release before the rollout began
		if !has {
			d.set(m, HostStaging, "")
		}
	case Switching:
		if !has {
			d.fail(m, HostFailed, fmt.Sprintf("runs %s instead, which nobody ordered", orNothing(a.Live)))
		} else if a.Health == shoal.Unhealthy {
			d.fail(m, HostFailed, "health check: was well, and is not any more")
		}
	case Done:
		if a.Live == "" { // installed anew, or wiped
			m.Switch, m.Wave = 0, 0
			d.order(m, ActStage, HostStaging, "lost its releases")
		} else if !has {
			d.set(m, HostDrifted, fmt.Sprintf("runs %s, by another hand", a.Live))
		}
	}
}

// observeBroken sees a host become well after all, or a lost one come back.
func (d *decider) observeBroken(m *Member, a shoal.AppReport) {
	if d.s.Phase == RollingBack || d.s.Phase == RolledBack {
		if m.Status == HostLost {
			d.observeRestoring(m, a)
		}
		return
	}
	switch {
	case d.well(a):
		m.Broken = false
		d.set(m, HostLive, "")
	case d.s.Phase == Aborted:
		if m.Status == HostLost && d.online(m) {
			m.Broken = false
			d.set(m, HostUntouched, "came back after the rollout was over")
		}
	case m.Status == HostLost && d.taken(m, a) && a.Live != d.s.Rollout.Version:
		m.Broken, m.Wave = false, 0
		d.set(m, HostStaging, "came back without having switched")
	}
}

// observeRestoring waits until the host has taken the order to go back: before
// that it may still be about to switch, though it runs the right thing.
func (d *decider) observeRestoring(m *Member, a shoal.AppReport) {
	f := a.Failure
	switch {
	case f != nil && f.Order == shoal.OrderID{Rollout: d.s.Rollout.ID, Serial: m.Serial}:
		d.set(m, HostFailed, fmt.Sprintf("could not go back: %s: %s", f.Step, f.Reason))
	case d.taken(m, a) && a.Live == m.Previous && a.Health != shoal.Unhealthy:
		m.Broken = false
		d.set(m, HostRestored, "")
	}
}

func orNothing(version string) string {
	if version == "" {
		return "nothing"
	}
	return version
}
