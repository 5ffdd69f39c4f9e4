package cli

import (
	"context"
	"fmt"
	"os"
	"time"

	"shoal"
	"shoal/internal/front/api"
	"shoal/internal/node"
	"shoal/internal/trust"
)

// joinToServe gets a certificate of the fleet for as long as this machine serves
// what it pushes, so that servers and hosts take it for one of theirs. The key
// lies in dir. While it serves, keepUp has to run: it refuses whom the fleet
// forgets meanwhile, and returns when ctx ends.
func joinToServe(ctx context.Context, c *api.Client, dir string, plain bool, o *node.Options) (keepUp func(ctx context.Context), err error) {
	w, err := trust.OpenWallet(dir)
	if err != nil {
		return nil, err
	}
	csr, err := w.Request()
	if err != nil {
		return nil, err
	}
	host, err := os.Hostname()
	if err != nil || shoal.CheckHost(host) != nil {
		host = "pusher" // only for logs
	}
	made, err := c.Enroll(ctx, shoal.Enrollment{Host: host, CSR: csr})
	if err != nil {
		return nil, fmt.Errorf("ask for a certificate to serve with: %w", err)
	}
	if err := w.Keep(made); err != nil {
		return nil, err
	}
	if plain {
		o.TrackWith(w.Certificate, w.Authorities)
		return func(context.Context) {}, nil
	}
	known, err := trust.OpenForgotten("")
	if err != nil {
		return nil, err
	}
	recheck, err := o.JoinFleet(w.Certificate, w.Authorities, known.Check)
	if err != nil {
		return nil, err
	}
	if err := node.KeepUp(ctx, c, known, recheck); err != nil {
		return nil, fmt.Errorf("ask whom the fleet has forgotten: %w", err)
	}
	return func(ctx context.Context) {
		t := time.NewTicker(forgottenEvery)
		defer t.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-t.C:
				if err := node.KeepUp(ctx, c, known, recheck); err != nil {
					o.Log.Debug("does not know whom the fleet has forgotten; asks again", "err", err)
				}
			}
		}
	}, nil
}

// forgottenEvery is how often a machine that pushes asks whom it must refuse.
const forgottenEvery = 5 * time.Second

// trackers are where this machine announces what it serves: at the servers that
// it was told of, which may be some of the fleet's or stand for all of them, and
// at those that hosts are told of. Each has to know it, since hosts announce to
// one; and whoever does can go on though every server is gone.
func trackers(ctx context.Context, c *api.Client) (tiers [][]string, err error) {
	for _, u := range c.Servers() {
		tiers = append(tiers, []string{u.JoinPath("announce").String()})
	}
	s, err := c.Situation(ctx)
	for _, t := range s.Trackers {
		tiers = append(tiers, []string{t})
	}
	return tiers, err
}
