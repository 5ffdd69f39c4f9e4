package node

import (
	"context"
	"net/netip"
	"sync"

	"shoal"
	"shoal/internal/deploy/agent"
)

// AgentOptions are those of the daemon on a host.
type AgentOptions struct {
	Options
	Config agent.Config
	Fleet  Membership
	// Station is the control plane if it is not that of Fleet.
	Station  shoal.Station
	Verifier agent.Verifier // nil: nobody has to have signed a release
	Content  ContentOptions // Cache counts
	Alive    func()         // called at least every second; may be nil
	Ready    func(netip.AddrPort)
	Pace     agent.Pace
}

// Agent runs the daemon of a host until ctx ends: the agent, with one process of
// the engine for all its releases.
func Agent(ctx context.Context, o AgentOptions) error {
	if err := o.Config.Check(); err != nil {
		return err
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, end := context.WithCancel(ctx)
	defer end()
	// The root first: a second agent must not even ask for a certificate.
	a, err := agent.New(agent.Options{Config: o.Config, Verifier: o.Verifier, Software: clientName, Log: o.Log, Alive: o.Alive, Pace: o.Pace})
	if err != nil {
		return err
	}
	defer a.Close()
	if o.Station == nil {
		j, err := o.Fleet.join(ctx, o.Config.Root, o.Config.Host, o.Log)
		if err != nil {
			return err
		}
		defer j.Close()
		wg.Go(func() { j.renew(ctx) })
		o.Station = j
		if o.Fleet.Plain {
			o.TrackWith(j.wallet.Certificate, j.wallet.Authorities)
		} else if j.recheck, err = o.JoinFleet(j.wallet.Certificate, j.wallet.Authorities, j.forgotten.Check); err != nil {
			return err
		}
	}
	p, err := open(ctx, o.Options)
	if err != nil {
		return err
	}
	return p.with(ctx, func(ctx context.Context) error {
		ctx, end := context.WithCancel(ctx)
		h := newHolder(ctx, p, o.Content)
		defer h.wait()
		defer end()
		if o.Ready != nil {
			o.Ready(p.in.addrPort())
		}
		return a.Run(ctx, o.Station, h)
	})
}
