package node

import (
	"context"
	"net/netip"

	"shoal"
	"shoal/internal/deploy/agent"
)

// AgentOptions are those of the daemon on a host.
type AgentOptions struct {
	Options
	Config   agent.Config
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
	a, err := agent.New(agent.Options{
		Config: o.Config, Station: o.Station, Verifier: o.Verifier, Software: clientName, Log: o.Log, Alive: o.Alive, Pace: o.Pace,
	})
	if err != nil {
		return err
	}
	defer a.Close()
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
		return a.Run(ctx, h)
	})
}
