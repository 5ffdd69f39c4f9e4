package node

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"shoal/internal/bt/limit"
	"shoal/internal/bt/rate"
	"shoal/internal/quantity"
	"shoal/internal/schedule"
	"shoal/internal/topology"
)

// limitsEvery is how often limits are computed anew: a ramp must look even, and
// a governor yield soon.
const limitsEvery = 250 * time.Millisecond

// idleLong is how long nothing may have moved before the next transfer is a new
// one, which begins at the foot of the ramp.
const idleLong = 30 * time.Second

// maxLimits bounds the table: peers can claim places that nobody has heard of.
const maxLimits = 16384

// limits are all limits of a process, with the buckets that make them hold. The
// limits of links come from the topology file as their first bytes flow.
type limits struct {
	ramp   time.Duration
	places *places

	mu    sync.Mutex
	table map[limit.Name]*limited
	began time.Time // of the transfer; see idleLong
	busy  time.Time // when something has moved last
	moved int64     // bytes by then
	cap   int64     // of the governor
	hosts int       // that share the links' limits
}

// limited is one limit and its bucket.
type limited struct {
	schedule.Limit
	bucket *rate.Bucket
	now    int64 // on the wire
}

func newLimits(set []limit.Change, ramp time.Duration, where *places) *limits {
	l := &limits{ramp: ramp, places: where, table: map[limit.Name]*limited{}, began: time.Now(), busy: time.Now()}
	for _, c := range set {
		l.set(c)
	}
	l.apply(time.Now())
	return l
}

// set changes a limit, or makes it.
func (l *limits) set(c limit.Change) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.get(c.Name).Limit = c.Limit
}

// change sets limits of a running process; all or none.
func (l *limits) change(set []limit.Change) error {
	for _, c := range set {
		if c.Name.Class == limit.Link && !l.knowsLink(c.Name.Link) {
			return fmt.Errorf("%s: no link of this process is called %q", c.Name, c.Name.Link)
		}
	}
	for _, c := range set {
		l.set(c)
	}
	l.apply(time.Now())
	return nil
}

func (l *limits) knowsLink(name string) bool {
	if slices.ContainsFunc(l.places.file.Links(), func(k topology.Link) bool { return k.Name == name }) {
		return true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	_, ok := l.table[limit.Name{Direction: limit.Up, Class: limit.Link, Link: name}]
	return ok
}

// get returns a limit of the table, unlimited if it is new. The caller holds mu.
func (l *limits) get(n limit.Name) *limited {
	e := l.table[n]
	if e == nil {
		e = &limited{bucket: rate.New(0)}
		l.table[n] = e
	}
	return e
}

// chains are what holds for the connections to a place.
func (l *limits) chains(peer topology.Place) (up, down rate.Chain) {
	return l.chain(limit.Up, peer), l.chain(limit.Down, peer)
}

func (l *limits) chain(d limit.Direction, peer topology.Place) rate.Chain {
	own := l.places.Own()
	l.mu.Lock()
	defer l.mu.Unlock()
	var c rate.Chain
	for _, n := range limit.Names(d, own, peer, l.places.file) {
		_, known := l.table[n]
		if !known && len(l.table) >= maxLimits {
			continue // made-up places: what holds for the WAN holds for them
		}
		e := l.get(n)
		if !known && n.Class == limit.Link {
			if link, ok := l.places.file.Link(own.Datacenter, peer.Datacenter); ok {
				e.Limit = link.Limit
				l.refresh(n, e, time.Now())
			}
		}
		c = append(c, e.bucket)
	}
	return c
}

// apply computes all limits anew.
func (l *limits) apply(now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for n, e := range l.table {
		l.refresh(n, e, now)
	}
}

// refresh computes one limit anew. The caller holds mu.
func (l *limits) refresh(n limit.Name, e *limited, now time.Time) {
	c := limit.Conditions{Ramp: l.ramp, Began: l.began, Cap: l.cap, Hosts: l.hosts}
	if e.now = limit.At(n, e.Limit, c, now); e.bucket.Rate() != limit.Payload(e.now) {
		e.bucket.SetRate(limit.Payload(e.now))
	}
}

// traffic tells how much the process has moved in all, and how many hosts share
// the links' limits.
func (l *limits) traffic(now time.Time, moved int64, hosts int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if moved != l.moved {
		if now.Sub(l.busy) > idleLong {
			l.began = now
		}
		l.busy, l.moved = now, moved
	}
	l.hosts = hosts
}

// binds tells whether a limit on what comes in is what a rate is at.
func (l *limits) binds(bytesPerSecond int64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for n, e := range l.table {
		if n.Direction == limit.Down && e.now > 0 && bytesPerSecond >= e.now/10*8 {
			return true
		}
	}
	return false
}

// yield sets the governor's cap on everything; 0: none.
func (l *limits) yield(bytesPerSecond int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cap = bytesPerSecond
}

// run keeps limits up to date until ctx ends.
func (l *limits) run(ctx context.Context, traffic func(time.Time) (moved int64, hosts int), log *slog.Logger) {
	t := time.NewTicker(limitsEvery)
	defer t.Stop()
	was := map[limit.Name]int64{}
	for {
		select {
		case now := <-t.C:
			moved, hosts := traffic(now)
			l.traffic(now, moved, hosts)
			l.apply(now)
			l.tellChanges(now, was, log)
		case <-ctx.Done():
			return
		}
	}
}

// tellChanges logs where a schedule has come to another rate.
func (l *limits) tellChanges(now time.Time, was map[limit.Name]int64, log *slog.Logger) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for n, e := range l.table {
		r := e.At(now)
		if old, known := was[n]; known && old != r {
			log.Info("a limit has changed", "limit", n.String(), "from", quantity.FormatRate(old), "to", quantity.FormatRate(r))
		}
		was[n] = r
	}
}
