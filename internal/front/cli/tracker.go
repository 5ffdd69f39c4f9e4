package cli

import (
	"context"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"shoal/internal/node"
)

const trackerLong = `Introduces the peers of swarms to each other, by HTTP and UDP on one port, over
IPv4 and IPv6. A page at / lists the swarms; /metrics and /healthz are for
monitoring.

Without --allow-dir the tracker is open: it serves every swarm it is asked
about. With it, only the metafiles found in that folder are served, and the
page offers them for download.

SIGHUP opens the --log file anew, after it was renamed. The flags of the old
tracker still work: --port, --dfile, --logfile.`

const trackerExample = `  shoal tracker --listen :6969 --state /var/lib/shoal/tracker
  shoal tracker --listen 10.0.0.1:6969 --allow-dir /srv/metafiles --log /var/log/shoal/tracker.log
  shoal tracker --port 8080 --dfile dstate --logfile tracker.log`

func (s *shell) trackerCommand() *cobra.Command {
	var o node.TrackerOptions
	var port string
	var proxies []string
	cmd := &cobra.Command{
		Use:     "tracker",
		Short:   "Introduce peers to each other (HTTP and UDP)",
		Long:    trackerLong,
		Example: trackerExample,
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if port != "" {
				o.Listen = ":" + strings.TrimPrefix(port, ":")
			}
			if o.Interval != 0 && (o.Interval < 10*time.Second || o.Interval > 24*time.Hour) {
				return usagef("", "--interval %v is not between 10s and 24h", o.Interval)
			}
			var err error
			if o.TrustedProxies, err = parseProxies(proxies); err != nil {
				return err
			}
			o.Log = s.log
			return s.tracker(cmd.Context(), o)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.Listen, "listen", ":6969", "address for HTTP and UDP, HOST:PORT or :PORT")
	flags.DurationVar(&o.Interval, "interval", 0, "how often peers shall announce, 10s to 24h (default 2m0s)")
	flags.StringVar(&o.StateFile, "state", "", "file from which swarms, peers and counts come back after a restart")
	flags.StringVar(&o.LogFile, "log", "", "file that gets one line a request")
	flags.StringVar(&o.AllowDir, "allow-dir", "", "serve only the metafiles in this folder")
	flags.StringSliceVar(&proxies, "trusted-proxy", nil, "address or CIDR whose X-Forwarded-For is believed (repeat, or comma)")
	flags.StringVar(&o.TopologyFile, "topology", "", "YAML file with the data centres, racks and links")
	flags.BoolVar(&o.FullScrape, "full-scrape", false, "answer a scrape that names no swarm with all of them")
	flags.BoolVar(&o.ConnectBack, "connect-back", true, "connect to peers that join, and show those that cannot be reached")
	flags.StringVar(&port, "port", "", "old spelling of --listen :PORT")
	flags.StringVar(&o.StateFile, "dfile", "", "old spelling of --state")
	flags.StringVar(&o.LogFile, "logfile", "", "old spelling of --log")
	for _, pair := range [][2]string{{"listen", "port"}, {"state", "dfile"}, {"log", "logfile"}} {
		cmd.MarkFlagsMutuallyExclusive(pair[0], pair[1])
	}
	return cmd
}

// parseProxies reads addresses and prefixes.
func parseProxies(texts []string) ([]netip.Prefix, error) {
	var out []netip.Prefix
	for _, text := range texts {
		if a, err := netip.ParseAddr(text); err == nil {
			out = append(out, netip.PrefixFrom(a, a.BitLen()))
			continue
		}
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, usagef("for example 10.0.0.1 or 10.0.0.0/24", "--trusted-proxy %q is neither an address nor a CIDR", text)
		}
		out = append(out, p.Masked())
	}
	return out, nil
}

func (s *shell) tracker(ctx context.Context, o node.TrackerOptions) error {
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	o.Reopen = hup
	o.Ready = func(addr netip.AddrPort) {
		if s.json {
			s.print(struct {
				Event string `json:"event"`
				Addr  string `json:"addr"`
			}{"listening", addr.String()})
			return
		}
		host := addr.Addr().String()
		if addr.Addr().IsUnspecified() {
			host = "" // of both families
		}
		s.printf("tracker listens on %s (announce URL: http://HOST:%d/announce)\n", net.JoinHostPort(host, strconv.Itoa(int(addr.Port()))), addr.Port())
	}
	return node.Tracker(ctx, o)
}
