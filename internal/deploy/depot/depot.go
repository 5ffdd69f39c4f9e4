// Package depot keeps a copy of the releases that a fleet is about to need, and
// serves them: so that whoever pushed one may switch off, and hosts that join
// later find it. It takes them from where they were pushed from and from the
// hosts that have them already. How bytes move is behind agent.Fetcher.
package depot

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"shoal"
	"shoal/internal/bt/metainfo"
	"shoal/internal/deploy/agent"
	"shoal/internal/deploy/release"
)

// Catalog is what the depot has to know of the fleet. It is asked often.
type Catalog interface {
	Releases(ctx context.Context, app string) ([]shoal.Release, error) // waits until the fleet is known
	Wanted() []string                                                  // what rollouts under way bring, app@version, the newest first
	Changes() uint64                                                   // rises when Releases or Wanted may have changed
	Stopped() bool                                                     // all transfers of the fleet are
	// Upload is a release as it was registered.
	Upload(ctx context.Context, app, version string) (shoal.Upload, error)
}

// Fetcher moves the bytes.
type Fetcher interface {
	agent.Fetcher
	// From is Content that also asks these peers, host:port.
	From(app, version string, peers []string) release.Content
}

// Options of a depot.
type Options struct {
	Root     string // its own folder, in the layout of a host
	Catalog  Catalog
	Fetcher  Fetcher
	Trackers []string // URLs of the fleet's own
	Keep     int      // newest releases of each app that are kept though no rollout wants them; 0 is 2
	Every    time.Duration
	Log      *slog.Logger
}

const (
	usualKeep  = 2
	usualEvery = 500 * time.Millisecond // stop-all has to hold within 2 s
	lookEvery  = 4                      // times Every: what is on disk is looked at again, though nothing is heard
	parallel   = 4                      // fetches at a time
	firstAgain = time.Second            // after a fetch that failed, doubled up to lastAgain
	lastAgain  = 2 * time.Minute
	sweepEvery = time.Minute
)

// Depot is made by New and works while Run does.
type Depot struct {
	o     Options
	store *release.Store

	fetching map[string]context.CancelFunc // by app@version
	leaving  map[string]bool               // by app@version: is being removed
	retry    map[string]retry
	served   []string
	swept    time.Time
	looked   time.Time // when the fleet and the disk were; zero: they have to be
	change   uint64    // of the catalog, then
	stopped  bool
	ended    chan outcome
	work     sync.WaitGroup

	mu    sync.Mutex
	whole map[string]bool // what Held tells
}

// retry is when a fetch that failed is tried again.
type retry struct {
	at    time.Time
	pause time.Duration
}

// outcome is the end of a fetch.
type outcome struct {
	name string
	err  error
}

// New opens the folder.
func New(o Options) (*Depot, error) {
	if o.Keep == 0 {
		o.Keep = usualKeep
	}
	if o.Every == 0 {
		o.Every = usualEvery
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	store, err := release.Open(o.Root, release.Options{Log: o.Log})
	if err != nil {
		return nil, err
	}
	return &Depot{o: o, store: store, fetching: map[string]context.CancelFunc{}, leaving: map[string]bool{}, retry: map[string]retry{}, ended: make(chan outcome)}, nil
}

// Run fetches, serves and drops releases until ctx ends.
func (d *Depot) Run(ctx context.Context) error {
	defer d.store.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer d.drain(cancel)
	t := time.NewTicker(d.o.Every)
	defer t.Stop()
	for {
		if err := d.turn(ctx, time.Now()); err != nil && ctx.Err() == nil {
			d.o.Log.Warn("source: goes on with what it has", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case e := <-d.ended:
			d.end(e, time.Now())
		case <-t.C:
		}
	}
}

// Held tells whether all of a release is here. Any goroutine may ask.
func (d *Depot) Held(app, version string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.whole[app+"@"+version]
}

// drain waits for fetches that are under way.
func (d *Depot) drain(cancel func()) {
	cancel()
	done := make(chan struct{})
	go func() { defer close(done); d.work.Wait() }()
	for {
		select {
		case <-d.ended:
		case <-done:
			d.o.Fetcher.Seed(nil)
			return
		}
	}
}

// turn compares what is needed with what is there.
func (d *Depot) turn(ctx context.Context, now time.Time) error {
	if !d.looked.IsZero() {
		stopped := d.o.Catalog.Stopped()
		d.o.Fetcher.Hold(nil, stopped)
		if stopped == d.stopped && d.o.Catalog.Changes() == d.change && now.Sub(d.looked) < lookEvery*d.o.Every {
			return nil
		}
	}
	change := d.o.Catalog.Changes()
	releases, err := d.o.Catalog.Releases(ctx, "")
	if err != nil {
		return err
	}
	d.looked, d.change, d.stopped = now, change, d.o.Catalog.Stopped()
	d.o.Fetcher.Hold(nil, d.stopped)
	want := needed(releases, d.o.Catalog.Wanted(), d.o.Keep)
	held, err := d.held()
	if err != nil {
		return err
	}
	for name := range d.leaving {
		if held[name] {
			delete(held, name) // for all but the disk it is gone
		} else {
			delete(d.leaving, name)
		}
	}
	for name, cancel := range d.fetching {
		if !slices.Contains(want, name) {
			cancel()
		}
	}
	pending := map[string]bool{} // nothing of them may move yet
	for _, r := range releases {
		if r.Pending {
			pending[r.Name()] = true
		}
	}
	for _, name := range want {
		if _, busy := d.fetching[name]; busy || held[name] || d.leaving[name] || len(d.fetching) >= parallel || d.stopped || pending[name] || now.Before(d.retry[name].at) {
			continue
		}
		d.fetch(ctx, name)
	}
	if now.Sub(d.swept) >= sweepEvery {
		d.swept = now
		d.drop(ctx, held, want)
	}
	return d.serve(held)
}

// needed are the releases to have, the most urgent first: those that are wanted,
// in their order, and the newest of each app.
func needed(releases []shoal.Release, wanted []string, keep int) []string {
	there := map[string]bool{}
	for _, r := range releases {
		there[r.Name()] = true
	}
	var out []string
	add := func(name string) {
		if there[name] && !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	for _, name := range wanted {
		add(name)
	}
	newest := slices.Clone(releases)
	slices.SortStableFunc(newest, func(a, b shoal.Release) int { return b.Created.Compare(a.Created) })
	count := map[string]int{}
	for _, r := range newest {
		if count[r.App]++; count[r.App] <= keep {
			add(r.Name())
		}
	}
	return out
}

// held are the releases that are whole here.
func (d *Depot) held() (map[string]bool, error) {
	names, err := d.store.Apps()
	if err != nil {
		return nil, err
	}
	out := map[string]bool{}
	for _, name := range names {
		a, err := d.store.App(name)
		if err != nil {
			return nil, err
		}
		l, err := a.List()
		if err = errors.Join(err, a.Close()); err != nil {
			return nil, err
		}
		for _, r := range l.Releases {
			if r.State != release.Staging {
				out[name+"@"+r.Version] = true
			}
		}
	}
	return out, nil
}

// fetch begins to bring a release in.
func (d *Depot) fetch(ctx context.Context, name string) {
	ctx, cancel := context.WithCancel(ctx)
	d.fetching[name] = cancel
	d.work.Go(func() {
		defer cancel()
		d.ended <- outcome{name, d.bring(ctx, name)}
	})
}

func (d *Depot) bring(ctx context.Context, name string) error {
	app, version, err := shoal.ParseRelease(name)
	if err != nil {
		return err
	}
	u, err := d.o.Catalog.Upload(ctx, app, version)
	if err != nil {
		return err
	}
	meta, err := metainfo.Parse(u.Metafile)
	if err != nil {
		return fmt.Errorf("its metafile: %w", err)
	}
	d.introduce(meta)
	a, err := d.store.NewApp(app)
	if err != nil {
		return err
	}
	defer a.Close()
	_, err = a.Stage(ctx, version, meta, d.o.Fetcher.From(app, version, u.Peers))
	return err
}

// introduce puts the fleet's own trackers in place of the metafile's.
func (d *Depot) introduce(meta *metainfo.Metafile) {
	meta.Announce, meta.WebSeeds = nil, nil
	for _, t := range d.o.Trackers {
		meta.Announce = append(meta.Announce, []string{t})
	}
}

func (d *Depot) end(e outcome, now time.Time) {
	delete(d.fetching, e.name)
	d.looked = time.Time{}
	if e.err == nil {
		delete(d.retry, e.name)
		d.o.Log.Info("source: has a full copy", "release", e.name)
		return
	}
	if errors.Is(e.err, context.Canceled) {
		return
	}
	r := d.retry[e.name]
	r.pause = min(max(2*r.pause, firstAgain), lastAgain)
	r.at = now.Add(r.pause)
	d.retry[e.name] = r
	d.o.Log.Warn("source: no copy yet", "release", e.name, "err", e.err, "again_in", r.pause)
}

// serve serves all that is held.
func (d *Depot) serve(held map[string]bool) error {
	names := slices.Sorted(maps.Keys(held))
	if slices.Equal(names, d.served) {
		return nil
	}
	var list []agent.Held
	for _, name := range names {
		app, version, err := shoal.ParseRelease(name)
		if err != nil {
			return err
		}
		a, err := d.store.App(app)
		if err != nil {
			return err
		}
		at, meta, err := a.Held(version)
		if err = errors.Join(err, a.Close()); err != nil {
			d.o.Log.Error("source: cannot serve", "release", name, "err", err)
			continue
		}
		d.introduce(meta)
		list = append(list, agent.Held{App: app, Version: version, At: at, Meta: meta})
	}
	d.served = names
	d.o.Fetcher.Seed(list)
	d.mu.Lock()
	d.whole = maps.Clone(held)
	d.mu.Unlock()
	return nil
}

// drop removes what nobody needs any more, and what is held no longer counts.
func (d *Depot) drop(ctx context.Context, held map[string]bool, want []string) {
	for name := range held {
		if slices.Contains(want, name) {
			continue
		}
		delete(held, name)
		d.leaving[name] = true
		if err := d.serve(held); err != nil {
			d.o.Log.Warn("source: cannot serve", "err", err)
		}
		app, version, err := shoal.ParseRelease(name)
		if err != nil {
			continue
		}
		d.work.Go(func() { // it may be big
			a, err := d.store.App(app)
			if err == nil {
				_, err = a.Remove(ctx, version)
				err = errors.Join(err, a.Close())
			}
			if err != nil {
				d.o.Log.Warn("source: could not drop it whole", "release", name, "err", err)
				return
			}
			d.o.Log.Info("source: dropped", "release", name)
		})
	}
}
