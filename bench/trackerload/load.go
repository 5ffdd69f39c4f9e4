package main

import (
	"context"
	"crypto/sha1"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"shoal/internal/bt/announce"
	"shoal/internal/bt/metainfo"
)

// options are one load.
type options struct {
	target        netip.AddrPort
	proto         string
	duration      time.Duration
	count         int64   // 0: no bound
	rate          float64 // 0: as fast as answers come
	conns, window int
	swarms, peers int
	numwant       int
}

const (
	firstPort = 1024
	ports     = 64_000 // of one address; peers of a swarm differ by their port alone
	maxConns  = 4096   // and as many announces in the air on each
	maxTime   = 10 * time.Minute
	maxCount  = 1_000_000_000
	maxRate   = 10_000_000
	giveUp    = 2 * time.Second // an announce not answered by then is lost
	maxAnswer = 64 << 10
)

func (o *options) check() error {
	within := func(name string, v, low, high int) error {
		if v < low || v > high {
			return fmt.Errorf("-%s is %d, not from %d to %d", name, v, low, high)
		}
		return nil
	}
	err := errors.Join(
		within("conns", o.conns, 1, maxConns),
		within("window", o.window, 1, maxConns),
		within("swarms", o.swarms, 1, 1_000_000),
		within("peers", o.peers, o.swarms, o.swarms*ports),
		within("numwant", o.numwant, 0, 1000),
		within("count", int(o.count), 0, maxCount),
	)
	switch {
	case err != nil:
	case o.duration <= 0 || o.duration > maxTime:
		err = fmt.Errorf("-duration is %s, not above 0 and at most %s", o.duration, maxTime)
	case o.rate < 0 || o.rate > maxRate:
		err = fmt.Errorf("-rate is %g, not from 0 to %d", o.rate, maxRate)
	case o.proto != "udp" && o.proto != "http" && o.proto != "http-close":
		err = fmt.Errorf("-proto is %q, not udp, http or http-close", o.proto)
	}
	return err
}

// course deals out the announces to the connections: which peer, and when.
type course struct {
	o      *options
	hashes []metainfo.InfoHash
	start  time.Time
	next   atomic.Int64
	stride int64
}

func newCourse(o *options) *course {
	c := &course{o: o, hashes: make([]metainfo.InfoHash, o.swarms), stride: 1}
	for i := range c.hashes {
		c.hashes[i] = hashOf(i)
	}
	// A stride without a common divisor visits every peer once a round, far from the one before, as a crowd does.
	for c.stride = int64(o.peers)*5/8 | 1; gcd(c.stride, int64(o.peers)) != 1; {
		c.stride += 2
	}
	return c
}

func gcd(a, b int64) int64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

func hashOf(swarm int) metainfo.InfoHash {
	return metainfo.InfoHash(sha1.Sum(fmt.Appendf(nil, "trackerload %d", swarm)))
}

// take gives the number of the next announce and when it is due; ok is false when all are given out.
func (c *course) take() (n int64, due time.Time, ok bool) {
	n = c.next.Add(1) - 1
	if c.o.count > 0 && n >= c.o.count {
		return n, due, false
	}
	if c.o.rate > 0 {
		due = c.start.Add(time.Duration(float64(n) / c.o.rate * float64(time.Second)))
		return n, due, due.Before(c.end())
	}
	due = time.Now()
	return n, due, due.Before(c.end())
}

func (c *course) end() time.Time { return c.start.Add(c.o.duration) }

// request is the nth announce: in the first round over all peers each of them joins, afterwards it comes again.
// Every tenth is a seed.
func (c *course) request(n int64) announce.Request {
	round, peer := n/int64(c.o.peers), n%int64(c.o.peers)*c.stride%int64(c.o.peers)
	swarm, of := int(peer)%c.o.swarms, int(peer)/c.o.swarms
	r := announce.Request{InfoHash: c.hashes[swarm], Port: uint16(firstPort + of), NumWant: c.o.numwant,
		Key: uint32(peer) + 1, HasKey: true}
	copy(r.PeerID[:], "-LG0001-")
	binary.BigEndian.PutUint64(r.PeerID[12:], uint64(peer))
	if round == 0 {
		r.Event = announce.Started
	}
	if of%10 != 0 {
		r.Left = 1 << 30
	}
	return r
}

// load puts the load on the target until time or count are over, or ctx ends.
func load(ctx context.Context, o options) (result, error) {
	c := newCourse(&o)
	tallies := make([]tally, o.conns)
	group, inner := errgroup.WithContext(ctx)
	worker := c.http
	if o.proto == "udp" {
		worker = c.udp
	}
	c.start = time.Now()
	for i := range tallies {
		group.Go(func() error { return worker(inner, &tallies[i]) })
	}
	err := group.Wait()
	took := min(time.Since(c.start), o.duration)
	var all tally
	for i := range tallies {
		all.add(&tallies[i])
	}
	return all.result(&o, took), err
}
