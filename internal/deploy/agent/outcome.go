package agent

import (
	"context"
	"errors"
	"fmt"
	"time"

	"shoal"
	"shoal/internal/atomicfile"
	"shoal/internal/deploy/release"
)

// ordered: the control plane wants this.
type ordered struct{ orders shoal.Orders }

func (e ordered) apply(l *loop) { l.take(e.orders) }

// welcomed: a session began.
type welcomed struct{ shoal.Welcome }

func (e welcomed) apply(l *loop) {
	l.session, l.seq, l.dirty, l.offline = e.Session, 0, true, false
}

// silence: the control plane cannot be reached, or refuses.
type silence struct{ err error }

func (e silence) apply(l *loop) { l.offline = true }

// sent: a report was taken, or not.
type sent struct {
	report shoal.Report
	err    error
}

func (e sent) apply(l *loop) {
	l.sending, l.offline = false, e.err != nil
	if e.err != nil {
		l.o.Log.Debug("a report was not taken", "err", e.err)
		l.dirty = true
		return
	}
	for _, r := range e.report.Apps {
		if a := l.apps[r.App]; a != nil {
			a.acked = r.Taken
		}
	}
}

// done: a deed has ended, well if err is nil.
type done struct {
	app    string
	deed   deed
	err    error
	lesson *lesson // of learn
}

func (e done) apply(l *loop) {
	a := l.apps[e.app]
	routine := a.job.routine
	a.job = nil
	if errors.Is(e.err, errUnwanted) || errors.Is(e.err, context.Canceled) {
		return
	}
	l.look(a)
	l.dirty = l.dirty || !routine
	switch {
	case e.deed.Do == check:
		l.checked(a, e, routine)
	case e.deed.Do == putBack:
		l.restored(a, e.err)
	case e.err != nil && a.rec.Switch != nil:
		l.stumbled(a, e.err)
	case e.err != nil:
		l.again(a, e)
	default:
		l.succeeded(a, e)
	}
	l.save()
}

// succeeded goes on to the next step.
func (l *loop) succeeded(a *app, e done) {
	switch e.deed.Do {
	case learn:
		a.lesson, a.tries, a.retryAt, a.room = e.lesson, 0, time.Time{}, 0
		a.rec.Releases[e.lesson.version] = e.lesson.origin
	case fetch:
		a.lesson, a.tries, a.retryAt, a.room = nil, 0, time.Time{}, 0
		l.o.Log.Info("staged", "app", a.name, "version", e.deed.Version)
		l.swept = time.Time{}
	case runPre:
		a.rec.Switch.Phase = activate
	case point:
		a.rec.Switch.Phase = after
		l.o.Log.Info("switched", "app", a.name, "from", a.rec.Switch.From, "to", e.deed.Version)
	case runPost:
		a.rec.Switch.Phase = probe
	}
}

// again plans another try of what did not come in.
func (l *loop) again(a *app, e done) {
	a.lesson = nil
	if errors.Is(e.err, ErrNoSpace) {
		l.swept = time.Time{}
	}
	wait := min(l.o.Pace.Retry<<min(a.tries, 7), 100*l.o.Pace.Retry)
	a.tries++
	a.retryAt, a.room = time.Now().Add(jitter(wait)), 0
	if room := (*RoomError)(nil); errors.As(e.err, &room) && l.free() < room.Need {
		a.room = room.Need
	}
	l.o.Log.Warn("not staged", "app", a.name, "version", e.deed.Version, "err", e.err, "again_in", wait)
	var r *refusal
	if !errors.As(e.err, &r) {
		if errors.Is(e.err, shoal.ErrUnavailable) || !known(e.err) { // that nobody answers is no failure of the order
			return
		}
		r = &refusal{step: shoal.StepPlan, err: e.err}
	}
	l.fail(a, e.deed.Version, shoal.Failure{Order: a.order.ID, Step: r.step, Cause: causeOf(r.err), Reason: reason(r.err, r.output)})
}

// known tells whether an error is an answer of the control plane.
func known(err error) bool {
	return errors.Is(err, shoal.ErrNotFound) || errors.Is(err, shoal.ErrDenied) || errors.Is(err, shoal.ErrInvalid) || errors.Is(err, shoal.ErrConflict)
}

// stumbled is for a switch that went wrong. A way back does not go back again: to
// be where it leads, unwell, is better than to be where it came from.
func (l *loop) stumbled(a *app, err error) {
	s := a.rec.Switch
	step, why := shoal.StepActivate, reason(err, "")
	var r *refusal
	if errors.As(err, &r) {
		step, why = r.step, reason(r.err, r.output)
	}
	switch {
	case s.Back && s.Phase == before:
		l.o.Log.Error("a hook failed on the way back; goes on", "app", a.name, "to", s.To, "reason", why)
		s.Phase = activate
	case a.listing.Current == s.From || s.Back:
		a.rec.Switch = nil
		l.fail(a, s.To, shoal.Failure{Order: s.Order, Step: step, Cause: causeOf(err), Reason: why})
	default:
		l.o.Log.Error("puts the release back that was live before", "app", a.name, "from", s.To, "to", s.From, "reason", why)
		s.Phase, s.Failed, s.Reason = undo, step, why
	}
}

// restored ends a switch that was undone.
func (l *loop) restored(a *app, err error) {
	s := a.rec.Switch
	why := s.Reason
	switch {
	case err != nil && a.listing.Current != s.From:
		why += fmt.Sprintf("; and %s cannot be made live again: %s", s.From, reason(err, ""))
	case err != nil:
		why += fmt.Sprintf("; %s is live again, but: %s", s.From, reason(err, ""))
	case s.From == "":
		why += "; nothing was live before, so it stays"
	default:
		why += fmt.Sprintf("; %s is live again", s.From)
	}
	a.rec.Switch, a.checkAt = nil, time.Time{}
	l.fail(a, s.To, shoal.Failure{Order: s.Order, Step: s.Failed, Reason: why})
	if a.listing.Current == s.To {
		a.rec.Health, a.rec.HealthOf = shoal.Unhealthy, s.To
	}
}

// checked takes in what a health check said.
func (l *loop) checked(a *app, e done, routine bool) {
	a.checkAt = time.Now().Add(l.o.Config.Apps[a.name].Health.Every.orDefault(checkEvery))
	if s := a.rec.Switch; s != nil && !routine {
		if e.err != nil {
			l.stumbled(a, e.err)
			return
		}
		l.arrived(a, s)
		return
	}
	if a.listing.Current != e.deed.Version {
		return
	}
	was := a.rec.Health
	a.rec.HealthOf, a.rec.Health = e.deed.Version, shoal.Healthy
	if e.err != nil {
		a.rec.Health = shoal.Unhealthy
	}
	if a.rec.Health != was {
		l.dirty = true
		l.o.Log.Info("health", "app", a.name, "version", e.deed.Version, "is", a.rec.Health, "err", e.err)
	}
}

// arrived ends a switch that went well.
func (l *loop) arrived(a *app, s *swap) {
	if _, err := a.store.Mark(l.ctx, s.To, release.Good); err != nil {
		l.o.Log.Warn("cannot note that the release is good", "app", a.name, "version", s.To, "err", err)
	}
	a.rec.Switch, a.rec.Failure = nil, nil
	a.rec.Previous = s.From
	a.rec.HealthOf, a.rec.Health = s.To, shoal.Healthy
	a.rec.Floor = max(a.rec.Floor, a.rec.Releases[s.To].Serial)
	l.swept = time.Time{}
	l.o.Log.Info("live and well", "app", a.name, "version", s.To)
}

// keepOutput keeps what a hook said, the last time, for people on the host.
func (l *loop) keepOutput(c Call, output string, err error) {
	text := fmt.Sprintf("%s %s of %s@%s: %s\n%s", time.Now().Format(time.RFC3339), c.Name, c.App, c.Version, errText(err), output)
	name := hidden + "/" + c.App + "." + c.Name + ".log"
	if err := atomicfile.WriteRoot(l.root, name, []byte(text), 0o600); err != nil {
		l.o.Log.Warn("cannot keep the output of a hook", "file", name, "err", err)
	}
	l.o.Log.Debug("hook", "name", c.Name, "app", c.App, "version", c.Version, "err", err, "output", output)
}

func errText(err error) string {
	if err == nil {
		return "ok"
	}
	return err.Error()
}
