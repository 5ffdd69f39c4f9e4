package agent

import (
	"context"
	"errors"
	"maps"
	"time"

	"shoal/internal/deploy/release"
)

// sweep removes what the policy lets go, now and then. It runs beside the loop
// and beside the app's deeds: to delete a terabyte takes a while, and a rollback
// must not wait for it.
func (l *loop) sweep(now time.Time) {
	if now.Sub(l.swept) < l.o.Pace.Sweep {
		return
	}
	l.swept = now
	for _, a := range l.apps {
		if a.store == nil || a.sweeping {
			continue
		}
		p := release.Policy{Keep: l.o.Config.Keep, Quota: int64(l.o.Config.Quota), Grace: time.Duration(l.o.Config.Grace), Pins: pins(l.view(a), l.orders.Keep)}
		found, err := a.store.GC(l.ctx, p, true)
		if err != nil {
			l.o.Log.Warn("cannot tell which releases are old", "app", a.name, "err", err)
			continue
		}
		a.sweeping, a.leaving = true, nil
		for _, r := range found.Removed {
			a.leaving = append(a.leaving, r.Version)
		}
		l.seed() // no longer those whose files go
		name, store := a.name, a.store
		l.work.Go(func() {
			found, err := store.GC(l.ctx, p, false)
			l.events <- swept{name, found, err}
		})
	}
}

// swept: old releases were removed.
type swept struct {
	app   string
	found release.Swept
	err   error
}

func (e swept) apply(l *loop) {
	a := l.apps[e.app]
	a.sweeping = false
	if e.err != nil && !errors.Is(e.err, context.Canceled) {
		l.o.Log.Warn("cannot remove old releases", "app", a.name, "err", e.err)
	}
	for _, r := range e.found.Removed {
		l.o.Log.Info("removed", "app", a.name, "version", r.Version, "bytes", r.Bytes, "why", r.Why)
		l.dirty = true
	}
	l.look(a)
	was := len(a.rec.Releases)
	maps.DeleteFunc(a.rec.Releases, func(version string, _ origin) bool {
		return a.listing.Find(version) == nil && version != a.order.Stage && version != a.order.Live
	})
	if len(a.rec.Releases) != was {
		l.save()
	}
}
