// Package simulate predicts what a push costs before a byte moves: it runs the
// real engine on every host of a fleet (simnet/fleet), in a network made from
// the topology file, in fake time, with fewer and smaller pieces, and scales
// what it sees back to the real release.
//
// It never opens a socket or a file, and decides nothing: what it shows is what
// the engine decided.
package simulate

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"shoal/internal/simnet"
	"shoal/internal/simnet/faketime"
	"shoal/internal/simnet/fleet"
	"shoal/internal/topology"
)

// Site is a data centre and how many hosts of it get the release.
type Site struct {
	Name  string
	Hosts int
}

// Options say what to simulate. Topology, Size and Sites are required.
type Options struct {
	Topology   *topology.Map
	Size       int64  // bytes of the release
	Sites      []Site // each named once, with one host or more
	Source     string // data centre of the source; "": the first site
	SourceRate int64  // of its interface, in bytes a second; 0: as the other hosts'
	HostRate   int64  // of a host's interface; 0: the file's, else DefaultHostRate
	Failures   []Failure
	Latency    time.Duration // one way between any two data centres; 0: NearLatency and FarLatency
	Now        time.Time     // which schedules hold
	Seed       uint64        // of chance outside of the engine
	Scale      Scale         // zero fields are chosen
	// Progress, if not nil, is told how far all hosts are together, from 0 to 1.
	Progress func(have float64)
}

// OptionError says what is wrong with Options.
type OptionError struct{ reason string }

func (e *OptionError) Error() string { return e.reason }

func refuse(format string, args ...any) error {
	return &OptionError{fmt.Sprintf(format, args...)}
}

// Assumptions where the file says nothing.
const (
	DefaultHostRate = 1_250_000_000 // 10 Gbit/s
	HomeLatency     = 100 * time.Microsecond
	NearLatency     = 5 * time.Millisecond  // one way, inside of a region
	FarLatency      = 40 * time.Millisecond // between regions
)

// MaxHosts bounds a fleet: each host is an engine in memory.
const MaxHosts = 20_000

// socket is how many bytes a connection may have on their way: what Linux gives one
// by default. In the small it is hardly more than a segment: otherwise half of the
// release could stand in line before a narrow link.
const socket = 4 << 20

// grain is of time in the network. A piece takes thirty times as long at least, and
// what comes to a host in one grain is handled at once: a tenth of all work less than
// with a quarter of it.
const grain = time.Millisecond

// limitOver is how much longer than the bound a run may take.
const limitOver = 10

func (o *Options) check() error {
	if o.Topology == nil || o.Size <= 0 || len(o.Sites) == 0 {
		return refuse("a topology, a size and hosts are needed")
	}
	seen, total := map[string]bool{}, 0
	for _, s := range o.Sites {
		switch {
		case !o.Topology.Has(s.Name):
			return refuse("the topology has no data centre %q", s.Name)
		case seen[s.Name]:
			return refuse("data centre %q is given twice", s.Name)
		case s.Hosts < 1 || s.Hosts > MaxHosts:
			return refuse("data centre %q has %d hosts: want 1 to %d", s.Name, s.Hosts, MaxHosts)
		}
		seen[s.Name] = true
		total += s.Hosts
	}
	if total > MaxHosts {
		return refuse("%d hosts are more than can be simulated (%d)", total, MaxHosts)
	}
	if o.Source == "" {
		o.Source = o.Sites[0].Name
	}
	if !o.Topology.Has(o.Source) {
		return refuse("the topology has no data centre %q for the source", o.Source)
	}
	if o.HostRate == 0 {
		if o.HostRate = o.Topology.HostRate(); o.HostRate == 0 {
			o.HostRate = DefaultHostRate
		}
	}
	if o.SourceRate == 0 {
		o.SourceRate = o.HostRate
	}
	for _, f := range o.Failures {
		if err := o.checkFailure(f); err != nil {
			return err
		}
	}
	return nil
}

func (o *Options) checkFailure(f Failure) error {
	switch {
	case f.At < 0 || f.At >= 1:
		return refuse("a failure at %g %%: want 0 to 99", 100*f.At)
	case f.What == LinkFails:
		if _, ok := o.link(f.Name); !ok {
			return refuse("no link between the data centres that take part is called %q", f.Name)
		}
	case f.What == DatacenterFails && !o.Topology.Has(f.Name):
		return refuse("the topology has no data centre %q", f.Name)
	}
	return nil
}

// link finds a link that takes part by its name, or by its ends either way round.
func (o *Options) link(name string) (topology.Link, bool) {
	for _, l := range o.links() {
		if name == l.Name || name == l.A+"-"+l.B || name == l.B+"-"+l.A {
			return l, true
		}
	}
	return topology.Link{}, false
}

// names are the data centres that take part, the source's too.
func (o *Options) names() []string {
	var out []string
	source := false
	for _, s := range o.Sites {
		out = append(out, s.Name)
		source = source || s.Name == o.Source
	}
	if !source {
		out = append(out, o.Source)
	}
	return out
}

// links are those between the data centres that take part.
func (o *Options) links() (out []topology.Link) {
	names := o.names()
	for i, a := range names {
		for _, b := range names[i+1:] {
			if l, ok := o.Topology.Link(a, b); ok {
				out = append(out, l)
			}
		}
	}
	return out
}

// rate is what transfers may use of a link now; 0: no limit.
func (o *Options) rate(l topology.Link) int64 {
	limit := l.Limit.At(o.Now)
	if l.Capacity == 0 || limit > 0 && limit < l.Capacity {
		return limit
	}
	return l.Capacity
}

func (o *Options) hosts() (n int) {
	for _, s := range o.Sites {
		n += s.Hosts
	}
	return n
}

// uplink is what a data centre's hosts together can send to others; 0: no limit.
func (o *Options) uplink(name string) int64 {
	for _, dc := range o.Topology.Datacenters() {
		if dc.Name == name {
			return dc.Uplink
		}
	}
	return 0
}

// Run simulates until every host has everything, nothing moves any more, or ctx
// ends, and tells what it saw.
func Run(ctx context.Context, o Options) (*Result, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	began := time.Now()
	bound := o.bound()
	scale := o.Scale.choose(&o, bound)
	small := o.small(scale, bound)
	script := &script{o: &o, scale: scale, real: ctx}
	small.Script = script.run
	var report *fleet.Report
	var err error
	faketime.Run(func() {
		// ctx belongs to real time: waiting for it would stop the clock in here.
		inside, cancel := context.WithCancel(context.Background())
		defer cancel()
		script.cancel = cancel
		report, err = fleet.Run(inside, small)
	})
	if err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		return nil, err
	}
	r := o.result(report, script.broken, scale, bound)
	r.Took = time.Since(began)
	return r, nil
}

// small is the run in the small.
func (o *Options) small(s Scale, bound time.Duration) fleet.Options {
	at := []string{o.Source}
	for _, site := range o.Sites {
		for range site.Hosts {
			at = append(at, site.Name)
		}
	}
	latency := func(from, to string) time.Duration {
		real := HomeLatency
		switch topology.Between(o.Topology.Complete(topology.Place{Datacenter: from}), o.Topology.Complete(topology.Place{Datacenter: to})) {
		case topology.SameRegion:
			real = cmp.Or(o.Latency, NearLatency)
		case topology.OtherRegion:
			real = cmp.Or(o.Latency, FarLatency)
		}
		return time.Duration(float64(real) / s.Time)
	}
	segment := s.PieceLength/8 + 512
	return fleet.Options{
		Hosts: len(at) - 1, Place: func(host int) string { return at[host+1] }, // the source is -1
		Way: o.Topology.Way,
		Up:  s.rate(o.HostRate), SourceUp: s.rate(o.SourceRate), Pieces: s.Pieces, PieceLength: s.PieceLength, Seed: o.Seed,
		Limit: time.Duration(limitOver*bound.Seconds()/s.Time*1e9) + time.Minute,
		Net:   simnet.Options{Latency: latency, Segment: segment, Window: max(2*segment, int(socket/s.bytes)), Resolution: grain},
		Lines: func(n *simnet.Network) {
			for _, name := range o.names() {
				rate := s.rate(o.uplink(name))
				n.Place(name).SetRates(rate, rate)
			}
			for _, l := range o.links() {
				n.Link(l.A, l.B).SetRate(s.rate(o.rate(l)))
			}
		},
	}
}
