package cli

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"shoal/internal/node"
	"shoal/internal/quantity"
	"shoal/internal/simulate"
)

const simulateLong = `Predicts what a push costs before a byte moves: when the first, the median and
the last host have everything, how many copies enter each data centre, what
each link carries of its budget. It runs the real engine on every host, in a
network made from the topology file, in fake time and scaled down; the output
says how far.

--fail breaks something once the hosts together have a share of all bytes, and
tells what changes: link:NAME@50% (a name, or FROM-TO), datacenter:NAME@30%,
tracker@10%, source@60%. It stays broken unless +DURATION says how long:
link:fra1-sin1@50%+10m. The push is simulated without the failures first.

Limits with a schedule count as they are at --at, which is now unless given.`

const simulateExample = `  shoal simulate topology.yaml --size 100GB --hosts fra1=200,ams1=150
  shoal simulate topology.yaml --size 2TB --hosts fra1=40,sin1=40 --fail link:sea-cable@50% --fail tracker@10%
  shoal simulate topology.yaml --size 100GB --hosts fra1=20,ams1=20 --source sin1 --source-rate 1Gbit/s --json`

// simulateFlags are the flags of simulate as they were typed.
type simulateFlags struct {
	size, hosts, source  string
	sourceRate, hostRate string
	fail                 []string
	at                   string
	pieces               int
	latency              time.Duration
	seed                 uint64
}

func (s *shell) simulateCommand() *cobra.Command {
	var f simulateFlags
	cmd := &cobra.Command{
		Use:     "simulate TOPOLOGY --size SIZE --hosts DC=N,...",
		Short:   "Predict what a push costs: time, copies, bytes a link, and what failures do",
		Long:    simulateLong,
		Example: simulateExample,
		Args:    exactArgs(1, "one topology file"),
		RunE:    func(cmd *cobra.Command, args []string) error { return s.simulate(cmd.Context(), args[0], f) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.size, "size", "", "bytes of the release, with their unit: 100GB")
	flags.StringVar(&f.hosts, "hosts", "", "hosts of each data centre: fra1=200,ams1=150")
	flags.StringVar(&f.source, "source", "", "data centre of the source (default: the first of --hosts)")
	flags.StringVar(&f.sourceRate, "source-rate", "", "what the source's interface carries (default: as a host's)")
	flags.StringVar(&f.hostRate, "host-rate", "", "what a host's interface carries (default: defaults.host of the file)")
	flags.StringArrayVar(&f.fail, "fail", nil, "break something midway: link:NAME@50% (repeat; see above)")
	flags.StringVar(&f.at, "at", "", "time of the push, for limits with a schedule: 2026-01-02T03:00:00Z")
	flags.DurationVar(&f.latency, "latency", 0, "one way between data centres (default: 5ms inside of a region, 40ms between)")
	flags.IntVar(&f.pieces, "pieces", 0, "pieces to move in place of the release's: more is slower and closer (default: chosen)")
	flags.Uint64Var(&f.seed, "seed", 1, "of chance")
	for _, name := range []string{"size", "hosts"} {
		_ = cmd.MarkFlagRequired(name) // errs only for flags that do not exist
	}
	return cmd
}

func (s *shell) simulate(ctx context.Context, file string, f simulateFlags) error {
	o, err := f.options(file)
	if err != nil {
		return err
	}
	failures := o.Failures
	o.Failures = nil
	doc := simulationDoc{Event: "simulation", File: file, Size: o.Size}
	plain, err := s.runSimulation(ctx, o, "simulating")
	if err != nil {
		return err
	}
	doc.simulated = describeSimulation(plain)
	if len(failures) > 0 {
		o.Failures = failures
		broken, err := s.runSimulation(ctx, o, "simulating failures")
		if err != nil {
			return err
		}
		d := describeSimulation(broken)
		doc.WithFailures = &d
	}
	if s.json {
		s.print(doc)
		return nil
	}
	s.printf("%s", doc.text())
	return nil
}

// runSimulation shows how far it is; in thousandths, for a simulation has no bytes.
func (s *shell) runSimulation(ctx context.Context, o simulate.Options, state string) (*simulate.Result, error) {
	var have atomic.Int64
	o.Progress = func(share float64) { have.Store(int64(share * float64(o.Size))) }
	if s.screen.isTerminal() && !s.json {
		defer s.show(func() sample { return sample{State: state, Done: have.Load(), Total: o.Size, Peers: -1} })()
	}
	r, err := simulate.Run(ctx, o)
	var bad *simulate.OptionError
	if errors.As(err, &bad) {
		return nil, usagef("`shoal topology check` tells what the file says", "%v", bad)
	}
	return r, err
}

func (f simulateFlags) options(file string) (o simulate.Options, err error) {
	o = simulate.Options{Source: f.source, Now: time.Now(), Seed: f.seed, Scale: simulate.Scale{Pieces: f.pieces}}
	if o.Latency = f.latency; f.latency < 0 || f.latency > 10*time.Second {
		return o, usagef("", "--latency %s: want 0 to 10s", f.latency)
	}
	if f.pieces < 0 || f.pieces > 100_000 {
		return o, usagef("", "--pieces %d: want 1 to 100000", f.pieces)
	}
	if o.Size, err = parseSize(f.size); err != nil {
		return o, err
	}
	for _, r := range []struct {
		flag, text string
		to         *int64
	}{{"source-rate", f.sourceRate, &o.SourceRate}, {"host-rate", f.hostRate, &o.HostRate}} {
		if r.text == "" {
			continue
		}
		if *r.to, err = quantity.ParseRate(r.text); err != nil {
			return o, usagef("write for example 10Gbit/s", "--%s: %v", r.flag, err)
		}
	}
	if f.at != "" {
		if o.Now, err = time.Parse(time.RFC3339, f.at); err != nil {
			return o, usagef("write for example 2026-01-02T03:00:00Z", "--at %q is no time", f.at)
		}
	}
	if o.Sites, err = parseSites(f.hosts); err != nil {
		return o, err
	}
	for _, text := range f.fail {
		x, err := parseFailure(text)
		if err != nil {
			return o, err
		}
		o.Failures = append(o.Failures, x)
	}
	o.Topology, err = node.LoadTopology(file)
	return o, err
}

// parseSites reads "fra1=200,ams1=150".
func parseSites(text string) (out []simulate.Site, err error) {
	for part := range strings.SplitSeq(text, ",") {
		name, count, ok := strings.Cut(strings.TrimSpace(part), "=")
		n, err := strconv.Atoi(count)
		if !ok || err != nil {
			return nil, usagef("write for example --hosts fra1=200,ams1=150", "--hosts: %q is not DATACENTER=NUMBER", part)
		}
		out = append(out, simulate.Site{Name: name, Hosts: n})
	}
	return out, nil
}

// parseFailure reads "link:NAME@50%", "tracker@10%+5m".
func parseFailure(text string) (x simulate.Failure, err error) {
	bad := usagef("write for example link:fra1-sin1@50%, datacenter:fra1@30%+10m, tracker@10% or source@60%", "--fail %q is not understood", text)
	// Names hold no @, so the last one parts name and time.
	at := strings.LastIndexByte(text, '@')
	if at < 0 {
		return x, bad
	}
	what, when := text[:at], text[at+1:]
	share, long, lasts := strings.Cut(when, "+")
	x.What, x.Name, _ = strings.Cut(what, ":")
	number, percent := strings.CutSuffix(share, "%")
	p, err := strconv.ParseFloat(number, 64)
	if err != nil || !percent || !(p >= 0 && p < 100) {
		return x, bad
	}
	x.At = p / 100
	if lasts {
		if x.For, err = time.ParseDuration(long); err != nil || x.For <= 0 {
			return x, bad
		}
	}
	named := x.What == simulate.LinkFails || x.What == simulate.DatacenterFails
	if !named && x.What != simulate.TrackerFails && x.What != simulate.SourceFails || named != (x.Name != "") {
		return x, bad
	}
	return x, nil
}
