package fleet

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"shoal/internal/bt/bitfield"
	"shoal/internal/bt/swarm"
	"shoal/internal/bt/wire"
	"shoal/internal/simnet"
)

// Oddity is what is wrong with a host from the start. It does not count as one
// that can be complete.
type Oddity string

// The oddities.
const (
	Mute  Oddity = "mute"  // takes connections and never sends a byte
	Hung  Oddity = "hung"  // says that it has everything, and its disk never answers
	Empty Oddity = "empty" // says that it has everything, and has nothing
	Junk  Oddity = "junk"  // says that it has everything, and sends junk
	Idle  Oddity = "idle"  // greets the source as one that has nothing, and asks for nothing
)

// Stage is a fleet as a Script sees it.
type Stage struct {
	fleet       *fleet
	killSource  func()
	trackerDead atomic.Bool
}

// Network is what the fleet runs on.
func (s *Stage) Network() *simnet.Network { return s.fleet.net }

// KillSource kills the source for good.
func (s *Stage) KillSource() { s.killSource() }

// KillTracker lets nobody hear of anybody any more but from peers, until
// HealTracker.
func (s *Stage) KillTracker() { s.trackerDead.Store(true) }

// HealTracker ends KillTracker.
func (s *Stage) HealTracker() { s.trackerDead.Store(false) }

// Share is how much of all that they are to have the hosts have, from 0 to 1.
func (s *Stage) Share() float64 {
	have := 0
	for _, h := range s.fleet.hosts {
		have += h.store.count()
	}
	return float64(have) / float64(s.fleet.o.Pieces*len(s.fleet.hosts))
}

// Await returns when a share of all pieces of all hosts is there, false when ctx
// has ended before.
func (s *Stage) Await(ctx context.Context, share float64) bool {
	return s.until(ctx, func() bool { return s.Share() >= share })
}

// AwaitCopy returns when every piece is on a host that stays.
func (s *Stage) AwaitCopy(ctx context.Context) bool {
	return s.until(ctx, func() bool {
		all := bitfield.New(s.fleet.o.Pieces)
		for _, h := range s.fleet.hosts {
			if !h.returns() {
				continue
			}
			have := h.store.verified()
			for i := have.Next(0); i >= 0; i = have.Next(i + 1) {
				all.Set(i)
			}
		}
		return all.All()
	})
}

// lookEvery is how often a condition of a Script is looked at.
const lookEvery = 20 * time.Millisecond

func (s *Stage) until(ctx context.Context, cond func() bool) bool {
	for !cond() {
		if !Pause(ctx, lookEvery) {
			return false
		}
	}
	return true
}

// Pause lets d pass; false when ctx ended first.
func Pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func (h *host) odd() Oddity { return h.fleet.o.Odd[h.index] }

// lost tells whether a host that dies is gone without a word to the tracker.
func (h *host) lost() bool { return h.index < 0 || !h.returns() }

// claims is what a host says that it has.
func (h *host) claims() *bitfield.Set {
	have := h.store.verified()
	if h.odd() != "" {
		have.SetAll()
	}
	return have
}

// disk is the host's store, or what it has in place of one.
func (h *host) disk(ctx context.Context) swarm.Store {
	if odd := h.odd(); odd != "" {
		return &oddStore{h.store, odd, ctx}
	}
	return h.store
}

// oddStore gives everything but the content.
type oddStore struct {
	*store
	odd Oddity
	ctx context.Context // of the host's life: what hangs, hangs until its end
}

var errNothing = errors.New("there is nothing")

// ReadAt implements swarm.Store.
func (s *oddStore) ReadAt(p []byte, off int64) (int, error) {
	switch s.odd {
	case Junk:
		clear(p)
		return len(p), nil
	case Hung:
		<-s.ctx.Done()
	}
	return 0, errNothing
}

// sit takes connections, and lets them wait.
func (h *host) sit(ctx context.Context) {
	ln, err := h.sim.Listen(port)
	if err != nil {
		h.fleet.fail(err)
		return
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		<-ctx.Done()
		h.sim.Kill()
	})
	h.fleet.tracker.announce(h, false)
	var taken []net.Conn
	for {
		c, err := ln.Accept()
		if err != nil {
			break
		}
		taken = append(taken, c)
	}
	wg.Wait()
	for _, c := range taken {
		c.Close()
	}
}

// idle meets the source and lets it talk.
func (h *host) idle(ctx context.Context) {
	c, err := h.sim.Dial(ctx, h.fleet.source.addr())
	if err != nil {
		return // the run is over
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.Close() })()
	greeting := wire.NewHandshake([20]byte(h.fleet.release.info.Swarms()[0]), h.id, wire.CapExtended|wire.CapFast).Append(nil)
	ext := wire.ExtHandshake{
		M: map[string]int{wire.ExtShoal: 1}, Reqq: 1,
		Shoal: wire.ShoalCaps{Version: wire.ShoalVersion, MaxRequest: 1 << 20, Reveal: true},
	}
	greeting = wire.AppendID(greeting, wire.HaveNone)
	if _, err := c.Write(wire.AppendExtended(greeting, wire.ExtHandshakeID, ext.Encode())); err == nil {
		_, _ = io.Copy(io.Discard, c) // until one of the two has enough
	}
}
