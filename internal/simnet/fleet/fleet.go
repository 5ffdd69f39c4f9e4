// Package fleet runs a release to a fleet in a simulated network: a source
// and N hosts, each the real engine (bt/swarm), and a tracker that hands out
// addresses. It tells when each host had everything, against the fluid bound:
// the time that no scheme on these links can beat. Tests of the engine look at
// it, and package simulate predicts pushes with it.
//
// The engine hashes and checks every byte, but nothing is kept: all hosts
// share one copy of the content, and what they write is compared with it.
//
// # Scale
//
// What matters to a policy is how long a piece takes compared with everything
// else: with the whole release (pieces per release), with the engine's timers
// (line time) and with a round trip. So a fleet uses small pieces and lowers
// the rates until the line time is realistic: 2,000 pieces of 32 KiB at 1.1
// MB/s stand for 2,000 pieces of 4 MiB at 140 MB/s, a minute either way. What
// does not scale along are the messages beside the data: they cost 1,000
// hosts about a hundredth of the downlink with pieces of 16 KiB.
//
// # Running
//
// Run belongs into a bubble of testing/synctest, where a minute of 1,000
// hosts takes a few minutes of two cores; that is what the tests here do. The
// large ones are skipped unless SHOAL_SIM names hosts and pieces:
//
//	SHOAL_SIM=200x512,1000x2000 go test -v -run Large -timeout 1h ./internal/simnet/fleet
//
// and print the report with a line a second: how busy the uplinks and
// downlinks were, and how far the hosts. See large_test.go for more variables.
package fleet

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"shoal/internal/bt/peerconn"
	"shoal/internal/simnet"
	"shoal/internal/topology"
)

// Options of a run. Hosts, Pieces, PieceLength and Up are required.
type Options struct {
	Hosts       int // the source not counted
	Pieces      int
	PieceLength int
	// Up and Down are the rates of a host's link in bytes a second; Down 0:
	// as Up. Rates, if not nil, overrides them by host.
	Up, Down int64
	Rates    func(host int) (up, down int64)
	// SourceUp is the rate of the source's link; 0: Up.
	SourceUp int64
	// Stagger is the time between the starts of two hosts. 0: all start at
	// once, give or take a tenth of a second.
	Stagger time.Duration
	Faults  []Fault
	// Odd are hosts that never work as they should.
	Odd map[int]Oddity
	// Script, if not nil, runs beside the fleet and does to it what a list of
	// faults cannot say. It returns when ctx ends.
	Script   func(ctx context.Context, s *Stage)
	Leave    bool // hosts leave when they have everything
	MaxPeers int  // of a host; 0: the engine's default
	// Place is the data centre of a host, the source's (-1) too; nil: all are in
	// one.
	Place func(host int) string
	// Way is how dear a byte is between two data centres; nil: all alike.
	Way func(a, b topology.Place) topology.Way
	Net simnet.Options
	// Lines, if not nil, gives places and links other rates than Net says.
	Lines func(*simnet.Network)
	// Limit ends the run when not all are done; 0: 20 times the bound.
	Limit time.Duration
	Seed  uint64 // of all chance outside of the engine
	Log   *slog.Logger
}

// Fault is something that happens to a host.
type Fault struct {
	At   time.Duration // since the start of the run
	Host int
	// Back is when it starts again, after At, with the pieces that it had
	// verified; 0: never.
	Back time.Duration
}

// fleet is one run.
type fleet struct {
	o       Options
	release *release
	net     *simnet.Network
	tracker *tracker
	budget  *peerconn.Budget
	log     *slog.Logger
	start   time.Time
	source  *host
	hosts   []*host
	sites   []string     // with limited links, sorted
	missing atomic.Int64 // hosts that will be complete and are not yet
	done    chan struct{}
	stage   *Stage
	failed  atomic.Pointer[error]
	wg      sync.WaitGroup
}

// Buffers of connections, in bytes. Large ones are bounded for all hosts together;
// beyond that the engine goes on with small ones, of which tens of thousands live
// at a time. Neither is to be larger than what is on its way in a small network.
const (
	largeBuffers = 64 << 20
	smallBuffer  = 2 << 10
)

func (o *Options) check() error {
	if o.Hosts <= 0 || o.Pieces <= 0 || o.PieceLength <= 0 || o.Up <= 0 {
		return errors.New("fleet: hosts, pieces, piece length and up rate are required")
	}
	if o.Hosts > 1<<16-2 {
		return fmt.Errorf("fleet: %d hosts are too many", o.Hosts)
	}
	for _, f := range o.Faults {
		if f.Host < 0 || f.Host >= o.Hosts {
			return fmt.Errorf("fleet: a fault of host %d of %d", f.Host, o.Hosts)
		}
	}
	if o.Down == 0 {
		o.Down = o.Up
	}
	if o.SourceUp == 0 {
		o.SourceUp = o.Up
	}
	if o.Net.Segment == 0 {
		o.Net.Segment = min(max(o.PieceLength/8, 2<<10), 16<<10) + 512
	}
	if o.Net.Unsent == 0 {
		o.Net.Unsent = min(o.Net.Segment, o.PieceLength/8)
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return nil
}

// Run deploys a release and reports. The error tells what kept the run from
// happening; hosts that do not complete are in the report.
func Run(ctx context.Context, o Options) (*Report, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	f := &fleet{o: o, net: simnet.New(o.Net), budget: peerconn.NewBudget(largeBuffers), log: o.Log, done: make(chan struct{}), start: time.Now()}
	var err error
	if f.release, err = newRelease(o.Pieces, o.PieceLength, o.Seed); err != nil {
		return nil, err
	}
	f.release.fail = f.fail
	f.budget.Small = smallBuffer
	f.tracker = newTracker(o.Seed)
	if o.Lines != nil {
		o.Lines(f.net)
	}
	if err := f.addHosts(); err != nil {
		return nil, err
	}
	return f.run(ctx)
}

func (f *fleet) addHosts() error {
	rng := rand.New(rand.NewPCG(f.o.Seed, 2))
	for i := -1; i < f.o.Hosts; i++ {
		h, err := f.newHost(i, rng)
		if err != nil {
			return err
		}
		if i < 0 {
			f.source = h
		} else {
			f.hosts = append(f.hosts, h)
		}
	}
	for _, h := range f.hosts {
		if h.returns() {
			f.missing.Add(1)
		}
	}
	return nil
}

func (f *fleet) newHost(i int, rng *rand.Rand) (*host, error) {
	up, down, place := f.o.Up, f.o.Down, ""
	if i < 0 {
		up, down = f.o.SourceUp, f.o.SourceUp
	} else if f.o.Rates != nil {
		up, down = f.o.Rates(i)
	}
	if f.o.Place != nil {
		place = f.o.Place(i)
	}
	n := i + 2
	sim, err := f.net.AddHost(netip.AddrFrom4([4]byte{10, 77, byte(n >> 8), byte(n)}), place, up, down)
	if err != nil {
		return nil, err
	}
	if f.o.Place != nil && f.o.Net.WAN > 0 {
		if at, had := slices.BinarySearch(f.sites, place); !had {
			f.sites = slices.Insert(f.sites, at, place)
		}
	}
	h := &host{fleet: f, index: i, sim: sim, place: topology.Place{Datacenter: place}, up: up, down: down, store: newStore(f.release, i < 0)}
	copy(h.id[:], fmt.Sprintf("-SH0001-%012d", n))
	if i >= 0 {
		h.start = time.Duration(i)*f.o.Stagger + time.Duration(rng.Int64N(int64(100*time.Millisecond)))
	}
	for _, x := range f.o.Faults {
		if x.Host == i {
			h.faults = append(h.faults, x)
		}
	}
	return h, nil
}

// run starts everything, waits for the hosts, and ends everything.
func (f *fleet) run(ctx context.Context) (*Report, error) {
	limit := f.o.Limit
	if limit == 0 {
		limit = 20 * f.bound(nil)
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	nctx, stopNet := context.WithCancel(context.WithoutCancel(ctx))
	var netDone sync.WaitGroup
	netDone.Go(func() { _ = f.net.Run(nctx) })
	sctx, killSource := context.WithCancel(ctx)
	defer killSource()
	f.stage = &Stage{fleet: f, killSource: killSource}
	f.wg.Go(func() { f.source.run(sctx) })
	if f.o.Script != nil {
		f.wg.Go(func() { f.o.Script(ctx, f.stage) })
	}
	for _, h := range f.hosts {
		f.wg.Go(func() { h.run(ctx) })
	}
	seconds := f.watch(ctx)
	cancel()
	f.wg.Wait()
	stopNet()
	netDone.Wait()
	if err := f.failed.Load(); err != nil {
		return nil, *err
	}
	return f.report(seconds), nil
}

// watch samples all links once a second until everyone is done.
func (f *fleet) watch(ctx context.Context) []Second {
	var seconds []Second
	last := f.sample()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			now := f.sample()
			seconds = append(seconds, f.second(last, now))
			last = now
		case <-f.done:
			return seconds
		case <-ctx.Done():
			return seconds
		}
	}
}

func (f *fleet) fail(err error) {
	f.failed.CompareAndSwap(nil, &err)
}

// completed counts a host that has everything.
func (f *fleet) completed() {
	if f.missing.Add(-1) == 0 {
		close(f.done)
	}
}
