package node

import (
	"context"
	"net/netip"
	"os"

	"golang.org/x/sync/errgroup"

	"shoal/internal/bt/tracker"
)

// TrackerOptions are those of the tracker itself, and what surrounds it.
type TrackerOptions struct {
	tracker.Options
	TopologyFile string
	Reopen       <-chan os.Signal     // each one opens the request log anew
	Ready        func(netip.AddrPort) // told once where it listens; may be nil
}

// Tracker introduces peers to each other until ctx ends.
func Tracker(ctx context.Context, o TrackerOptions) error {
	if o.TopologyFile != "" {
		m, err := LoadTopology(o.TopologyFile)
		if err != nil {
			return err
		}
		o.Topology = m
	}
	t, err := tracker.New(o.Options)
	if err != nil {
		return err
	}
	if o.Ready != nil {
		o.Ready(t.Addr())
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return t.Run(ctx) })
	g.Go(func() error {
		for {
			select {
			case <-o.Reopen:
				if err := t.Reopen(); err != nil {
					o.Log.Error("cannot open the request log anew", "err", err)
				}
			case <-ctx.Done():
				return nil
			}
		}
	})
	return g.Wait()
}
