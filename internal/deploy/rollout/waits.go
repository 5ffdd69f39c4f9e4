package rollout

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"shoal"
)

// Waits says what the rollout as a whole waits for: the line of status.
func Waits(s State, v View, now time.Time) Why {
	d := newDecider(s, v, now)
	id := s.Rollout.ID
	if s.Phase == Aborted || s.Phase == RolledBack {
		return Why{What: fmt.Sprintf("rollout %d is %s", id, s.Phase), Evidence: s.whyBack(), Remedy: "push the release again"}
	}
	if v.Stopped {
		return Why{What: d.hold(), Remedy: "shoal resume"}
	}
	if p := s.Pause; p != nil {
		return Why{What: fmt.Sprintf("rollout %d is paused", id), Evidence: p.Reason, Remedy: fmt.Sprintf("shoal resume %d, abort %d or rollback %s", id, id, s.Rollout.App)}
	}
	switch s.Phase {
	case Queued:
		if by := aheadOf(&s, v); by != 0 {
			w := behind(by)
			if first := v.other(by); first.Phase != Queued {
				w.Evidence = Waits(first, v, now).facts()
			}
			return w
		}
		if s.Rollout.StartAt.IsZero() {
			return Why{What: fmt.Sprintf("rollout %d is about to start", id)}
		}
		return until("it starts", s.Rollout.StartAt, now)
	case Staging:
		return d.gateWaits()
	case Ready:
		if s.Rollout.StageOnly && !s.Activated {
			return Why{What: "staged only, as it was asked for", Remedy: fmt.Sprintf("shoal activate %d", id)}
		}
		if now.Before(s.Rollout.ActivateAt) {
			return until("hosts switch", s.Rollout.ActivateAt, now)
		}
	case Done:
		return Why{What: "nothing: " + summary(&s)}
	case RollingBack:
		return Why{What: plural(s.Count(HostRestoring), "host is", "hosts are") + " going back", Evidence: s.whyBack()}
	}
	return d.waveWaits()
}

// behind is a rollout that waits for its turn.
func behind(by uint64) Why {
	return Why{What: fmt.Sprintf("rollout %d of the same app goes first", by), Remedy: fmt.Sprintf("wait, abort %d, or push with --supersede", by)}
}

// other is the rollout of a number, which is one of Others.
func (v View) other(id uint64) State {
	i := slices.IndexFunc(v.Others, func(s State) bool { return s.Rollout.ID == id })
	return v.Others[i]
}

// facts are what an answer says without its remedy.
func (w Why) facts() string {
	return strings.TrimSuffix(w.What+": "+w.Evidence, ": ")
}

func until(what string, at, now time.Time) Why {
	return Why{What: fmt.Sprintf("%s at %s, in %s", what, at.UTC().Format("2006-01-02 15:04Z"), short(max(0, at.Sub(now))))}
}

func (d *decider) gateWaits() Why {
	verified, counted := d.gate()
	if counted == 0 {
		return Why{What: "no host matches " + d.s.Rollout.To.String(), Remedy: "label hosts, or abort and push to another selector"}
	}
	need := max(1, d.s.Rollout.Gate.Share.Or(shoal.Percent(100)).Up(counted))
	w := Why{
		What:     fmt.Sprintf("the gate: %d of %d hosts have verified, %d are needed", verified, counted, need),
		Evidence: strings.TrimSuffix("missing "+d.some(HostStaging), "missing "),
	}
	return d.blame(w)
}

// blame adds the first host that cannot stage, and how many there are.
func (d *decider) blame(w Why) Why {
	first, n := "", 0
	for i := range d.s.Members {
		m := &d.s.Members[i]
		if m.Status != HostStaging || d.hosts[m.Host] == nil || !d.online(m) {
			continue
		}
		a := d.hosts[m.Host].Report.App(d.s.Rollout.App)
		what := ""
		switch f := a.Failure; {
		case a.Work != nil && a.Work.Cause.Bars():
			what = working(a.Work, d.hosts[m.Host]).What
		case f != nil && f.Order.Rollout == d.s.Rollout.ID:
			what = f.Reason
		default:
			continue
		}
		if n++; n == 1 {
			first, w.Remedy = fmt.Sprintf("%s cannot stage: %s", m.Host, what), "shoal why "+m.Host
		}
	}
	switch {
	case n == 0:
		return w
	case n > 1:
		first += fmt.Sprintf(", nor can %d more", n-1)
	}
	w.Evidence = strings.TrimPrefix(w.Evidence+"; "+first, "; ")
	return w
}

func (d *decider) waveWaits() Why {
	if hold := d.hold(); hold != "" {
		return Why{What: hold}
	}
	if d.s.Wave >= len(d.s.Waves) {
		return Why{What: "nothing: it is about to end"}
	}
	w := &d.s.Waves[d.s.Wave]
	title := fmt.Sprintf("wave %d of %d, %s", d.s.Wave+1, len(d.s.Waves), w.Title())
	switch {
	case w.Approve && w.ApprovedBy == "" && !w.Open:
		return Why{What: title + ", waits for approval", Remedy: fmt.Sprintf("shoal approve %d --wave %d", d.s.Rollout.ID, d.s.Wave+1)}
	case !w.Open:
		return Why{What: title + ", waits for a host that has staged and is online"}
	case w.Soaking:
		return Why{What: title + ", soaks", Evidence: fmt.Sprintf("%s of %s", short(d.s.Clock-w.SoakAt), short(w.Soak))}
	}
	return d.blame(Why{What: title + ", is switching", Evidence: fmt.Sprintf("%d switching, %d to go", d.s.Count(HostSwitching), d.togo())})
}

// togo is how many hosts of the open wave were not ordered to switch yet.
func (d *decider) togo() (n int) {
	for i := range d.s.Members {
		if m := &d.s.Members[i]; m.Wave == d.s.Wave+1 && (m.Status == HostStaged || m.Status == HostStaging) {
			n++
		}
	}
	return n
}

// short prints a duration for people, without units that are zero at its end.
func short(t time.Duration) string {
	if t >= 48*time.Hour {
		return fmt.Sprintf("%d days", int(t.Hours()/24))
	}
	unit := time.Second
	if t >= time.Hour {
		unit = time.Minute
	}
	text := t.Round(unit).String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// size prints bytes for people, in powers of ten as disks and links are sold.
func size(n int64) string {
	for _, u := range []struct {
		unit int64
		name string
	}{{1e12, "TB"}, {1e9, "GB"}, {1e6, "MB"}, {1e3, "kB"}} {
		if n >= u.unit {
			return fmt.Sprintf("%.3g %s", float64(n)/float64(u.unit), u.name)
		}
	}
	return fmt.Sprintf("%d B", n)
}
