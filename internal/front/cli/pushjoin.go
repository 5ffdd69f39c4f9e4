package cli

import (
	"context"
	"fmt"
	"net/url"
	"os"

	"shoal"
	"shoal/internal/front/api"
	"shoal/internal/node"
	"shoal/internal/trust"
)

// joinToServe gets a certificate of the fleet for as long as this machine serves
// what it pushes, so that servers and hosts take it for one of theirs. The key
// lies in dir.
func joinToServe(ctx context.Context, c *api.Client, dir string, plain bool, o *node.Options) error {
	w, err := trust.OpenWallet(dir)
	if err != nil {
		return err
	}
	csr, err := w.Request()
	if err != nil {
		return err
	}
	host, err := os.Hostname()
	if err != nil || shoal.CheckHost(host) != nil {
		host = "pusher" // only for logs
	}
	made, err := c.Enroll(ctx, shoal.Enrollment{Host: host, CSR: csr})
	if err != nil {
		return fmt.Errorf("ask for a certificate to serve with: %w", err)
	}
	if err := w.Keep(made); err != nil {
		return err
	}
	if plain {
		o.TrackWith(w.Certificate, w.Authorities)
		return nil
	}
	return o.JoinFleet(w.Certificate, w.Authorities)
}

// trackersOf are the announce URLs of servers: whoever knows this machine from
// there can go on though every server is gone.
func trackersOf(servers []*url.URL) (tiers [][]string) {
	for _, u := range servers {
		tiers = append(tiers, []string{u.JoinPath("announce").String()})
	}
	return tiers
}
