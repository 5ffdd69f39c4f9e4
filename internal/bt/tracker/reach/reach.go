// Package reach finds out which peers nobody can connect to, as one behind a firewall, behind address translation, or
// that listens elsewhere than it says: it connects back to those that join, and again to those that did not answer.
//
// It sends nothing, bounds how often it connects, and decides nothing: a peer that it cannot reach may be reached by
// others.
package reach

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"shoal/internal/bt/metainfo"
)

// Bounds.
const (
	maxPeers = 4096 // waiting to be looked at, or not reached; more are not looked at
	maxDials = 32   // at the same time
	perTick  = 50   // connections that are begun in a tick
	tick     = 500 * time.Millisecond
	patience = 4 * time.Second // for an answer
)

// When to look.
const (
	first  = 2 * time.Second  // after the peer joined: some announce before they listen
	second = 10 * time.Second // after the first try failed; one that fails is not told of yet
	later  = time.Minute
	again  = 5 * time.Minute // a host with several addresses, at one that answered
	after  = 2               // failures: the peer is told of
)

// Peer is one endpoint of a peer in a swarm.
type Peer struct {
	Swarm metainfo.InfoHash
	At    netip.AddrPort
	Of    netip.AddrPort // with several: the one under which it stands in the swarm; else the zero value
}

// Deaf is a peer that could not be connected to.
type Deaf struct {
	At    netip.AddrPort
	Since time.Time // of the first try
	Why   string    // "refused", "no answer", "no route", or what the system says
}

// Options of a Prober. Both are required and may be called from several goroutines.
type Options struct {
	There func(Peer) bool // whether a peer is still in its swarm
	Dial  func(ctx context.Context, at netip.AddrPort) error
}

// Prober is safe for concurrent use.
type Prober struct {
	o Options

	mu    sync.Mutex
	peers map[Peer]trial
}

// trial is what is known of a peer that was not reached yet.
type trial struct {
	due   time.Time // of the next try; zero: one is under way
	fails int
	since time.Time // of the first that failed
	why   string
	well  bool // it answered the last time
}

// New makes a Prober, which works while Run does.
func New(o Options) *Prober { return &Prober{o: o, peers: map[Peer]trial{}} }

// Connect is the Dial of a real network.
func Connect(ctx context.Context, at netip.AddrPort) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", at.String())
	if err != nil {
		return err
	}
	return conn.Close()
}

// Joined says that a peer has come. It never blocks.
func (p *Prober) Joined(now time.Time, peer Peer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, known := p.peers[peer]; known || len(p.peers) >= maxPeers {
		return
	}
	p.peers[peer] = trial{due: now.Add(first)}
}

// Reached is what is known of one address of a peer with several: "reached", why it is not ("refused", "no answer",
// ...), or nothing yet.
func (p *Prober) Reached(peer Peer) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	t := p.peers[peer]
	if t.well {
		return "reached"
	}
	return t.why
}

// Deaf are the peers of a swarm that could not be connected to at the address that all are told, those that have been so for longest first.
func (p *Prober) Deaf(swarm metainfo.InfoHash) []Deaf {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []Deaf
	for peer, t := range p.peers {
		if peer.Swarm == swarm && t.deaf(peer) {
			out = append(out, Deaf{At: peer.At, Since: t.since, Why: t.why})
		}
	}
	slices.SortFunc(out, func(a, b Deaf) int { return cmp.Or(a.Since.Compare(b.Since), a.At.Compare(b.At)) })
	return out
}

// Count is how many peers of all swarms could not be connected to.
func (p *Prober) Count() (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for peer, t := range p.peers {
		if t.deaf(peer) {
			n++
		}
	}
	return n
}

// Run connects until ctx ends.
func (p *Prober) Run(ctx context.Context) error {
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	var dials errgroup.Group
	dials.SetLimit(maxDials)
	for {
		select {
		case <-ctx.Done():
			return dials.Wait()
		case now := <-ticker.C:
			for _, peer := range p.due(now) {
				dials.Go(func() error {
					p.try(ctx, peer)
					return nil
				})
			}
		}
	}
}

// due takes the peers to look at now, those that wait for longest first.
func (p *Prober) due(now time.Time) []Peer {
	p.mu.Lock()
	defer p.mu.Unlock()
	var list []Peer
	for peer, t := range p.peers {
		if !t.due.IsZero() && !t.due.After(now) {
			list = append(list, peer)
		}
	}
	slices.SortFunc(list, func(a, b Peer) int { return p.peers[a].due.Compare(p.peers[b].due) })
	list = list[:min(len(list), perTick)]
	for _, peer := range list {
		t := p.peers[peer]
		t.due = time.Time{}
		p.peers[peer] = t
	}
	return list
}

func (p *Prober) try(ctx context.Context, peer Peer) {
	there := p.o.There(peer)
	var err error
	if there {
		dial, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		err = p.o.Dial(dial, peer.At)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	t, ok := p.peers[peer].next(time.Now(), there, err, peer.Of.IsValid())
	if !ok {
		delete(p.peers, peer)
		return
	}
	p.peers[peer] = t
}

// deaf tells whether the peer is one that others are told of and cannot reach. What is on a network of a few is
// not missed by the tracker, which may be on none of them.
func (t trial) deaf(peer Peer) bool {
	return t.fails >= after && (!peer.Of.IsValid() || peer.Of == peer.At)
}

// next is what follows from a try; ok is false when nothing is left to do. Of a peer with several addresses it is
// remembered that it answers.
func (t trial) next(now time.Time, there bool, err error, several bool) (_ trial, ok bool) {
	switch {
	case !there || err == nil && !several:
		return trial{}, false
	case err == nil:
		return trial{due: now.Add(again), well: true}, true
	}
	t.well = false
	if t.fails++; t.fails == 1 {
		t.since, t.due = now, now.Add(second)
	} else {
		t.due = now.Add(later)
	}
	t.why = reason(err)
	return t, true
}

// reason says in a word or two why a connection was not made.
func reason(err error) string {
	var timeout net.Error
	var errno syscall.Errno
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "refused"
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return "no answer"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return "no route"
	case errors.As(err, &errno):
		return errno.Error()
	}
	return "not reached"
}
