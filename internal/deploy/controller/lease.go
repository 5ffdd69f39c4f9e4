package controller

import (
	"context"
	"crypto/rand"
	"errors"
	"time"

	"shoal/internal/deploy/fleetstore"
)

const anyRevision = fleetstore.Any

// Lease says how the servers agree on which one lets rollouts go on. The holder
// renews an entry of the store; the others take it when its revision has not
// changed for a while by their own count of time. No clocks are compared.
type Lease struct {
	Renew    time.Duration // how often the holder renews
	Patience time.Duration // how long the others wait for it
}

// orDefault hands over within 8 s, and lets a holder that stumbles for 4 s go on.
func (l Lease) orDefault() Lease {
	if l.Renew <= 0 || l.Patience <= 2*l.Renew {
		return Lease{Renew: 1500 * time.Millisecond, Patience: 6 * time.Second}
	}
	return l
}

// holding is the lease as it is stored.
type holding struct {
	Server  string `json:"server"`
	Process string `json:"process"` // random: a server that was started again is another holder
	N       uint64 `json:"n"`       // counts up
}

// leadInTurn leads whenever this server holds the lease.
func (c *Controller) leadInTurn(ctx context.Context) {
	process := rand.Text()
	for ctx.Err() == nil {
		rev, ok := c.takeLease(ctx, process)
		if !ok {
			continue
		}
		c.log.Info("controller: this server runs the rollouts now")
		c.holdLease(ctx, process, rev)
		if ctx.Err() == nil {
			c.log.Warn("controller: another server runs the rollouts")
		}
	}
}

// takeLease waits until nobody holds the lease, and takes it.
func (c *Controller) takeLease(ctx context.Context, process string) (rev uint64, ok bool) {
	var seen uint64
	since := time.Now()
	for {
		_, now, there := c.facts.get(leaseKey)
		if now != seen {
			seen, since = now, time.Now()
		}
		if !there || c.o.Alone || time.Since(since) >= c.o.Lease.Patience {
			rev, err := c.facts.put(ctx, leaseKey, fact{Lease: &holding{c.o.Server, process, 0}}, now)
			if err == nil {
				return rev, true
			}
			if !errors.Is(err, fleetstore.ErrStale) && ctx.Err() == nil {
				c.log.Warn("controller: the lease cannot be taken", "err", err)
			}
		}
		if !pause(ctx, c.o.Lease.Renew/3) {
			return 0, false
		}
	}
}

// holdLease leads until the lease is lost or ctx ends, and gives it back then.
func (c *Controller) holdLease(ctx context.Context, process string, rev uint64) {
	leading, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.lead(leading)
	}()
	held := time.Now()
	for n := uint64(1); pause(ctx, c.o.Lease.Renew); n++ {
		asked := time.Now()
		call, cancel := context.WithDeadline(ctx, held.Add(c.o.Lease.Patience-c.o.Lease.Renew))
		next, err := c.facts.put(call, leaseKey, fact{Lease: &holding{c.o.Server, process, n}}, rev)
		cancel()
		if err == nil {
			rev, held = next, asked
			continue
		}
		// Nobody knows whether a call without an answer was carried out: what is
		// there now is looked at, and was renewed if it is this server's.
		if f, now, ok := c.facts.get(leaseKey); ok && now != rev && f.Lease != nil && *f.Lease == (holding{c.o.Server, process, n}) {
			rev, held = now, asked
			continue
		}
		if errors.Is(err, fleetstore.ErrStale) || time.Since(held) > c.o.Lease.Patience-2*c.o.Lease.Renew {
			break
		}
	}
	stop()
	<-done
	if ctx.Err() != nil { // so that another one need not wait
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.o.Lease.Renew)
		defer cancel()
		if err := c.facts.remove(last, leaseKey, rev); err != nil {
			c.log.Info("controller: the lease is not given back, others take it when it ends", "err", err)
		}
	}
}

// leader is the server that holds the lease.
func (c *Controller) leader() string {
	if f, _, ok := c.facts.get(leaseKey); ok && f.Lease != nil {
		return f.Lease.Server
	}
	return ""
}
