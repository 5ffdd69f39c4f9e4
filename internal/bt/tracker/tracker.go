// Package tracker introduces the peers of swarms to each other: one announce logic behind an HTTP and a UDP
// front on the same port, over IPv4 and IPv6, with a state file that survives crashes, a page and metrics.
//
// It never touches content, sends nothing to a peer (it only looks whether one can be connected to, if asked to), and
// never believes a client more than the protocol makes necessary: see docs/tracker.md for what it takes from whom.
package tracker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"shoal/internal/bt/tracker/catalog"
	"shoal/internal/bt/tracker/httpfront"
	"shoal/internal/bt/tracker/ledger"
	"shoal/internal/bt/tracker/peerstore"
	"shoal/internal/bt/tracker/reach"
	"shoal/internal/bt/tracker/throttle"
	"shoal/internal/bt/tracker/udpfront"
	"shoal/internal/topology"
)

// Options say what a tracker does. The zero value of a field means its default.
type Options struct {
	Listen         string         // host:port for TCP and UDP; no host: all addresses; port 0: any. Default ":6969"
	Interval       time.Duration  // how often a peer shall announce, 10 s to 24 h. Default 2 min
	StateFile      string         // where swarms and peers survive a restart; empty: nowhere
	LogFile        string         // one line a request; empty: none
	AllowDir       string         // folder of metafiles; only their swarms are served; empty: every swarm is
	TrustedProxies []netip.Prefix // whose X-Forwarded-For and whose `ip` parameter are believed
	Topology       *topology.Map  // data centres of peers, shown on the page; may be nil
	FullScrape     bool           // answer a scrape that names no swarm with all of them
	ConnectBack    bool           // connect to peers that join, to show which cannot be reached; not those of Members
	Limits         Limits
	Members        *Members     // not nil: it listens nowhere, and answers only them (Handler)
	Log            *slog.Logger // nil: no log
}

// Limits bound what clients can make the tracker hold and do. The zero value of a field means its default.
type Limits struct {
	Swarms     int     // default 100,000
	SwarmPeers int     // peers in one swarm; default 250,000
	Peers      int     // peers in all; default 2,000,000, some 200 MB
	Rate       float64 // requests a second of one address; default 200; below zero: unbounded
	Burst      float64 // ... and so many at once; default 2,000
}

func (o *Options) setDefaults() error {
	if o.Listen == "" {
		o.Listen = ":6969"
	}
	if o.Interval == 0 {
		o.Interval = 2 * time.Minute
	}
	if o.Interval < 10*time.Second || o.Interval > 24*time.Hour {
		return fmt.Errorf("tracker: interval %s is not between 10s and 24h", o.Interval)
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	l := &o.Limits
	for _, f := range []struct {
		name  string
		value *int
		def   int
	}{{"swarms", &l.Swarms, 100_000}, {"peers in a swarm", &l.SwarmPeers, 250_000}, {"peers", &l.Peers, 2_000_000}} {
		if *f.value < 0 {
			return fmt.Errorf("tracker: limit of %s is below zero", f.name)
		}
		if *f.value == 0 {
			*f.value = f.def
		}
	}
	if l.Rate == 0 {
		l.Rate = 200
	}
	if l.Burst == 0 {
		l.Burst = max(2000, l.Rate)
	}
	return nil
}

// Tracker is made by New and works while Run does.
type Tracker struct {
	o        Options
	sockets  *sockets
	store    *peerstore.Store
	book     *ledger.Book
	catalog  *catalog.Catalog // nil: open
	reach    *reach.Prober    // nil: nobody is connected to
	throttle *throttle.Table
	metrics  *metrics
	requests *requestLog
	state    *stateFile
	started  time.Time

	overview struct {
		sync.Mutex
		at    time.Time
		value *httpfront.Overview
	}
	rate    rateMeter
	running atomic.Bool
}

// New reads the state and the folder, and binds the port: what is wrong with them is an error here. A tracker
// that is not run must be closed.
func New(o Options) (_ *Tracker, err error) {
	if err := o.setDefaults(); err != nil {
		return nil, err
	}
	if m := o.Members; m != nil && (m.Host == nil || m.Swarm == nil || o.AllowDir != "") {
		return nil, errors.New("tracker: Members need Host and Swarm, and no folder of metafiles")
	}
	t := &Tracker{o: o, throttle: throttle.New(o.Limits.Rate, o.Limits.Burst), started: time.Now()}
	defer func() {
		if err != nil {
			t.closeFiles()
		}
	}()
	if o.AllowDir != "" {
		if t.catalog, err = catalog.Open(o.AllowDir, o.Log); err != nil {
			return nil, fmt.Errorf("tracker: %w", err)
		}
	}
	// The port first: it tells that no other tracker of ours is at work on the state file.
	if o.Members != nil {
		t.sockets = &sockets{}
	} else if t.sockets, err = bind(context.Background(), o.Listen, o.Log); err != nil {
		return nil, fmt.Errorf("tracker: %w", err)
	}
	if t.state, err = openState(o.StateFile, t.storeOptions(), t.started, o.Log); err != nil {
		return nil, fmt.Errorf("tracker: %w", err)
	}
	t.store, t.book = t.state.store, t.state.book
	if t.requests, err = openRequestLog(o.LogFile, o.Log); err != nil {
		return nil, fmt.Errorf("tracker: %w", err)
	}
	if o.ConnectBack && o.Members == nil {
		t.reach = reach.New(reach.Options{Dial: reach.Connect, There: func(p reach.Peer) bool { return t.stands(p) }})
	}
	t.metrics = newMetrics(t)
	return t, nil
}

func (t *Tracker) storeOptions() peerstore.Options {
	o := peerstore.Options{
		Swarms:     t.o.Limits.Swarms,
		SwarmPeers: t.o.Limits.SwarmPeers,
		Peers:      t.o.Limits.Peers,
		Lifetime:   uint32(lifetime(t.o.Interval) / time.Second),
		Place:      func(a netip.Addr) int16 { return int16(t.o.Topology.Index(a)) },
	}
	for _, dc := range t.o.Topology.Datacenters() {
		o.Names = append(o.Names, dc.Name)
	}
	if ways := t.o.Topology.Ways(); len(ways) > 1 {
		o.Dear = func(a, b string) byte {
			way := t.o.Topology.Way(topology.Place{Datacenter: a}, topology.Place{Datacenter: b})
			return byte(min(ways.Rank(way), math.MaxUint8))
		}
	}
	if t.catalog != nil {
		o.Keep = t.catalog.Has
	}
	return o
}

// lifetime is how long a peer is handed out after its last announce: two intervals and some grace, but at
// least a quarter of an hour, as some clients never ask more often than every ten minutes whatever they are
// told.
func lifetime(interval time.Duration) time.Duration {
	return max(2*interval+time.Minute, 15*time.Minute)
}

// Addr is the address that it listens at; with several, the first. The port is that of TCP and UDP alike.
func (t *Tracker) Addr() netip.AddrPort { return t.sockets.addr }

// Reopen closes the request log and opens it anew under its name, after it was renamed.
func (t *Tracker) Reopen() error { return t.requests.reopen() }

// Close frees what New took, for a tracker that is not run.
func (t *Tracker) Close() error {
	if t.running.Load() {
		return errors.New("tracker: it runs; end the context of Run instead")
	}
	return t.closeFiles()
}

func (t *Tracker) closeFiles() error {
	var err error
	if t.sockets != nil {
		t.sockets.close()
	}
	if t.requests != nil {
		err = t.requests.close()
	}
	return err
}

// Run serves until ctx ends, then saves the state.
func (t *Tracker) Run(ctx context.Context) (err error) {
	if t.running.Swap(true) {
		return errors.New("tracker: it was run before")
	}
	defer func() { err = errors.Join(err, t.closeFiles()) }()
	group, inner := errgroup.WithContext(ctx)
	if t.o.Members == nil {
		if err := t.listen(group, inner); err != nil {
			return err
		}
	}
	group.Go(func() error { return t.requests.run(inner) })
	group.Go(func() error { return t.sweep(inner) })
	group.Go(func() error { return t.state.run(inner) })
	if t.catalog != nil {
		group.Go(func() error { return t.catalog.Run(inner) })
	}
	if t.reach != nil {
		group.Go(func() error { return t.reach.Run(inner) })
	}
	// The last save comes after the fronts have ended, so that nothing that was answered is forgotten.
	return errors.Join(group.Wait(), t.state.save())
}

// listen starts the fronts.
func (t *Tracker) listen(group *errgroup.Group, ctx context.Context) error {
	udp, err := udpfront.New(t.sockets.udp, door{t, protoUDP}, door{t, protoUDP}, t.o.Log)
	if err != nil {
		return fmt.Errorf("tracker: %w", err)
	}
	http := httpfront.New(t.sockets.tcp, t.frontOptions())
	t.o.Log.Info("tracker listens", "addr", t.Addr(), "interval", t.o.Interval, "swarms", t.store.Totals().Swarms, "open", t.catalog == nil)
	group.Go(func() error { return udp.Run(ctx) })
	group.Go(func() error { return http.Run(ctx) })
	return nil
}

// sweep removes peers that did not come back.
func (t *Tracker) sweep(ctx context.Context) error {
	ticker := time.NewTicker(min(max(t.o.Interval/12, time.Second), 30*time.Second))
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-ticker.C:
			t.book.Sweep(uint32(now.Unix()))
			if peers, swarms := t.store.Sweep(uint32(now.Unix())); peers+swarms > 0 {
				t.o.Log.Debug("expired", "peers", peers, "swarms", swarms)
			}
		}
	}
}
