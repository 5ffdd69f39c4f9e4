package agent

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"shoal"
	"shoal/internal/bt/metainfo"
	"shoal/internal/deploy/release"
)

// errUnwanted ends a deed that a newer order has made pointless.
var errUnwanted = errors.New("something else is wanted now")

// lesson is a release that was found fit to be fetched.
type lesson struct {
	version string
	meta    *metainfo.Metafile
	origin  origin
}

// refusal is an error of a certain step.
type refusal struct {
	step   shoal.Step
	err    error
	output string // of a hook
}

func (r *refusal) Error() string { return r.err.Error() }

// Unwrap is the cause.
func (r *refusal) Unwrap() error { return r.err }

// note takes a step that only changes the record.
func (l *loop) note(a *app, d deed) {
	l.dirty = true
	switch d.Do {
	case begin:
		a.rec.Switch = &swap{Order: a.order.ID, From: a.listing.Current, To: d.Version, Back: a.order.Back, Phase: before}
		l.o.Log.Info("begins to switch", "app", a.name, "from", a.listing.Current, "to", d.Version, "order", a.order.ID)
	case drop:
		l.o.Log.Info("ends a switch early", "app", a.name, "to", d.Version, "why", d.Why)
		a.rec.Switch, a.checkAt = nil, time.Time{}
	case fail:
		id := a.order.ID
		if s := a.rec.Switch; s != nil {
			id, a.rec.Switch = s.Order, nil
		}
		l.fail(a, d.Version, shoal.Failure{Order: id, Step: shoal.StepActivate, Reason: d.Why})
	}
}

// fail notes that an order could not be carried out.
func (l *loop) fail(a *app, version string, f shoal.Failure) {
	l.o.Log.Error("could not carry out an order", "app", a.name, "version", version, "step", f.Step, "reason", f.Reason, "order", f.Order)
	f.Reason = oneLine(f.Reason)
	a.rec.Failure, l.dirty = &failure{f, version}, true
}

// start begins a deed beside the loop.
func (l *loop) start(a *app, d deed, routine bool) {
	ctx, cancel := context.WithCancelCause(l.ctx)
	a.job = &job{deed: d, cancel: cancel, began: time.Now(), routine: routine}
	if !routine {
		l.dirty = true
		l.o.Log.Debug("begins", "app", a.name, "do", d.Do, "version", d.Version)
	}
	do := l.prepare(a, d, routine)
	l.work.Go(func() {
		r := do(ctx)
		r.app, r.deed = a.name, d
		if ctx.Err() != nil && r.err != nil {
			r.err = context.Cause(ctx)
		}
		cancel(nil)
		l.events <- r // the loop listens until all deeds have ended
	})
}

// prepare takes what a deed needs out of the loop's state.
func (l *loop) prepare(a *app, d deed, routine bool) func(context.Context) done {
	switch d.Do {
	case learn:
		floor := a.rec.Floor
		return func(ctx context.Context) done { return l.learn(ctx, a.name, d.Version, floor) }
	case fetch:
		known, from := a.lesson, a.rec.Releases[d.Version]
		return func(ctx context.Context) done { return done{err: l.fetch(ctx, a.name, d.Version, known, from)} }
	case runPre:
		return l.hook(a, "pre-activate", l.o.Config.Apps[a.name].PreActivate, d.Version, a.listing.Current)
	case runPost:
		return l.hook(a, "post-activate", l.o.Config.Apps[a.name].PostActivate, d.Version, a.rec.Switch.From)
	case check:
		previous := a.rec.Previous
		if s := a.rec.Switch; s != nil {
			previous = s.From
		}
		return l.check(a, d.Version, previous, routine)
	case point:
		store, verdict := a.store, release.Good
		if a.rec.Health == shoal.Unhealthy && a.rec.HealthOf == a.listing.Current {
			verdict = release.Failed
		}
		return func(ctx context.Context) done {
			_, err := store.Activate(ctx, d.Version, verdict, true) // that it failed before, the order knows
			return done{err: err}
		}
	}
	return l.putBack(a, *a.rec.Switch)
}

// learn asks for a release and judges it, before its first byte comes in.
func (l *loop) learn(ctx context.Context, app, version string, floor uint64) done {
	b, err := l.station.Bundle(ctx, app, version)
	if err != nil {
		return done{err: fmt.Errorf("ask the server for %s@%s: %w", app, version, err)}
	}
	meta, from, err := admit(b, app, version, &l.o.Config, l.o.Verifier, floor)
	if err != nil {
		return done{err: &refusal{step: shoal.StepVerify, err: err}}
	}
	if need, free := meta.Info.ContentLength(), l.free(); free < need && !l.begun(app, version) {
		return done{err: &refusal{step: shoal.StepPlan, err: &RoomError{Need: need, Free: free, Dir: l.o.Config.Root}}}
	}
	return done{lesson: &lesson{version, meta, from}}
}

// begun tells whether something of a release is on disk already.
func (l *loop) begun(app, version string) bool {
	a, err := l.store.App(app)
	if err != nil {
		return false
	}
	defer a.Close()
	_, err = a.Metafile(version)
	return err == nil
}

// fetch brings a release in, or goes on with it after a restart.
func (l *loop) fetch(ctx context.Context, name, version string, known *lesson, from origin) error {
	a, err := l.store.NewApp(name)
	if err != nil {
		return &refusal{step: shoal.StepPlan, err: err}
	}
	defer a.Close()
	var meta *metainfo.Metafile
	if known != nil && known.version == version {
		meta = known.meta
	} else {
		if meta, err = a.Metafile(version); err != nil {
			return err
		}
		from.introduce(meta)
	}
	_, err = a.Stage(ctx, version, meta, l.fetcher.Content(name, version))
	switch {
	case errors.Is(err, ErrNoSpace):
		return &refusal{step: shoal.StepPlan, err: err}
	case errors.Is(err, release.ErrDamaged):
		return &refusal{step: shoal.StepVerify, err: err}
	case err != nil:
		return &refusal{step: shoal.StepFetch, err: err}
	}
	return nil
}

// hook is a command around a switch.
func (l *loop) hook(a *app, name string, h Hook, version, previous string) func(context.Context) done {
	call := l.call(a, name, h, version, previous)
	step := shoal.StepHooks
	if name != "pre-activate" {
		step = shoal.StepActivate
	}
	return func(ctx context.Context) done {
		if len(h.Command) == 0 {
			return done{}
		}
		output, err := l.o.Hooks.Run(ctx, call)
		l.keepOutput(call, output, err)
		if err != nil {
			return done{err: &refusal{step, fmt.Errorf("%s: %w", name, err), output}}
		}
		return done{}
	}
}

func (l *loop) call(a *app, name string, h Hook, version, previous string) Call {
	dir := filepath.Join(l.o.Config.Root, a.name)
	return Call{Name: name, Hook: h, App: a.name, Version: version, Previous: previous,
		Dir: filepath.Join(dir, "releases", version), Current: filepath.Join(dir, "current")}
}

// check asks the live release for its health, as often as is configured.
func (l *loop) check(a *app, version, previous string, routine bool) func(context.Context) done {
	h := l.o.Config.Apps[a.name].Health
	if h.Timeout == 0 {
		h.Timeout = Duration(checkTimeout)
	}
	call := l.call(a, "health", h.Hook, version, previous)
	tries := 1 + checkRetries
	if h.Retries != nil {
		tries = 1 + *h.Retries
	}
	return func(ctx context.Context) done {
		if len(h.Command) == 0 {
			return done{}
		}
		for n := 1; ; n++ {
			output, err := l.o.Hooks.Run(ctx, call)
			if !routine || err != nil {
				l.keepOutput(call, output, err)
			}
			if err == nil || ctx.Err() != nil {
				return done{err: err}
			}
			if n >= tries {
				return done{err: &refusal{shoal.StepHealth, fmt.Errorf("%w (tried %d times)", err, n), output}}
			}
			select {
			case <-ctx.Done():
				return done{err: ctx.Err()}
			case <-time.After(h.Interval.orDefault(checkInterval)):
			}
		}
	}
}

// What a health check does unless the configuration says otherwise.
const (
	checkTimeout  = 10 * time.Second
	checkRetries  = 5
	checkInterval = 2 * time.Second
	checkEvery    = 30 * time.Second
)

// putBack makes what was live before live again, whatever is thought of it now.
func (l *loop) putBack(a *app, s swap) func(context.Context) done {
	store := a.store
	post := l.hook(a, "post-activate", l.o.Config.Apps[a.name].PostActivate, s.From, s.To)
	return func(ctx context.Context) done {
		if s.From == "" {
			_, err := store.Mark(ctx, s.To, release.Failed)
			return done{err: err}
		}
		if _, err := store.Activate(ctx, s.From, release.Failed, true); err != nil {
			return done{err: err}
		}
		return post(ctx)
	}
}
