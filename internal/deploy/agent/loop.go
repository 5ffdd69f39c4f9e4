package agent

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"shoal"
	"shoal/internal/deploy/release"
)

// loop owns all state of an agent. Only run's goroutine touches it; everything
// else reaches it as an event.
type loop struct {
	*Agent
	station shoal.Station
	fetcher Fetcher
	ctx     context.Context // of the deeds
	events  chan event
	reports chan<- shoal.Report
	work    sync.WaitGroup // deeds under way

	apps    map[string]*app
	orders  shoal.Orders
	session uint64 // 0: none yet
	seq     uint64
	offline bool // the last try to reach the control plane failed

	dirty   bool // there is something to report
	sending bool
	sentAt  time.Time
	swept   time.Time
	seeding map[string]Held // by app@version
	unsaved error           // why the record is not on disk; nothing is begun until it is
}

// event is something that happened, told to the loop.
type event interface{ apply(l *loop) }

// app is one app of the host: what is wanted, what is there, what is being done.
type app struct {
	name    string
	store   *release.App // nil until something is to be stored
	rec     *appRecord
	listing release.Listing
	order   shoal.Order
	acked   shoal.OrderID

	job      *job
	sweeping bool     // old releases are being removed
	leaving  []string // which
	fault    error    // why the app's folder cannot be read
	lesson   *lesson  // a metafile that is not on disk yet
	tries    int      // of what failed
	retryAt  time.Time
	room     int64     // bytes that have to be free for it to work; 0: unknown
	checkAt  time.Time // when the live release is to be asked for its health
}

// job is a deed under way.
type job struct {
	deed
	cancel  context.CancelCauseFunc
	began   time.Time
	routine bool // a check of a release that is live and well
}

func newLoop(ctx context.Context, a *Agent, s shoal.Station, f Fetcher) *loop {
	l := &loop{Agent: a, station: s, fetcher: f, ctx: ctx, events: make(chan event), apps: map[string]*app{}, seeding: map[string]Held{}, dirty: true}
	l.orders = a.rec.Orders
	return l
}

// run is the loop.
func (l *loop) run(ctx context.Context) error {
	ctx, end := context.WithCancel(ctx)
	l.ctx = ctx
	defer l.close()
	defer l.drain(end)
	if err := l.open(); err != nil {
		return err
	}
	l.take(l.orders)
	tick := time.NewTicker(l.o.Pace.Tick)
	defer tick.Stop()
	for {
		now := time.Now()
		l.turn(now)
		l.report(now)
		if l.o.Alive != nil {
			l.o.Alive()
		}
		select {
		case e := <-l.events:
			e.apply(l)
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// drain waits for the deeds under way, whose results nobody needs any more: what
// counts is on disk.
func (l *loop) drain(end func()) {
	end()
	done := make(chan struct{})
	go func() { defer close(done); l.work.Wait() }()
	for {
		select {
		case <-l.events:
		case <-done:
			l.fetcher.Seed(nil)
			return
		}
	}
}

// open takes up the apps that are on disk or in the record.
func (l *loop) open() error {
	names, err := l.store.Apps()
	if err != nil {
		return err
	}
	for _, name := range names {
		l.app(name)
	}
	for name := range l.rec.Apps {
		l.app(name)
	}
	return nil
}

// app is what the loop knows of an app.
func (l *loop) app(name string) *app {
	a := l.apps[name]
	if a == nil {
		a = &app{name: name, rec: l.rec.app(name)}
		l.apps[name] = a
		l.look(a)
	}
	return a
}

// look reads what is on disk of an app. What cannot be read stays as it was.
func (l *loop) look(a *app) {
	was := a.listing
	listing, err := l.list(a)
	if was := a.fault; err != nil {
		if a.fault = err; was == nil || was.Error() != err.Error() { // it is looked at every second
			l.o.Log.Error("cannot read the releases", "app", a.name, "err", err)
			l.dirty = true
		}
		return
	}
	a.fault = nil
	a.listing = listing
	if was.Current != listing.Current || len(was.Releases) != len(listing.Releases) {
		l.dirty = true
	}
	if a.rec.HealthOf != listing.Current && a.rec.Switch == nil {
		a.rec.HealthOf, a.rec.Health, a.checkAt = listing.Current, shoal.HealthUnknown, time.Time{}
	}
}

func (l *loop) list(a *app) (release.Listing, error) {
	if a.store == nil {
		names, err := l.store.Apps()
		if err != nil || !slices.Contains(names, a.name) {
			return release.Listing{App: a.name}, err
		}
		if a.store, err = l.store.App(a.name); err != nil {
			return release.Listing{}, err
		}
	}
	return a.store.List()
}

// save makes the record durable. Should that fail, as on a full disk, the agent
// lives on to tell of it, and tries again.
func (l *loop) save() {
	was := l.unsaved
	if l.unsaved = l.rec.write(l.root); l.unsaved != nil && was == nil {
		l.o.Log.Error("cannot write the record; begins nothing until it can", "err", l.unsaved)
	}
}

func (l *loop) close() {
	for _, a := range l.apps {
		if a.store != nil {
			_ = a.store.Close() // nothing is written through it any more
		}
	}
}

// take makes orders the ones that hold, durably, before anything is done for
// them. Of one rollout an older order than is known is a late one.
func (l *loop) take(o shoal.Orders) {
	wanted := map[string]shoal.Order{}
	for i, order := range o.Orders {
		a := l.app(order.App)
		if was := a.rec.Taken; order.ID.Rollout == was.Rollout && order.ID.Serial < was.Serial && a.order.ID == was {
			order = a.order
			o.Orders[i] = order
		}
		wanted[order.App] = order
	}
	for name, a := range l.apps {
		order := wanted[name]
		if order.ID != a.order.ID {
			a.tries, a.retryAt, a.room = 0, time.Time{}, 0
		}
		if a.order = order; order.ID != (shoal.OrderID{}) {
			a.rec.Taken = order.ID
		} else if a.store == nil && a.job == nil { // it was never here
			delete(l.apps, name)
			delete(l.rec.Apps, name)
		}
	}
	l.orders, l.rec.Orders = o, o
	l.hold()
	l.dirty = true
	l.save()
}

// hold stops the bytes of what is to stand still, and lets the rest move.
func (l *loop) hold() {
	var held []string
	for _, a := range l.apps {
		if a.order.Hold {
			held = append(held, a.name)
		}
	}
	slices.Sort(held)
	l.fetcher.Hold(held, l.orders.Stopped)
}

func (l *loop) view(a *app) view {
	v := view{order: a.order, stopped: l.orders.Stopped, listing: a.listing, record: a.rec, acked: a.acked}
	if a.lesson != nil {
		v.known = a.lesson.origin.ID
	}
	return v
}

// turn looks at every app and begins what is to be done.
func (l *loop) turn(now time.Time) {
	if l.unsaved != nil {
		l.save()
	}
	for _, name := range slices.Sorted(maps.Keys(l.apps)) {
		a := l.apps[name]
		l.look(a)
		if a.fault == nil {
			l.advance(a, now)
		}
	}
	l.seed()
	l.sweep(now)
}

// advance takes the steps of one app that are done at once, and starts the next
// one that is not.
func (l *loop) advance(a *app, now time.Time) {
	if a.job != nil {
		if !wants(l.view(a), a.job.deed) || a.job.routine && next(l.view(a)).Do != rest {
			a.job.cancel(errUnwanted)
		}
		return
	}
	for range 8 { // it takes two; a bound in case of doubt
		if l.unsaved != nil {
			return
		}
		d := next(l.view(a))
		switch d.Do {
		case begin, fail, drop:
			l.note(a, d)
			l.save()
			continue
		case awaitAck:
		case rest:
			l.settle(a)
			if l.due(a, now) {
				l.start(a, deed{Do: check, Version: a.listing.Current}, true)
			}
		case learn, fetch:
			if !now.Before(a.retryAt) || a.room > 0 && l.free() >= a.room {
				l.start(a, d, false)
			}
		default:
			l.start(a, d, false)
		}
		return
	}
}

// settle is for an app of which nothing more is wanted: an order that holds now
// takes the failure of an older one away.
func (l *loop) settle(a *app) {
	f := a.rec.Failure
	if f == nil {
		return
	}
	v := l.view(a)
	done := a.order.Live != "" && a.order.Live == a.listing.Current && a.rec.HealthOf == a.order.Live && a.rec.Health == shoal.Healthy
	if done || staging(f.Step) && (v.whole(f.Version) || a.order.Stage != f.Version && a.order.Live != f.Version) {
		a.rec.Failure, l.dirty = nil, true
		l.save()
	}
}

// due tells whether the live release is to be asked for its health.
func (l *loop) due(a *app, now time.Time) bool {
	live := a.listing.Current
	if live == "" || a.rec.Switch != nil {
		return false
	}
	if len(l.o.Config.Apps[a.name].Health.Command) == 0 {
		if a.rec.HealthOf != live || a.rec.Health != shoal.Healthy { // nobody to ask
			a.rec.HealthOf, a.rec.Health, l.dirty = live, shoal.Healthy, true
		}
		return false
	}
	return !now.Before(a.checkAt)
}
