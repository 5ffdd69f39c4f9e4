package agent

import (
	"cmp"
	"errors"
	"slices"
	"time"

	"shoal"
	"shoal/internal/deploy/release"
	"shoal/internal/diskfree"
)

// report sends what the host is now if it is time to: at once when something
// happened, often while bytes move, now and then as a sign of life.
func (l *loop) report(now time.Time) {
	if l.session == 0 || l.sending || now.Sub(l.sentAt) < l.o.Pace.Reports {
		return
	}
	pace := l.o.Pace.Quiet
	for _, a := range l.apps {
		if a.job != nil && !a.job.routine {
			pace = min(pace, l.o.Pace.Busy)
		}
	}
	if l.offline {
		pace = l.o.Pace.Busy // it is tried again, soon but not at once
	}
	if (!l.dirty || l.offline) && now.Sub(l.sentAt) < pace {
		return
	}
	l.seq++
	l.dirty, l.sending, l.sentAt = false, true, now
	l.reports <- l.snapshot(now) // has room: only one is on its way
}

// snapshot is all that the host says of itself.
func (l *loop) snapshot(now time.Time) shoal.Report {
	r := shoal.Report{Host: l.o.Config.Host, Session: l.session, Seq: l.seq, Free: l.free(), Clock: now}
	for _, a := range l.apps {
		if a.listing.Current == "" && len(a.listing.Releases) == 0 && a.rec.Taken == (shoal.OrderID{}) {
			continue
		}
		r.Apps = append(r.Apps, l.describe(a, now))
	}
	slices.SortFunc(r.Apps, func(x, y shoal.AppReport) int { return cmp.Compare(x.App, y.App) })
	return r
}

func (l *loop) describe(a *app, now time.Time) shoal.AppReport {
	out := shoal.AppReport{App: a.name, Live: a.listing.Current, Taken: a.rec.Taken}
	if a.rec.Switch == nil && a.rec.HealthOf == a.listing.Current {
		out.Health = a.rec.Health
	}
	for _, r := range a.listing.Releases {
		if r.State != release.Staging {
			out.Staged = append(out.Staged, r.Version)
		}
	}
	if a.rec.Failure != nil {
		f := a.rec.Failure.Failure
		out.Failure = &f
	}
	switch d := next(l.view(a)); {
	case l.unsaved != nil || a.fault != nil:
		err := errors.Join(l.unsaved, a.fault)
		out.Work = &shoal.Work{Version: d.Version, Step: shoal.StepPlan, Cause: causeOf(err), Detail: oneLine(err.Error())}
	case a.job != nil && !a.job.routine:
		out.Work = l.working(a, now)
	case now.Before(a.retryAt) && (d.Do == learn || d.Do == fetch):
		out.Work = &shoal.Work{Version: d.Version, Step: stepOf(d.Do), Detail: "tries again in " + a.retryAt.Sub(now).Round(time.Second).String()}
	}
	return out
}

// working is what an app's deed is at.
func (l *loop) working(a *app, now time.Time) *shoal.Work {
	w := shoal.Work{Version: a.job.Version, Step: stepOf(a.job.Do), For: max(0, now.Sub(a.job.began))}
	if a.job.Do == fetch {
		p := l.fetcher.Progress(a.name, a.job.Version)
		w.Done, w.Total, w.Rate, w.Peers, w.Cause, w.Detail = p.Done, p.Total, p.Rate, p.Peers, p.Cause, p.Detail
		if l.orders.Stopped || a.order.Hold {
			w.Detail = "held"
		}
	}
	return &w
}

// stepOf is the step that a deed belongs to, as people know it.
func stepOf(d verb) shoal.Step {
	switch d {
	case learn:
		return shoal.StepPlan
	case fetch:
		return shoal.StepFetch
	case runPre:
		return shoal.StepHooks
	case check:
		return shoal.StepHealth
	}
	return shoal.StepActivate
}

// free is the room where releases go; 0 if nobody knows.
func (l *loop) free() int64 {
	dir, err := l.root.Open(".")
	if err != nil {
		return 0
	}
	defer dir.Close()
	bytes, _ := diskfree.Of(int(dir.Fd()))
	return bytes
}
