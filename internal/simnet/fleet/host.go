package fleet

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"shoal/internal/bt/multihome"
	"shoal/internal/bt/swarm"
	"shoal/internal/bt/wire"
	"shoal/internal/simnet"
	"shoal/internal/topology"
)

// What package node does, too.
const (
	port           = 6881
	handshakeLimit = 10 * time.Second
	announceEvery  = 30 * time.Second
	lonely         = 5 * time.Second // a host with few peers asks the tracker this often
	fewPeers       = 4
)

// host is a machine of the fleet. Index -1 is the source.
type host struct {
	fleet    *fleet
	index    int
	id       [20]byte
	sim      *simnet.Host
	place    topology.Place
	told     bool // the tracker has told it of a seed elsewhere; the tracker's
	up, down int64
	store    *store
	start    time.Duration // after the fleet's
	faults   []Fault       // in order

	engine   atomic.Pointer[swarm.Torrent]
	finished atomic.Int64 // nanoseconds after the fleet's start; 0: not yet
	left     atomic.Bool  // it had everything and has left

	mu    sync.Mutex
	total swarm.Stats // of engines that have ended: bytes only
}

func (h *host) addr() netip.AddrPort { return netip.AddrPortFrom(h.sim.Addr(), port) }

// Own is swarm.Places'.
func (h *host) Own() topology.Place { return h.place }

// Of is swarm.Places': a host believes what peers say of themselves.
func (h *host) Of(_ netip.Addr, said topology.Place) topology.Place { return said }

// Homes is swarm.Places': a host has one address.
func (h *host) Homes() []multihome.Address { return nil }

// Way is swarm.Places'.
func (h *host) Way(a, b topology.Place) (w topology.Way) {
	if way := h.fleet.o.Way; way != nil {
		w = way(a, b)
	}
	return w
}

// complete tells whether the host has everything.
func (h *host) complete() bool { return h.index < 0 || h.finished.Load() > 0 }

// returns tells whether the host is there in the end.
func (h *host) returns() bool {
	return h.odd() == "" && (len(h.faults) == 0 || h.faults[len(h.faults)-1].Back > 0)
}

// run is the life of a host, with its deaths.
func (h *host) run(ctx context.Context) {
	if !h.sleepUntil(ctx, h.start) {
		return
	}
	for _, fault := range h.faults {
		life, cancel := context.WithDeadline(ctx, h.fleet.start.Add(fault.At))
		h.live(life)
		cancel()
		if h.left.Load() || fault.Back == 0 || !h.sleepUntil(ctx, fault.At+fault.Back) {
			return
		}
	}
	h.live(ctx)
}

func (h *host) sleepUntil(ctx context.Context, at time.Duration) bool {
	t := time.NewTimer(time.Until(h.fleet.start.Add(at)))
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// live runs the engine until ctx ends, which kills it, or it has done its work.
func (h *host) live(ctx context.Context) {
	switch h.odd() {
	case Mute:
		h.sit(ctx)
		return
	case Idle:
		h.idle(ctx)
		return
	}
	o := swarm.Options{
		Info: h.fleet.release.info, Hashes: h.fleet.release.hashes, Store: h.disk(ctx), Have: h.claims(),
		PeerID: h.id, ListenPort: port, Client: "shoal simulated", MaxPeers: h.fleet.o.MaxPeers,
		Budget: h.fleet.budget, Dial: h.sim.Dial, Places: h, Log: h.fleet.log.With("host", h.index),
	}
	engine, err := swarm.New(o)
	if err != nil {
		h.fleet.fail(err)
		return
	}
	ln, err := h.sim.Listen(port)
	if err != nil {
		h.fleet.fail(err)
		return
	}
	h.engine.Store(engine)
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { h.accept(ctx, ln, engine) })
	wg.Go(func() { h.announce(ctx, engine) })
	wg.Go(func() {
		if h.await(ctx, engine) && h.fleet.o.Leave && h.index >= 0 {
			h.left.Store(true)
			cancel()
		}
	})
	wg.Go(func() {
		<-ctx.Done()
		h.sim.Kill()
		if !h.lost() {
			h.fleet.tracker.leave(h)
		}
	})
	if err := engine.Run(ctx); err != nil {
		h.fleet.fail(fmt.Errorf("host %d: %w", h.index, err))
	}
	cancel()
	wg.Wait()
	h.retire(engine)
}

// retire adds up what an engine that has ended did.
func (h *host) retire(e *swarm.Torrent) {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := e.Stats()
	h.total.Downloaded += s.Downloaded
	h.total.Uploaded += s.Uploaded
	if h.total.Traffic == nil {
		h.total.Traffic = map[string]swarm.Traffic{}
	}
	for dc, t := range s.Traffic {
		sum := h.total.Traffic[dc]
		h.total.Traffic[dc] = swarm.Traffic{Up: sum.Up + t.Up, Down: sum.Down + t.Down}
	}
	h.engine.Store(nil)
}

// await notes when the engine has everything; false when it ended before.
func (h *host) await(ctx context.Context, e *swarm.Torrent) bool {
	select {
	case <-e.Completed():
	case <-ctx.Done():
		return false
	}
	if h.index >= 0 && h.finished.CompareAndSwap(0, int64(time.Since(h.fleet.start))) && h.returns() {
		h.fleet.completed()
	}
	return true
}

// announce asks the tracker for peers, as the node would.
func (h *host) announce(ctx context.Context, e *swarm.Torrent) {
	tick := time.NewTicker(lonely)
	defer tick.Stop()
	next := time.Now()
	for {
		if now := time.Now(); !now.Before(next) || e.Stats().Peers < fewPeers {
			next = now.Add(announceEvery)
			if !h.fleet.stage.trackerDead.Load() {
				peers, members := h.fleet.tracker.announce(h, h.complete())
				e.SetSite(h.addr(), members)
				e.AddPeers(peers)
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// accept hands connections to the engine once their handshake is read.
func (h *host) accept(ctx context.Context, ln net.Listener, e *swarm.Torrent) {
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		wg.Go(func() {
			stop := context.AfterFunc(ctx, func() { c.Close() })
			hs, err := greet(c)
			if !stop() || err != nil {
				c.Close()
				return
			}
			e.Accept(c, hs)
		})
	}
}

func greet(c net.Conn) (hs wire.Handshake, err error) {
	if err := c.SetReadDeadline(time.Now().Add(handshakeLimit)); err != nil {
		return hs, err
	}
	var b [wire.HandshakeLen]byte
	if _, err := io.ReadFull(c, b[:]); err != nil {
		return hs, err
	}
	if hs, err = wire.ParseHandshake(b[:]); err != nil {
		return hs, err
	}
	return hs, c.SetReadDeadline(time.Time{})
}
