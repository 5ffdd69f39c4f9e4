// Command trackerload announces to a BitTorrent tracker over UDP or HTTP, as fast as it is answered or at a given
// rate, and tells how many announces were answered and how long the answers took. docs/tracker.md shows its use.
//
// It is bounded in time and count, and speaks to no host but this one, or to private addresses from inside of a
// network namespace made for tests, unless it is forced: a load generator aimed at a tracker in use is an attack.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/signal"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "trackerload:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	o, mode, err := parse(args)
	if err != nil {
		return err
	}
	if mode.hashes {
		return printHashes(out, o.swarms)
	}
	if err := permit(o.target.Addr(), mode.force, ownNamespace); err != nil {
		return err
	}
	r, err := load(ctx, o)
	if err != nil {
		return err
	}
	if mode.json {
		return json.NewEncoder(out).Encode(r)
	}
	_, err = fmt.Fprintln(out, r)
	return err
}

// mode is what the flags say besides the load itself.
type mode struct {
	force, json, hashes bool
}

func parse(args []string) (o options, m mode, err error) {
	f := flag.NewFlagSet("trackerload", flag.ContinueOnError)
	target := f.String("target", "127.0.0.1:6969", "the tracker, ADDRESS:PORT")
	f.StringVar(&o.proto, "proto", "udp", "udp, http (one connection for many announces) or http-close (one for each)")
	f.DurationVar(&o.duration, "duration", 10*time.Second, "stop after this time, at most 10m")
	f.Int64Var(&o.count, "count", 0, "stop after so many announces; 0: by the time alone")
	f.Float64Var(&o.rate, "rate", 0, "announces a second, sent by the clock whatever is answered; 0: as fast as answers come")
	f.IntVar(&o.conns, "conns", 16, "sockets or connections, at most 4096")
	f.IntVar(&o.window, "window", 32, "udp without -rate: announces of a socket that wait for an answer, at most 4096")
	f.IntVar(&o.swarms, "swarms", 1000, "swarms to announce to")
	f.IntVar(&o.peers, "peers", 1_000_000, "peers in all; in each swarm one a port, so at most 64000 a swarm")
	f.IntVar(&o.numwant, "numwant", 50, "peers to ask for")
	f.BoolVar(&m.force, "force", false, "load a tracker on another host or outside of a test namespace")
	f.BoolVar(&m.json, "json", false, "print one JSON document")
	f.BoolVar(&m.hashes, "print-hashes", false, "print the info-hashes of the swarms, for the whitelist of a tracker, and end")
	if err := f.Parse(args); err != nil {
		return o, m, err
	}
	if f.NArg() > 0 {
		return o, m, fmt.Errorf("argument %q is none; all are flags", f.Arg(0))
	}
	if o.target, err = netip.ParseAddrPort(*target); err != nil {
		return o, m, fmt.Errorf("-target %q is not ADDRESS:PORT; names are not looked up", *target)
	}
	if m.hashes {
		o.peers = o.swarms
	}
	return o, m, o.check()
}

func printHashes(out io.Writer, swarms int) error {
	w := bufio.NewWriter(out)
	for i := range swarms {
		fmt.Fprintln(w, hashOf(i)) // the error comes with Flush
	}
	return w.Flush()
}
