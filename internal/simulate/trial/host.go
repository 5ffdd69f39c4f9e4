package trial

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	"shoal/internal/bt/swarm"
	"shoal/internal/bt/wire"
	"shoal/internal/simnet"
	"shoal/internal/topology"
)

// What package node does, too.
const (
	port           = 6881
	handshakeLimit = 10 * time.Second
	lonely         = 5 * time.Second // a host with few peers asks the tracker this often
	fewPeers       = 4
	announceEvery  = 30 * time.Second
)

// host is a machine of the trial.
type host struct {
	trial *trial
	id    [20]byte
	sim   *simnet.Host
	at    string // data centre
	told  bool   // the tracker's: it was told of a seed elsewhere
	store *store
	start time.Duration // after the trial's

	// What it has shown, once live has returned.
	finished time.Duration // 0: never
	sent     int64
	came     map[string]int64 // by data centre
}

func (h *host) addr() netip.AddrPort { return netip.AddrPortFrom(h.sim.Addr(), port) }

// Own is swarm.Places'.
func (h *host) Own() topology.Place { return topology.Place{Datacenter: h.at} }

// Of is swarm.Places': a host believes what peers say of themselves.
func (h *host) Of(_ netip.Addr, said topology.Place) topology.Place { return said }

// live runs the engine until ctx ends, which kills it.
func (h *host) live(ctx context.Context) {
	engine, err := swarm.New(swarm.Options{
		Info: h.trial.release.info, Hashes: h.trial.release.hashes, Store: h.store, Have: h.store.verified(),
		PeerID: h.id, ListenPort: port, Client: "shoal simulated", Budget: h.trial.budget, Dial: h.sim.Dial, Places: h,
	})
	if err != nil {
		h.trial.fail(err)
		return
	}
	ln, err := h.sim.Listen(port)
	if err != nil {
		h.trial.fail(err)
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { h.accept(ctx, ln, engine) })
	wg.Go(func() { h.announce(ctx, engine) })
	wg.Go(func() { h.await(ctx, engine) })
	wg.Go(func() {
		<-ctx.Done()
		h.sim.Kill()
		h.trial.tracker.leave(h)
	})
	if err := engine.Run(ctx); err != nil {
		h.trial.fail(fmt.Errorf("host %v: %w", h.addr(), err))
	}
	cancel()
	wg.Wait()
	s := engine.Stats()
	h.sent, h.came = s.Uploaded, map[string]int64{}
	for dc, t := range s.Traffic {
		h.came[dc] = t.Down
	}
}

// await notes when the engine has everything.
func (h *host) await(ctx context.Context, e *swarm.Torrent) {
	select {
	case <-e.Completed():
	case <-ctx.Done():
		return
	}
	if h != h.trial.source {
		h.finished = time.Since(h.trial.start)
		h.trial.completed()
	}
}

// announce asks the tracker for peers, as the node would.
func (h *host) announce(ctx context.Context, e *swarm.Torrent) {
	var next time.Time
	for {
		if now := time.Now(); !now.Before(next) || e.Stats().Peers < fewPeers {
			next = now.Add(announceEvery)
			if peers, members, ok := h.trial.tracker.announce(h); ok {
				e.SetSite(h.addr(), members)
				e.AddPeers(peers)
			}
		}
		if !sleep(ctx, lonely) {
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
