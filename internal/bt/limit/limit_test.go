package limit

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"shoal/internal/schedule"
	"shoal/internal/topology"
)

func TestNames(t *testing.T) {
	m, err := topology.Parse([]byte(`
datacenters: [{name: fra, cidrs: [10.1.0.0/16]}, {name: iad, cidrs: [10.2.0.0/16]}, {name: sin, cidrs: [10.3.0.0/16]}]
links: [{between: [fra, iad], name: atlantic}]`))
	if err != nil {
		t.Fatal(err)
	}
	fra, iad, sin := topology.Place{Datacenter: "fra", Rack: "a"}, topology.Place{Datacenter: "iad"}, topology.Place{Datacenter: "sin"}
	for _, c := range []struct {
		own, peer topology.Place
		want      string
	}{
		{fra, topology.Place{Datacenter: "fra"}, "[up-local up]"},
		{fra, iad, "[up-link:atlantic up-wan up]"},
		{sin, fra, "[up-link:fra-sin up-wan up]"},
		{fra, topology.Place{}, "[up-wan up]"},
		{topology.Place{}, fra, "[up-wan up]"},
		{topology.Place{}, topology.Place{}, "[up-wan up]"},
	} {
		if got := fmt.Sprint(Names(Up, c.own, c.peer, m)); got != c.want {
			t.Errorf("%v to %v: %s, want %s", c.own, c.peer, got, c.want)
		}
	}
	if got := fmt.Sprint(Names(Down, fra, iad, nil)); got != "[down-link:fra-iad down-wan down]" {
		t.Errorf("without a file: %s", got)
	}
}

func TestAt(t *testing.T) {
	now := time.Date(2026, 1, 5, 12, 0, 0, 0, time.UTC)
	flat := schedule.Limit{Base: 100e6}
	began := func(ago time.Duration) Conditions { return Conditions{Ramp: 10 * time.Second, Began: now.Add(-ago)} }
	for _, c := range []struct {
		name string
		l    schedule.Limit
		c    Conditions
		want int64
	}{
		{"up", schedule.Limit{}, Conditions{}, 0},
		{"up", flat, Conditions{}, 100e6},
		{"up", flat, Conditions{Cap: 7e6}, 7e6},
		{"up", flat, Conditions{Cap: 200e6}, 100e6},
		{"down", schedule.Limit{}, Conditions{Cap: 7e6}, 7e6},
		{"up", flat, began(time.Second), 10e6},
		{"up", flat, began(time.Minute), 100e6},
		{"up-wan", flat, began(time.Second), 100e6},
		{"up-local", flat, Conditions{Cap: 1}, 100e6},
		{"down-link:x", flat, Conditions{Hosts: 4}, 25e6},
		{"down-link:x", flat, Conditions{}, 100e6},
		{"down-link:x", schedule.Limit{Base: 2}, Conditions{Hosts: 4}, 1},
		{"down-link:x", schedule.Limit{}, Conditions{Hosts: 4}, 0},
		{"up-link:x", flat, Conditions{Hosts: 4}, 100e6},
	} {
		n, err := ParseName(c.name)
		if err != nil {
			t.Fatal(err)
		}
		if got := At(n, c.l, c.c, now); got != c.want {
			t.Errorf("%s of %v with %+v is %d, want %d", c.name, c.l, c.c, got, c.want)
		}
	}
}

func TestPayload(t *testing.T) {
	for in, want := range map[int64]int64{0: 0, -1: 0, 1: 1, 102: 100, 51e6: 50e6} {
		if got := Payload(in); got != want {
			t.Errorf("Payload(%d) = %d, want %d", in, got, want)
		}
	}
	for _, added := range []float64{1.003, 1.017, 1.036, 1.046} { // of segments in one piece; see wire
		if off := float64(Payload(1e9))*added/1e9 - 1; off > 0.03 || off < -0.03 {
			t.Errorf("with %.1f %% of headers the wire carries %.1f %% more than asked", 100*(added-1), 100*off)
		}
	}
}

func TestParseChange(t *testing.T) {
	for _, s := range []string{"up=5MB/s", "down-wan=unlimited", "up-local=1GB/s", "down-link:sea-cable=5MB/s; daily 08:00-20:00 UTC 1MB/s"} {
		c, err := ParseChange(s)
		if err != nil || c.Name.String()+"="+c.Limit.String() != s {
			t.Errorf("ParseChange(%q) = %v=%v, %v", s, c.Name, c.Limit, err)
		}
	}
	for s, hint := range map[string]string{
		"up": "NAME=RATE", "sideways=1MB/s": "up-wan", "up-=1MB/s": "up-wan", "up-link:=1MB/s": "up-wan", "-wan=1B/s": "up-wan",
		"up-moon=1MB/s": "up-wan", "up=5": "5MB/s", "up=": "number",
	} {
		if c, err := ParseChange(s); err == nil || !strings.Contains(err.Error(), hint) {
			t.Errorf("ParseChange(%q) = %v, %v; want an error that says %q", s, c, err, hint)
		}
	}
}
