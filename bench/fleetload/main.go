// Command fleetload joins many hosts to a control plane that was made for it, lets them watch as agents do, and tells
// what that costs the server and how long an order takes to reach all. docs/performance.md shows its use.
//
// Every host has a certificate, a TLS connection and a watch of its own, all in this one process. They do at once what
// they are ordered, and hold nothing. It speaks to no server but one on this host.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"time"

	"shoal/internal/front/api"
	"shoal/internal/trust"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "fleetload:", err)
		os.Exit(1)
	}
}

type options struct {
	server, token, ca string
	hosts, pid        int
	pushes            int
	quiet             time.Duration
	after, keep       string
}

func run(ctx context.Context, args []string, out io.Writer) error {
	var o options
	f := flag.NewFlagSet("fleetload", flag.ContinueOnError)
	f.StringVar(&o.server, "server", "https://127.0.0.1:7443", "URL of the server, on this host")
	f.StringVar(&o.token, "token-file", "admin.token", "file with an admin's token")
	f.StringVar(&o.ca, "ca", "", "pin of the fleet's authority, or a file with it")
	f.IntVar(&o.hosts, "hosts", 10_000, "how many")
	f.IntVar(&o.pid, "pid", 0, "process of the server, to read what it takes")
	f.DurationVar(&o.quiet, "quiet", 10*time.Second, "how long to watch it while nothing happens")
	f.IntVar(&o.pushes, "pushes", 3, "how many")
	f.StringVar(&o.after, "after", "", "file to wait for before anything is measured: joining takes long, a machine that is quiet may be dear")
	f.StringVar(&o.keep, "keep", "", "file that keeps the hosts' certificates for another run with the same server")
	if err := f.Parse(args); err != nil {
		return err
	}
	u, err := url.Parse(o.server)
	if err != nil {
		return err
	}
	if ip := net.ParseIP(u.Hostname()); ip == nil || !ip.IsLoopback() {
		return fmt.Errorf("%s is not an address of this host's own: this is a load for a server that was made for it", u.Hostname())
	}
	secret, err := os.ReadFile(o.token)
	if err != nil {
		return err
	}
	anchor, err := trust.ParseAnchor(o.ca)
	if err != nil {
		return err
	}
	admin, err := api.NewClient(api.ClientOptions{Servers: []string{o.server}, Token: strings.TrimSpace(string(secret)), Anchor: anchor})
	if err != nil {
		return err
	}
	defer admin.Close()
	l := &load{options: o, anchor: anchor, admin: admin, out: out}
	return l.run(ctx)
}
