// Package trial runs one push in the small: a source and hosts in several data
// centres, each the real engine (bt/swarm), in a simulated network with a tracker
// that chooses peers as the real one does, and failures midway. Package simulate
// makes it out of a topology and reads it back.
//
// It is what simnet/fleet is for tests of the engine, with other questions: how
// much goes each way between data centres, and what changes when something
// breaks. Every byte is hashed and checked; all hosts share one copy of it.
package trial

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"shoal/internal/bt/peerconn"
	"shoal/internal/simnet"
)

// Options of a run. All but Failures, Watch and Seed are required; rates are in bytes a
// second, and a rate of a data centre or a link may be 0, which is no limit.
type Options struct {
	At                  []string // data centre of each host
	Source              string   // that of the source
	HostRate            int64
	SourceRate          int64
	Uplinks             map[string]int64 // of a data centre to all others
	Links               []Link
	Latency             func(from, to string) time.Duration
	Pieces, PieceLength int
	Limit               time.Duration // ends the run when not all are done
	Failures            []Failure
	Seed                uint64 // of chance outside of the engine
	// Watch, if not nil, is told how far the hosts are together, from 0 to 1,
	// many times a second of the run.
	Watch func(have float64)
}

// Link is the line between two data centres, both ways alike.
type Link struct {
	A, B string
	Rate int64
}

// What a Failure is of.
const (
	LinkFails       = "link"       // that between data centres A and B
	DatacenterFails = "datacenter" // all links of A
	TrackerFails    = "tracker"    // it answers nobody any more
	SourceFails     = "source"     // it is killed
)

// Failure is something that breaks once the hosts together have a share of all
// that they are to have.
type Failure struct {
	What string
	A, B string
	At   float64       // the share
	For  time.Duration // how long; 0: for good. A source stays dead.
}

const (
	buffers       = 256 << 20 // bytes of large buffers of all hosts together
	startSpread   = 100 * time.Millisecond
	progressEvery = 50 * time.Millisecond
)

// trial is one run.
type trial struct {
	o       Options
	release *release
	net     *simnet.Network
	tracker *tracker
	budget  *peerconn.Budget
	start   time.Time
	source  *host
	hosts   []*host
	missing atomic.Int64 // hosts that are not complete
	done    chan struct{}
	failed  atomic.Pointer[error]
	wg      sync.WaitGroup

	broken    []Failed
	endSource context.CancelFunc
}

// Run pushes the release and reports. Hosts that do not complete are in the report;
// the error tells what kept the run from happening.
func Run(ctx context.Context, o Options) (*Report, error) {
	if len(o.At) == 0 || len(o.At) > 1<<16-3 || o.Pieces <= 0 || o.PieceLength <= 0 || o.HostRate <= 0 || o.SourceRate <= 0 || o.Limit <= 0 {
		return nil, errors.New("trial: hosts, pieces, rates and a limit are required")
	}
	segment := min(max(o.PieceLength/8, 2<<10), 16<<10) + 512
	t := &trial{
		o: o, net: simnet.New(simnet.Options{Latency: o.Latency, Segment: segment, Unsent: min(segment, o.PieceLength/8)}),
		budget: peerconn.NewBudget(buffers), tracker: newTracker(o.Seed), done: make(chan struct{}), start: time.Now(),
	}
	var err error
	if t.release, err = newRelease(o.Pieces, o.PieceLength, o.Seed); err != nil {
		return nil, err
	}
	if err := t.build(); err != nil {
		return nil, err
	}
	return t.run(ctx)
}

// build makes the network and the hosts.
func (t *trial) build() error {
	for name, rate := range t.o.Uplinks {
		t.net.Place(name).SetRates(rate, rate)
	}
	for _, l := range t.o.Links {
		t.net.Link(l.A, l.B).SetRate(l.Rate)
	}
	rng := rand.New(rand.NewPCG(t.o.Seed, 2))
	var err error
	if t.source, err = t.newHost(0, t.o.Source, t.o.SourceRate, 0); err != nil {
		return err
	}
	t.source.store.have.SetAll()
	for i, at := range t.o.At {
		h, err := t.newHost(i+1, at, t.o.HostRate, time.Duration(rng.Int64N(int64(startSpread))))
		if err != nil {
			return err
		}
		t.hosts = append(t.hosts, h)
	}
	t.missing.Store(int64(len(t.hosts)))
	return nil
}

func (t *trial) newHost(n int, at string, rate int64, start time.Duration) (*host, error) {
	n++ // 10.77.0.0 is no host
	sim, err := t.net.AddHost(netip.AddrFrom4([4]byte{10, 77, byte(n >> 8), byte(n)}), at, rate, rate)
	if err != nil {
		return nil, err
	}
	h := &host{trial: t, sim: sim, at: at, start: start, store: newStore(t.release)}
	copy(h.id[:], fmt.Sprintf("-SH0001-%012d", n))
	return h, nil
}

// run starts everything, waits for the hosts, and ends everything.
func (t *trial) run(ctx context.Context) (*Report, error) {
	ctx, cancel := context.WithTimeout(ctx, t.o.Limit)
	defer cancel()
	nctx, stopNet := context.WithCancel(context.WithoutCancel(ctx))
	var netDone sync.WaitGroup
	netDone.Go(func() { _ = t.net.Run(nctx) })
	source, endSource := context.WithCancel(ctx)
	defer endSource()
	t.endSource = endSource
	t.wg.Go(func() { t.source.live(source) })
	t.wg.Go(func() { t.watch(ctx) })
	for _, h := range t.hosts {
		t.wg.Go(func() {
			if sleep(ctx, h.start) {
				h.live(ctx)
			}
		})
	}
	select {
	case <-t.done:
	case <-ctx.Done():
	}
	cancel()
	t.wg.Wait()
	stopNet()
	netDone.Wait()
	if err := t.failed.Load(); err != nil {
		return nil, *err
	}
	return t.report(), nil
}

func (t *trial) fail(err error) { t.failed.CompareAndSwap(nil, &err) }

// completed counts a host that has everything.
func (t *trial) completed() {
	if t.missing.Add(-1) == 0 {
		close(t.done)
	}
}

// watch lets failures happen in time until ctx ends.
func (t *trial) watch(ctx context.Context) {
	happened := make([]bool, len(t.o.Failures))
	for {
		have := t.progress()
		if t.o.Watch != nil {
			t.o.Watch(have)
		}
		for i, x := range t.o.Failures {
			if have >= x.At && !happened[i] {
				happened[i] = true
				t.broken = append(t.broken, Failed{i, time.Since(t.start)})
				t.breaks(ctx, x)
			}
		}
		if !sleep(ctx, progressEvery) {
			return
		}
	}
}

// progress is how much of all that they are to have the hosts have.
func (t *trial) progress() float64 {
	n := 0
	for _, h := range t.hosts {
		n += h.store.count()
	}
	return float64(n) / float64(t.o.Pieces*len(t.hosts))
}

// breaks makes a failure happen, and end in time.
func (t *trial) breaks(ctx context.Context, x Failure) {
	heal := func() {}
	switch x.What {
	case LinkFails:
		l := t.net.Link(x.A, x.B)
		l.Cut()
		heal = l.Heal
	case DatacenterFails:
		p := t.net.Place(x.A)
		p.Cut()
		heal = p.Heal
	case TrackerFails:
		t.tracker.dead.Store(true)
		heal = func() { t.tracker.dead.Store(false) }
	case SourceFails:
		t.endSource()
	}
	if x.For > 0 {
		t.wg.Go(func() {
			if sleep(ctx, x.For) {
				heal()
			}
		})
	}
}

// sleep lets d pass; false when ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// Report is what a run has shown. Times are from its start.
type Report struct {
	Site                       // all hosts
	SourceSent int64           // bytes of content
	Flows      map[Way]int64   // bytes of content between data centres, and inside of each, as receivers count
	Sites      map[string]Site // by data centre
	Broken     []Failed        // in the order in which they happened
}

// Way is a direction between two data centres.
type Way struct{ From, To string }

// Failed is a failure that has happened.
type Failed struct {
	Index int // into Options.Failures
	Since time.Duration
}

// Site is how some hosts have fared. Times are 0 if none of them has everything.
type Site struct {
	Hosts, Done         int
	First, Median, Last time.Duration
}

func (t *trial) report() *Report {
	r := &Report{SourceSent: t.source.sent, Flows: map[Way]int64{}, Sites: map[string]Site{}, Broken: t.broken}
	sites := map[string][]*host{}
	for _, h := range t.hosts {
		sites[h.at] = append(sites[h.at], h)
		for from, n := range h.came {
			r.Flows[Way{from, h.at}] += n
		}
	}
	r.Site = fared(t.hosts)
	for name, hosts := range sites {
		r.Sites[name] = fared(hosts)
	}
	return r
}

func fared(hosts []*host) Site {
	s := Site{Hosts: len(hosts)}
	var at []time.Duration
	for _, h := range hosts {
		if h.finished > 0 {
			at = append(at, h.finished)
		}
	}
	if s.Done = len(at); s.Done > 0 {
		slices.Sort(at)
		s.First, s.Median, s.Last = at[0], at[len(at)/2], at[len(at)-1]
	}
	return s
}
