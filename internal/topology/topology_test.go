package topology

import (
	"net/netip"
	"strings"
	"testing"
	"time"
)

const nine = `
datacenters:
  - name: fra1
    cidrs: [10.1.0.0/16, "fd00:1::/32"]
  - name: nyc-2
    cidrs:
      - 10.2.0.0/16
      - 10.3.128.0/17
  - name: lab
    cidrs: [127.0.2.0/24]
`

func TestLookup(t *testing.T) {
	m, err := Parse([]byte(nine))
	if err != nil {
		t.Fatal(err)
	}
	for addr, want := range map[string]string{
		"10.1.0.0": "fra1", "10.1.255.255": "fra1", "10.2.3.4": "nyc-2", "10.3.128.0": "nyc-2",
		"10.3.127.255": Unknown, "10.0.255.255": Unknown, "10.4.0.0": Unknown, "127.0.2.9": "lab", "::ffff:10.1.2.3": "fra1",
		"fd00:1::7": "fra1", "fd00:1:ffff::": "fra1", "fd00:2::": Unknown, "::1": Unknown, "255.255.255.255": Unknown,
		"0.0.0.0": Unknown, "fd00:1::7%eth0": "fra1",
	} {
		got, ok := m.Lookup(netip.MustParseAddr(addr))
		if got != want || ok != (want != Unknown) {
			t.Errorf("Lookup(%s) = %q, %v, want %q", addr, got, ok, want)
		}
	}
	if n := len(m.Datacenters()); n != 3 {
		t.Errorf("%d data centres, want 3", n)
	}
	var none *Map
	if got, ok := none.Lookup(netip.MustParseAddr("10.1.0.0")); ok || got != Unknown || none.Datacenters() != nil {
		t.Errorf("nil map: %q, %v", got, ok)
	}
	if got, ok := m.Lookup(netip.Addr{}); ok {
		t.Errorf("zero address lies in %q", got)
	}
}

func TestParseErrors(t *testing.T) {
	one := func(name, cidrs string) string {
		return "datacenters:\n  - name: " + name + "\n    cidrs: " + cidrs + "\n"
	}
	two := one("a", "[10.0.0.0/8]") + "  - {name: b, cidrs: [11.0.0.0/8]}\n"
	link := func(rest string) string { return two + "links:\n  - between: [a, b]\n    " + rest + "\n" }
	for _, c := range []struct{ in, want string }{
		{"", "no data centres"},
		{"datacenters: []", "no data centres"},
		{"datacentres: []", `line 1: the file has no key "datacentres"; its keys are datacenters, defaults, links`},
		{"[]", "line 1: the file is no mapping"},
		{one("a", "[10.0.0.0/8]") + "    area: eu\n", `line 4: a data centre has no key "area"; its keys are cidrs, name, networks, racks, region, uplink`},
		{one("a", "[10.0.0.0/8]") + "    name: b\n", `line 4: a data centre has the key "name" twice`},
		{one("a", "[10.0.0.0/8]") + "---\n" + one("b", "[11.0.0.0/8]"), "more than one YAML document"},
		{one(`""`, "[10.0.0.0/8]"), "line 2: data centre: name is missing"},
		{one("-a", "[10.0.0.0/8]"), "letter or digit first"},
		{one(`"a b"`, "[10.0.0.0/8]"), "use letters"},
		{one("Unknown", "[10.0.0.0/8]"), "taken"},
		{one("[a]", "[10.0.0.0/8]"), "line 2: data centre is no single value"},
		{one(strings.Repeat("x", 64), "[10.0.0.0/8]"), "longer than 63"},
		{"datacenters:\n  - cidrs: [10.0.0.0/8]", "line 2: data centre 1 has no name"},
		{one("a", "[]"), "line 2: data centre \"a\" has no cidrs"},
		{one("a", "10.0.0.0/8"), "line 3: cidrs is no list"},
		{one("a", "[10.0.0.1]"), "10.0.0.1/32 for one host"},
		{one("a", "[ten]"), "not a CIDR"},
		{one("a", "[10.0.0.0/33]"), "not a CIDR"},
		{one("a", "[10.1.2.3/16]"), "line 3: cidrs: \"10.1.2.3/16\" has bits set behind the prefix; did you mean 10.1.0.0/16"},
		{one("a", `["::ffff:10.0.0.0/104"]`), "IPv6 clothes"},
		{one("a", "[10.0.0.0/8, 10.1.0.0/16]"), `line 3: 10.1.0.0/16 of data centre "a" overlaps 10.0.0.0/8`},
		{one("a", "[10.0.0.0/8]") + "  - name: A\n    cidrs: [11.0.0.0/8]\n", `line 4: data centre "A" is listed twice, first in line 2`},
		{one("a", "[10.0.0.0/8, 12.0.0.0/8]") + "  - name: b\n    cidrs: [10.0.0.0/9, 10.200.0.0/16]\n",
			`line 5: 10.200.0.0/16 of data centre "b" overlaps 10.0.0.0/8 of data centre "a" in line 3`},
		{one("a", "[0.0.0.0/0]") + "  - name: b\n    cidrs: [9.9.9.9/32]\n", "overlaps 0.0.0.0/0"},
		{"datacenters: 7", "line 1: datacenters is no list"},
		{"datacenters: &a [*a]", "a data centre is no mapping"},
		{"\tx", "topology: "},
		{strings.Repeat("#", MaxBytes+1), "more than"},
		{one("a", "[10.0.0.0/8]") + "    uplink: 10\n", `line 4: uplink: rate "10": has no unit`},
		{one("a", "[10.0.0.0/8]") + "    region: e u\n", "line 4: region: name"},
		{one("a", "[10.0.0.0/8]") + "    racks: [{name: r}]\n", "line 4: a rack of data centre \"a\" has no name or no cidrs"},
		{one("a", "[10.0.0.0/8]") + "    racks: [{name: r, cidrs: [11.0.0.0/24]}]\n", "11.0.0.0/24 is in no CIDR of data centre \"a\""},
		{one("a", "[10.0.0.0/8]") + "    racks: [{name: r, cidrs: [10.0.0.0/24]}, {name: R, cidrs: [10.0.1.0/24]}]\n", "rack \"R\" is listed twice"},
		{one("a", "[10.0.0.0/8]") + "    racks: [{name: r, cidrs: [10.0.0.0/24]}, {name: s, cidrs: [10.0.0.0/25]}]\n", "overlaps"},
		{two + "links: [{capacity: 1GB/s}]", "line 5: a link without ends"},
		{two + "links: [{between: [a]}]", "names 1 data centres, not two"},
		{two + "links: [{between: [a, c]}]", `line 5: between: no data centre is called "c"; those of the file are a, b`},
		{two + "links: [{between: [a, a]}]", "to itself"},
		{two + "links: [{between: [a, b]}, {between: [b, a]}]", "have a link already"},
		{two + "links: [{between: [a, b], name: x}, {between: [a, b], name: X}]", "listed twice"},
		{link("speed: 1GB/s"), `line 7: a link has no key "speed"`},
		{link("capacity: 1Gb/s"), "line 7: capacity: rate \"1Gb/s\": unit"},
		{link("cost: -1"), "line 7: cost:"},
		{link("cost: NaN"), "line 7: cost:"},
		{link("budget: 20TB"), "line 7: budget \"20TB\": names no period"},
		{link("budget: 20T/month"), "line 7: size \"20T\": unknown unit"},
		{link("zone: Mars"), "line 7: zone: no time zone is called \"Mars\""},
		{link("schedule: [mon 08:00-25:00 1MB/s]"), "line 7: schedule: window"},
		{link("schedule: [1MB/s]"), "neither days nor a time"},
		{link("schedule: mon 1MB/s"), "line 7: schedule is no list"},
		{two + "defaults: {link: {between: [a, b]}}", "defaults of links has no key"},
		{two + "defaults: {host: fast}", "host: rate"},
	} {
		_, err := Parse([]byte(c.in))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("Parse(%.200q): error %v, want one with %q", c.in, err, c.want)
		}
	}
}

// TestParseTellsAll: an operator mends a file in one go.
func TestParseTellsAll(t *testing.T) {
	_, err := Parse([]byte("datacenters:\n  - name: a b\n    cidrs: [10.0.0.1]\n    colour: red\nlinks: [{between: [x, y]}]\n"))
	if err == nil || strings.Count(err.Error(), "topology: line") != 4 {
		t.Errorf("want four mistakes, one a line:\n%v", err)
	}
	_, err = Parse([]byte("datacenters: [" + strings.Repeat("{name: -}, ", 100) + "]"))
	if err == nil || strings.Count(err.Error(), "\n") >= maxErrors {
		t.Errorf("too many mistakes are told at once: %v", err)
	}
}

const world = `
defaults:
  zone: Europe/Berlin
  host: 10Gbit/s
  link: {capacity: 1Gbit/s, cost: 3, schedule: [mon-fri 08:00-18:00 10MB/s]}
datacenters:
  - name: fra1
    region: eu
    uplink: 40Gbit/s
    cidrs: [10.1.0.0/16]
    racks:
      - {name: r1, cidrs: [10.1.1.0/24]}
      - {name: r2, cidrs: [10.1.2.0/24, 10.1.3.0/24]}
  - {name: ams1, region: eu, cidrs: [10.2.0.0/16]}
  - {name: iad1, region: us, cidrs: [10.3.0.0/16]}
  - {name: sin1, cidrs: [10.4.0.0/16]}
links:
  - between: [iad1, fra1]
    name: atlantic
    capacity: 10Gbit/s
    limit: 400mbit
    schedule: [sat-sun UTC unlimited, "09:00-17:00 America/New_York 5MB/s"]
    budget: 20TB/month
    cost: 0.5
  - between: [fra1, ams1]
    cost: 1
`

func TestPlaces(t *testing.T) {
	m, err := Parse([]byte(world))
	if err != nil {
		t.Fatal(err)
	}
	for addr, want := range map[string]Place{
		"10.1.1.7": {"eu", "fra1", "r1"}, "10.1.3.7": {"eu", "fra1", "r2"}, "10.1.4.7": {"eu", "fra1", ""},
		"10.4.0.1": {"", "sin1", ""}, "10.5.0.1": {},
	} {
		if got := m.PlaceOf(netip.MustParseAddr(addr)); got != want {
			t.Errorf("PlaceOf(%s) = %+v, want %+v", addr, got, want)
		}
	}
	if got := m.Complete(Place{Datacenter: "iad1", Rack: "x"}); got != (Place{"us", "iad1", "x"}) {
		t.Errorf("Complete = %+v", got)
	}
	if got := m.Complete(Place{Datacenter: "nowhere"}); got != (Place{Datacenter: "nowhere"}) {
		t.Errorf("Complete of an unknown name = %+v", got)
	}
	if m.HostRate() != 1.25e9 || m.Datacenters()[0].Uplink != 5e9 || !m.Has("sin1") || m.Has("sin2") {
		t.Errorf("host %d, uplink %d", m.HostRate(), m.Datacenters()[0].Uplink)
	}
}

func TestBetween(t *testing.T) {
	r1, r2, plain := Place{"eu", "fra1", "r1"}, Place{"eu", "fra1", "r2"}, Place{"eu", "fra1", ""}
	for _, c := range []struct {
		a, b Place
		want Distance
	}{
		{r1, r1, SameRack}, {r1, r2, SameDatacenter}, {r1, plain, SameDatacenter}, {plain, plain, SameDatacenter},
		{r1, Place{"eu", "ams1", "r1"}, SameRegion}, {r1, Place{"us", "iad1", "r1"}, OtherRegion},
		{Place{}, Place{}, SameDatacenter}, {Place{}, r1, OtherRegion},
		{Place{Datacenter: "a"}, Place{Datacenter: "b"}, OtherRegion},
	} {
		if got := Between(c.a, c.b); got != c.want || Between(c.b, c.a) != c.want {
			t.Errorf("Between(%v, %v) = %v, want %v", c.a, c.b, got, c.want)
		}
		if got := Between(c.a, c.b); got.Local() != (c.a.Datacenter == c.b.Datacenter) {
			t.Errorf("%v is local: %v", got, got.Local())
		}
	}
}

func TestLink(t *testing.T) {
	m, err := Parse([]byte(world))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		a, b, name    string
		capacity      int64
		cost          float64
		limit, budget string
	}{
		{"fra1", "iad1", "atlantic", 1.25e9, 0.5,
			"50MB/s; sat-sun 00:00-24:00 UTC unlimited; daily 09:00-17:00 America/New_York 5MB/s", "20TB/month"},
		{"iad1", "fra1", "atlantic", 1.25e9, 0.5,
			"50MB/s; sat-sun 00:00-24:00 UTC unlimited; daily 09:00-17:00 America/New_York 5MB/s", "20TB/month"},
		{"ams1", "fra1", "fra1-ams1", 125e6, 1, "unlimited; mon-fri 08:00-18:00 Europe/Berlin 10MB/s", "none"},
		{"sin1", "iad1", "iad1-sin1", 125e6, 3, "unlimited; mon-fri 08:00-18:00 Europe/Berlin 10MB/s", "none"},
		{"sin1", "", "unknown-sin1", 125e6, 3, "unlimited; mon-fri 08:00-18:00 Europe/Berlin 10MB/s", "none"},
	} {
		l, ok := m.Link(c.a, c.b)
		if !ok || l.Name != c.name || l.Capacity != c.capacity || l.Cost != c.cost || l.Limit.String() != c.limit || l.Budget.String() != c.budget {
			t.Errorf("Link(%s, %s) = %+v (%s, %s), %v", c.a, c.b, l, l.Limit, l.Budget, ok)
		}
		if l.Other(c.a) != c.b || l.Other(c.b) != c.a {
			t.Errorf("%s: other end of %s is %s", c.name, c.a, l.Other(c.a))
		}
	}
	if _, ok := m.Link("fra1", "fra1"); ok {
		t.Error("a data centre has a link to itself")
	}
	var none *Map
	if l, ok := none.Link("b", "a"); !ok || l.Name != "a-b" || l.Cost != 1 || l.Limit.Limited() || none.Links() != nil || none.HostRate() != 0 {
		t.Errorf("without a file: %+v, %v", l, ok)
	}
}

func TestBudgetPeriod(t *testing.T) {
	now := time.Date(2026, 3, 1, 23, 30, 0, 0, time.FixedZone("", -2*3600)) // Monday 2026-03-02, 01:30 UTC
	for per, want := range map[string]string{"day": "2026-03-02", "week": "2026-03-02", "month": "2026-03-01"} {
		if got := (Budget{Per: per}).Period(now).Format(time.DateOnly); got != want {
			t.Errorf("%s begins %s, want %s", per, got, want)
		}
	}
	sunday := time.Date(2026, 3, 8, 12, 0, 0, 0, time.UTC)
	if got := (Budget{Per: "week"}).Period(sunday).Format(time.DateOnly); got != "2026-03-02" {
		t.Errorf("the week of a Sunday begins %s", got)
	}
}

// FuzzParse holds that nothing panics and that what is accepted answers lookups of its own CIDRs.
func FuzzParse(f *testing.F) {
	f.Add([]byte(nine))
	f.Add([]byte("datacenters:\n- {name: a, cidrs: [0.0.0.0/0, '::/0']}"))
	f.Add([]byte("a: &a [*a]"))
	f.Add([]byte(world))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := Parse(data)
		if err != nil {
			return
		}
		for i, dc := range m.Datacenters() {
			for _, p := range dc.CIDRs {
				if got := m.Index(p.Addr()); got != i {
					t.Errorf("%s is in data centre %d, want %d", p, got, i)
				}
			}
			for _, r := range dc.Racks {
				for _, p := range r.CIDRs {
					if got := m.PlaceOf(p.Addr()); got.Rack != r.Name || got.Datacenter != dc.Name {
						t.Errorf("%s is in %v, want %s/%s", p, got, dc.Name, r.Name)
					}
				}
			}
		}
		for _, l := range m.Links() {
			if got, ok := m.Link(l.B, l.A); !ok || got.Name != l.Name {
				t.Errorf("link %q is not found by its ends", l.Name)
			}
		}
	})
}

func TestNetworks(t *testing.T) {
	m, err := Parse([]byte(`
datacenters:
  - {name: a, cidrs: [10.1.0.0/16], networks: [{name: storage, cidrs: [10.8.0.0/16, "fd00::/16"]}, {name: near, cidrs: [10.1.7.0/24]}]}
  - {name: b, cidrs: [10.2.0.0/16], networks: [{name: storage, cidrs: [10.8.0.0/16]}]}
`))
	if err != nil {
		t.Fatal(err)
	}
	if nets := m.Networks("a"); len(nets) != 2 || nets[0].Name != "storage" || len(nets[0].CIDRs) != 2 || m.Networks("c") != nil || (*Map)(nil).Networks("a") != nil {
		t.Errorf("%+v", nets)
	}
	for _, c := range []struct {
		dc, net, addr string
		within, named bool
	}{
		{"a", "storage", "10.8.1.1", true, true},
		{"a", "storage", "10.1.7.1", false, true},
		{"b", "near", "10.1.7.1", false, false},
		{"", "storage", "10.8.1.1", false, false},
	} {
		if within, named := m.InNetwork(c.dc, c.net, netip.MustParseAddr(c.addr)); within != c.within || named != c.named {
			t.Errorf("%+v: %v, %v", c, within, named)
		}
	}
	if at := m.PlaceOf(netip.MustParseAddr("10.8.1.1")); at.Known() {
		t.Errorf("an address on a network of two data centres places a host in %v", at)
	}
	for text, want := range map[string]string{
		"  - {name: a, cidrs: [10.1.0.0/16], networks: [{name: x, cidrs: [10.8.0.0/16]}, {name: X, cidrs: [10.9.0.0/16]}]}":                  "listed twice",
		"  - {name: a, cidrs: [10.1.0.0/16], networks: [{name: x, cidrs: [10.8.0.0/16]}, {name: y, cidrs: [10.8.7.0/24]}]}":                  "both are networks",
		"  - {name: a, cidrs: [10.1.0.0/16], networks: [{name: x}]}":                                                                         "no cidrs",
		"  - {name: a, cidrs: [10.1.0.0/16], networks: [{name: a b, cidrs: [10.8.0.0/16]}]}":                                                 "use letters",
		"  - {name: a, cidrs: [10.1.0.0/16], networks: [{name: x, cidrs: [10.2.7.0/24]}]}\n  - {name: b, cidrs: [10.2.0.0/16]}":              "by which a host is in",
		"  - {name: a, cidrs: [10.1.0.0/16], networks: [{name: x, cidrs: [10.0.0.0/8]}]}\n  - {name: b, cidrs: [10.2.0.0/16, 192.0.2.0/24]}": "by which a host is in",
	} {
		if _, err := Parse([]byte("datacenters:\n" + text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}
