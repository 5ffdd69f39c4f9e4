// Package controller is the control plane: it takes releases, rollouts, reports
// and commands in, tells hosts what is wanted of them, and, on one server at a
// time, lets rollouts go on. What follows from what is decided by package
// rollout; what has to be remembered is in a fleetstore.
//
// Every server has a whole copy of the state in memory, which it keeps by
// watching the store, and answers from it. It changes the state only by
// compare-and-swap in the store, and its copy after that. So a server that is
// behind, or that only thinks that it leads, can do no harm: what it wants to
// store is refused.
//
// What hosts report stays in the memory of the server that got it; only what
// rollouts decide on is stored, a small entry a host, when it changes. If there
// are several servers, each tells the others every few seconds whom it has heard.
package controller

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"shoal"
	"shoal/internal/deploy/fleetstore"
	"shoal/internal/deploy/plan"
	"shoal/internal/topology"
	"shoal/internal/trust"
)

// Options of a controller.
type Options struct {
	Server   string        // name of this server, another one on each
	Topology *topology.Map // nil knows no places
	Trackers []string      // URLs for agents
	Link     string        // URL of the API, for notices; "" is none

	Lead    time.Duration // from a push until its first byte at the earliest, if the push does not say
	Reserve int64         // bytes that have to stay free on each host
	// Source is the data centre of the server that serves new releases, and
	// SourceUp what it can send, in bytes a second; 0 is unknown.
	Source   string
	SourceUp int64
	// Estimate makes plans; nil is arithmetic, plan.Make.
	Estimate func(context.Context, plan.Input, time.Time) shoal.Plan
	// Notify tells operators; nil tells nobody. It is called again after an
	// error, and may be called twice with one notice.
	Notify func(context.Context, shoal.Notice) error
	// NoticePatience is how long a rollout waits for its plan to be delivered
	// before it goes on without; 0 is a minute.
	NoticePatience time.Duration
	NoticeAgain    time.Duration // from an attempt that failed to the next one; 0 is five seconds

	// Left is told of every host that was forgotten; nil: nobody is. It must not wait.
	Left  func(host string)
	Lease Lease // zero is the default
	// Alone says that no other server can have the store, so that a lease which is
	// there is that of a process which has ended: it is not waited for.
	Alone bool
	Log   *slog.Logger // nil is silent
}

// Controller is the control plane of one server: a shoal.Fleet, a shoal.Access,
// and a shoal.Station but for Enroll.
type Controller struct {
	o     Options
	store fleetstore.Store
	log   *slog.Logger

	rollouts *table[rolloutRecord]
	releases *table[releaseRecord]
	facts    *table[fact]
	gone     *table[goneRecord]
	notices  *table[noticeRecord]
	tokens   *table[trust.Sealed]
	pulses   *table[pulse]
	hosts    *roster
	desk     *desk
	metafile metafiles

	ready  chan struct{} // closed when the copy is whole
	work   chan struct{} // something happened that rollouts may go on by
	asked  chan struct{} // somebody asked for something that they may go on by
	orders chan struct{} // orders may have changed
	post   chan struct{} // a notice is to be sent
}

// New makes a controller, which answers once Run has read the state.
func New(store fleetstore.Store, o Options) (*Controller, error) {
	if err := shoal.CheckHost(o.Server); err != nil {
		return nil, errors.Join(errors.New("controller: the server needs a name of its own"), err)
	}
	o.Lease = o.Lease.orDefault()
	o.NoticePatience = cmp.Or(o.NoticePatience, time.Minute)
	o.NoticeAgain = cmp.Or(o.NoticeAgain, 5*time.Second)
	if o.Estimate == nil {
		o.Estimate = func(_ context.Context, in plan.Input, now time.Time) shoal.Plan { return plan.Make(in, now) }
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Controller{
		o: o, store: store, log: o.Log,
		rollouts: newTable[rolloutRecord](store, fleetstore.Rollouts, o.Log),
		releases: newTable[releaseRecord](store, fleetstore.Releases, o.Log),
		facts:    newTable[fact](store, fleetstore.Fleet, o.Log),
		gone:     newTable[goneRecord](store, fleetstore.Gone, o.Log),
		notices:  newTable[noticeRecord](store, fleetstore.Notices, o.Log),
		tokens:   newTable[trust.Sealed](store, fleetstore.Tokens, o.Log),
		pulses:   newTable[pulse](store, fleetstore.Pulses, o.Log),
		hosts:    newRoster(store, o.Log),
		desk:     newDesk(),
		ready:    make(chan struct{}), work: make(chan struct{}, 1), asked: make(chan struct{}, 1), orders: make(chan struct{}, 1), post: make(chan struct{}, 1),
	}, nil
}

// poke wakes whoever waits for a channel, once.
func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// watched is a bucket that the controller keeps a copy of.
type watched interface {
	watch(ctx context.Context, caught func(), news func(key string)) error
}

// Run keeps the copy, serves the hosts, and leads when it has the lease. It
// returns when ctx ends.
func (c *Controller) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	var copies sync.WaitGroup
	for _, w := range []struct {
		bucket watched
		news   func(key string)
	}{
		{c.rollouts, func(string) { poke(c.orders); poke(c.asked) }},
		{c.releases, func(string) {}},
		{c.facts, func(key string) {
			if key != leaseKey { // which is renewed all the time
				poke(c.orders)
				poke(c.asked)
			}
		}},
		{c.gone, c.left},
		{c.tokens, func(string) {}},
		{c.notices, func(string) { poke(c.post); poke(c.work) }},
		{c.pulses, c.hearPulse},
		{c.hosts, func(name string) { c.hosts.changed(name, time.Now()); poke(c.work) }},
	} {
		copies.Add(1)
		var once sync.Once
		caught := func() { once.Do(copies.Done) }
		group.Go(func() error { return c.keepCopy(ctx, w.bucket, caught, w.news) })
	}
	group.Go(func() error {
		whole := make(chan struct{})
		go func() { copies.Wait(); close(whole) }() // ends: each copy is caught up, or gives up, at the latest with ctx
		<-whole
		if ctx.Err() != nil {
			return nil
		}
		c.giveNow()
		close(c.ready)
		rest, ctx := errgroup.WithContext(ctx)
		for _, run := range []func(context.Context){c.giveOrders, c.keepHosts, c.tellPulse, c.leadInTurn} {
			rest.Go(func() error { run(ctx); return nil })
		}
		return rest.Wait()
	})
	return group.Wait()
}

// keepCopy watches a bucket for as long as the controller runs.
func (c *Controller) keepCopy(ctx context.Context, w watched, caught func(), news func(string)) error {
	defer caught()
	for {
		err := w.watch(ctx, caught, news)
		if ctx.Err() != nil {
			return nil
		}
		c.log.Warn("controller: the watch of the store has ended, it begins again", "err", err)
		if !pause(ctx, time.Second) {
			return nil
		}
	}
}

// pause waits; false when ctx ends first.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// Ready is closed when the controller can answer.
func (c *Controller) Ready() <-chan struct{} { return c.ready }

// enter is the beginning of every call: the copy has to be whole, and the one
// who asks has to be allowed to.
func (c *Controller) enter(ctx context.Context, do shoal.Deed, app, owner string) error {
	if err := shoal.Allowed(shoal.PrincipalOf(ctx), do, app, owner); err != nil {
		return err
	}
	select {
	case <-c.ready:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
