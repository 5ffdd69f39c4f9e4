package simulate

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"shoal/internal/topology"
)

const three = `
defaults: {host: 1Gbit/s, link: {capacity: 100Mbit/s}}
datacenters:
  - {name: fra, region: eu, cidrs: [10.1.0.0/16], uplink: 400Mbit/s}
  - {name: ams, region: eu, cidrs: [10.2.0.0/16]}
  - {name: nyc, region: us, cidrs: [10.3.0.0/16]}
links:
  - between: [fra, nyc]
    name: sea
    capacity: 200Mbit/s
    limit: 50Mbit/s
    schedule: [04:00-05:00 UTC 10Mbit/s]
    budget: 10GB/day
`

func options(t *testing.T) Options {
	t.Helper()
	m, err := topology.Parse([]byte(three))
	if err != nil {
		t.Fatal(err)
	}
	return Options{
		Topology: m, Size: 1_000_000_000, Now: time.Date(2026, 11, 26, 3, 0, 0, 0, time.UTC), Seed: 1,
		Sites: []Site{{"fra", 3}, {"ams", 4}, {"nyc", 4}}, Scale: Scale{Pieces: 48, PieceLength: 16 << 10},
	}
}

// wide has links that carry more than the engine can waste: how well it does is for the engine's own tests.
func wide(t *testing.T) Options {
	t.Helper()
	o := options(t)
	m, err := topology.Parse([]byte(strings.NewReplacer("100Mbit", "1Gbit", "50Mbit", "900Mbit", "200Mbit", "2Gbit", "400Mbit", "4Gbit").Replace(three)))
	if err != nil {
		t.Fatal(err)
	}
	o.Topology = m
	return o
}

// TestRun: all is delivered, within what the lines carry, and the figures agree with each other.
func TestRun(t *testing.T) {
	var most float64
	o := wide(t)
	o.Progress = func(have float64) { most = max(most, have) }
	r, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v", r)
	if r.Done != 11 || r.Hosts != 11 || r.First < 8*time.Second || r.Last < r.Bound || r.Last > limitOver*r.Bound || most < 0.9 {
		t.Errorf("%d of %d hosts, first %v, last %v, bound %v, progress %v", r.Done, r.Hosts, r.First, r.Last, r.Bound, most)
	}
	into := map[string]int64{}
	for _, l := range r.Links {
		into[l.B] += l.AB
		into[l.A] += l.BA
		if carried := float64(max(l.AB, l.BA)); l.Rate > 0 && carried > float64(l.Rate)*r.Last.Seconds() {
			t.Errorf("link %s carries %v bytes in %v, its rate is %d", l.Name, carried, r.Last, l.Rate)
		}
	}
	for _, s := range r.Sites {
		copies := float64(into[s.Name]) / float64(o.Size)
		if s.Done != s.Hosts || s.Copies < copies-0.01 || s.Copies > copies+0.01 || s.Name != "fra" && s.Copies < 0.99 {
			t.Errorf("%+v, its links carry %.3f copies", s, copies)
		}
	}
	if r.SourceCopies < 0.99 || len(r.Notes) != 0 {
		t.Errorf("the source sends %v copies; notes %q", r.SourceCopies, r.Notes)
	}
}

// TestFailures: without the tracker, and with a link that comes back, all arrives; a site without a way in stays
// without.
func TestFailures(t *testing.T) {
	o := wide(t)
	o.Failures = []Failure{{What: TrackerFails, At: 0.1}, {What: LinkFails, Name: "nyc-fra", At: 0.3, For: 2 * time.Second}}
	r, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if r.Done != 11 || len(r.Broken) != 2 || r.Broken[1].Name != "nyc-fra" || r.Broken[1].Since <= r.Broken[0].Since {
		t.Errorf("%d hosts, broken %+v", r.Done, r.Broken)
	}
	o.Failures = []Failure{{What: DatacenterFails, Name: "nyc", At: 0}}
	if r, err = Run(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if r.Done != 7 || r.Sites[2].Done != 0 || r.Sites[2].Last != 0 {
		t.Errorf("%d hosts have everything, in nyc %+v", r.Done, r.Sites[2])
	}
	o.Failures = []Failure{{What: SourceFails, At: 0.05}} // what nobody has got by then, nobody gets
	if r, err = Run(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if r.Done != 0 || len(r.Broken) != 1 || r.Broken[0].Since <= 0 {
		t.Errorf("%d hosts have everything, broken %+v", r.Done, r.Broken)
	}
}

func TestStop(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	enough := errors.New("enough")
	o := wide(t)
	o.Progress = func(have float64) {
		if have > 0.1 {
			cancel(enough)
		}
	}
	if _, err := Run(ctx, o); !errors.Is(err, enough) {
		t.Errorf("error %v", err)
	}
}

func TestBound(t *testing.T) {
	for _, c := range []struct {
		change func(*Options)
		want   float64
	}{
		{nil, 1e9 / (6.25e6 + 12.5e6)}, // into nyc
		{func(o *Options) { o.SourceRate = 1e6 }, 1000},
		{func(o *Options) { o.HostRate = 2e6 }, 500},
		{func(o *Options) { o.Sites = o.Sites[:1] }, 8},
		{func(o *Options) { o.Sites, o.Source = o.Sites[1:2], "fra" }, 80},
		{func(o *Options) { o.Now = o.Now.Add(90 * time.Minute) }, 1e9 / (1.25e6 + 12.5e6)}, // the window holds
	} {
		o := options(t)
		if c.change != nil {
			c.change(&o)
		}
		if err := o.check(); err != nil {
			t.Fatal(err)
		}
		if got := o.bound().Seconds(); got < wire*c.want*0.999 || got > wire*c.want*1.001 {
			t.Errorf("bound %v, want %v", got, c.want)
		}
	}
}

func TestScale(t *testing.T) {
	o := options(t)
	if err := o.check(); err != nil {
		t.Fatal(err)
	}
	s := Scale{}.choose(&o, 600*time.Second)
	if s.Pieces != maxPieces || s.Time != 10 {
		t.Errorf("got %+v", s)
	}
	// 1 MB/s for 600 s is as much of the content in the small, in 60 s.
	if got, want := float64(s.rate(1e6))*60*wire, 0.6*float64(s.Pieces*s.PieceLength); got < want*0.99 || got > want*1.01 {
		t.Errorf("%v bytes, want %v", got, want)
	}
	if s.rate(0) != 0 || s.rate(1) < 1 || s.time(time.Second) != 10*time.Second {
		t.Error("no limit, the least rate or time is off")
	}
	// More hosts make do with fewer pieces and less time, but no line has to pass more
	// pieces in a second than it can be told of.
	for _, c := range []struct {
		hosts, pieces int
		time          float64
	}{{90, 1024, 18}, {460, 500, 38.4}, {2000, 320, 60}, {20_000, 320, 60}} {
		o.Sites = []Site{{"fra", c.hosts}}
		if s := (Scale{}).choose(&o, 600*time.Second); s.Pieces != c.pieces || s.Time != c.time {
			t.Errorf("%d hosts: %+v", c.hosts, s)
		}
	}
	if s := (Scale{}).choose(&o, time.Second); s.Time != 1 {
		t.Errorf("a short push: %+v", s)
	}
}

func TestRefuses(t *testing.T) {
	for want, change := range map[string]func(*Options){
		"are needed":         func(o *Options) { o.Size = 0 },
		`centre "x"`:         func(o *Options) { o.Sites[0].Name = "x" },
		"twice":              func(o *Options) { o.Sites[1].Name = "fra" },
		"want 1 to":          func(o *Options) { o.Sites[1].Hosts = 0 },
		"more than":          func(o *Options) { o.Sites[0].Hosts, o.Sites[1].Hosts = MaxHosts, 1 },
		"for the source":     func(o *Options) { o.Source = "y" },
		"failure at 100":     func(o *Options) { o.Failures = []Failure{{What: TrackerFails, At: 1}} },
		`is called "a-b"`:    func(o *Options) { o.Failures = []Failure{{What: LinkFails, Name: "a-b"}} },
		`data centre "moon"`: func(o *Options) { o.Failures = []Failure{{What: DatacenterFails, Name: "moon"}} },
	} {
		o := options(t)
		change(&o)
		var bad *OptionError
		if _, err := Run(t.Context(), o); !errors.As(err, &bad) || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
}

// TestNotes: what the file leaves open, and limits that change before the end.
func TestNotes(t *testing.T) {
	o := options(t)
	o.Topology, _ = topology.Parse([]byte("datacenters: [{name: fra, cidrs: [10.1.0.0/16]}, {name: ams, cidrs: [10.2.0.0/16]}]"))
	o.Sites = o.Sites[:2]
	if err := o.check(); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(o.notes(time.Minute), "\n"); !strings.Contains(got, "10 Gbit/s") || !strings.Contains(got, "neither a capacity nor a limit") {
		t.Errorf("notes %q", got)
	}
	o = options(t)
	if got := o.notes(2 * time.Hour); len(got) != 1 || !strings.Contains(got[0], "04:00") {
		t.Errorf("notes %q", got)
	}
}
