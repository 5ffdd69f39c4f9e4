package tracker

import (
	"net/netip"
	"testing"

	"shoal/internal/bt/announce"
	"shoal/internal/bt/multihome"
	"shoal/internal/topology"
)

const networks = `
datacenters:
  - {name: fra1, cidrs: [10.1.0.0/16, 203.0.113.0/24], networks: [{name: storage, cidrs: [10.8.0.0/16]}]}
  - {name: iad1, cidrs: [10.2.0.0/16]}
`

// TestBelieve: what a tracker passes on of the addresses that a host claims.
func TestBelieve(t *testing.T) {
	m, err := topology.Parse([]byte(networks))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		t      *Tracker
		from   string
		dc     string // as it says
		claims string
		want   string // with its network; empty: not believed
	}{
		{"in the network", &Tracker{o: Options{Topology: m}}, "10.1.0.5", "", "storage=10.8.0.5:1", "storage=10.8.0.5:1"},
		{"outside of it", &Tracker{o: Options{Topology: m}}, "10.1.0.5", "", "storage=10.9.0.5:1", ""},
		{"outside of it, of the operator", &Tracker{o: Options{Topology: m, TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}}}, "10.1.0.5", "", "storage=10.9.0.5:1", ""},
		{"what it says of its place changes nothing", &Tracker{o: Options{Topology: m}}, "10.2.0.5", "fra1", "storage=192.0.2.5:1", ""},
		{"a network that the file does not name, private", &Tracker{o: Options{Topology: m}}, "10.1.0.5", "", "x=10.9.0.5:1", "x=10.9.0.5:1"},
		{"the same, of a public asker", &Tracker{o: Options{Topology: m}}, "203.0.113.5", "", "x=10.9.0.5:1", ""},
		{"a public address", &Tracker{}, "10.1.0.5", "", "x=198.51.100.5:1", ""},
		{"a public address, of a member", &Tracker{o: Options{Members: &Members{}}}, "10.1.0.5", "", "x=198.51.100.5:1", "x=198.51.100.5:1"},
		{"no file, place by the host", &Tracker{}, "10.1.0.5", "fra1", "x=10.9.0.5:1", "fra1/x=10.9.0.5:1"},
		{"no file, a stranger", &Tracker{}, "198.51.100.9", "", "x=10.9.0.5:22", ""},
	} {
		a, err := multihome.Parse(c.claims)
		if err != nil {
			t.Fatal(err)
		}
		from := netip.MustParseAddr(c.from)
		got := c.t.believe(from, int16(c.t.o.Topology.Index(from)), &multihome.Homes{DC: c.dc, Addresses: []multihome.Address{a}})
		if len(got) > 1 || len(got) == 1 && got[0].String() != c.want || len(got) == 0 && c.want != "" {
			t.Errorf("%s: %v, want %q", c.name, got, c.want)
		}
	}
}

// TestOuter: an address for everybody that is not the one that the tracker sees is believed within a data centre.
func TestOuter(t *testing.T) {
	m, err := topology.Parse([]byte(networks))
	if err != nil {
		t.Fatal(err)
	}
	at := netip.MustParseAddrPort
	for _, c := range []struct {
		name string
		t    *Tracker
		r    announce.Request
		from string
		want string
	}{
		{"inside of the site", &Tracker{o: Options{Topology: m}}, announce.Request{Port: 7001, IP: netip.MustParseAddr("203.0.113.7")}, "10.1.0.5", "203.0.113.7:7001"},
		{"with a port of its own", &Tracker{o: Options{Topology: m}}, announce.Request{Port: 1, V4: at("203.0.113.7:7001")}, "10.1.0.5", "203.0.113.7:7001"},
		{"of another data centre", &Tracker{o: Options{Topology: m}}, announce.Request{Port: 7001, IP: netip.MustParseAddr("203.0.113.7")}, "10.2.0.5", "10.2.0.5:7001"},
		{"nobody's address", &Tracker{o: Options{Topology: m}}, announce.Request{Port: 7001, IP: netip.MustParseAddr("192.0.2.7")}, "10.1.0.5", "10.1.0.5:7001"},
		{"no file", &Tracker{}, announce.Request{Port: 7001, IP: netip.MustParseAddr("203.0.113.7")}, "203.0.113.1", "203.0.113.1:7001"},
	} {
		if got := c.t.ends(netip.MustParseAddr(c.from), &c.r)[0]; got.String() != c.want {
			t.Errorf("%s: %v, want %s", c.name, got, c.want)
		}
	}
}
