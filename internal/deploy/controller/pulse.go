package controller

import (
	"context"
	"time"

	"shoal"
)

// pulse is what a server tells the others every few seconds: that it is there,
// and whom it has heard since the last one.
type pulse struct {
	Server string          `json:"server"`
	N      uint64          `json:"n"` // counts up
	Hosts  map[string]beat `json:"hosts,omitempty"`
}

// beat is a host that was heard.
type beat struct {
	Ago    time.Duration          `json:"ago"` // before the pulse
	Work   map[string]*shoal.Work `json:"work,omitempty"`
	Silent bool                   `json:"silent,omitempty"` // it has reported nothing: its work is as it was
}

const (
	pulseEvery = 5 * time.Second
	// pulseFor is how long a server counts as there.
	pulseFor = 3 * pulseEvery
)

// tellPulse tells the others, if there are any, whom this server has heard.
func (c *Controller) tellPulse(ctx context.Context) {
	for n := uint64(1); ; n++ {
		p := pulse{Server: c.o.Server, N: n}
		if c.hosts.others(time.Now()) {
			p.Hosts = c.hosts.beats(time.Now())
		}
		if data, err := pack(p); err == nil {
			_, err = c.store.Put(ctx, c.pulses.bucket, c.o.Server, data, anyRevision)
			if err != nil && ctx.Err() == nil {
				c.log.Warn("controller: the other servers do not know whom this one hears", "err", err)
			}
		}
		if !pause(ctx, pulseEvery) {
			return
		}
	}
}

// hearPulse takes in what another server tells.
func (c *Controller) hearPulse(server string) {
	p, _, ok := c.pulses.get(server)
	if !ok || server == c.o.Server {
		return
	}
	c.hosts.learn(p, time.Now())
	poke(c.work)
}

// others tells whether another server was heard lately.
func (r *roster) others(now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return !r.other.IsZero() && now.Sub(r.other) < pulseFor
}

func (r *roster) learn(p pulse, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if p.N > 1 { // the first one may be from long ago
		r.other = now
	}
	for name, b := range p.Hosts {
		was := r.heard[name]
		if at := now.Add(-max(0, b.Ago)); at.After(was.at) {
			if was.at, was.told = at, true; !b.Silent {
				was.work = b.Work
			}
			r.heard[name] = was
		}
	}
}

// beats are the hosts that this server heard and has not told yet.
func (r *roster) beats(now time.Time) map[string]beat {
	r.mu.Lock()
	defer r.mu.Unlock()
	beats := map[string]beat{}
	for name, h := range r.heard {
		if h.told {
			continue
		}
		h.told = true
		r.heard[name] = h
		b := beat{Ago: now.Sub(h.at), Silent: h.silent}
		for _, a := range h.report.Apps {
			if a.Work != nil && !h.silent {
				if b.Work == nil {
					b.Work = map[string]*shoal.Work{}
				}
				b.Work[a.App] = a.Work
			}
		}
		beats[name] = b
	}
	return beats
}
