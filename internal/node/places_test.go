package node

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"shoal/internal/topology"
)

const twoPlaces = `
datacenters:
  - {name: fra1, region: eu, cidrs: [127.0.1.0/24], racks: [{name: r1, cidrs: [127.0.1.0/28]}]}
  - {name: iad1, region: us, cidrs: [127.0.2.0/24]}
`

func TestPlaceOfThisHost(t *testing.T) {
	file := filepath.Join(t.TempDir(), "topology.yaml")
	must(t, os.WriteFile(file, []byte(twoPlaces), 0o644))
	for _, c := range []struct {
		o      PlaceOptions
		listen string
		want   topology.Place
		err    string
	}{
		{PlaceOptions{}, "127.0.1.1", topology.Place{}, ""},
		{PlaceOptions{Datacenter: "x", Rack: "y"}, "127.0.1.1", topology.Place{Datacenter: "x", Rack: "y"}, ""},
		{PlaceOptions{TopologyFile: file}, "127.0.1.1", topology.Place{Region: "eu", Datacenter: "fra1", Rack: "r1"}, ""},
		{PlaceOptions{TopologyFile: file}, "127.0.1.99", topology.Place{Region: "eu", Datacenter: "fra1"}, ""},
		{PlaceOptions{TopologyFile: file}, "127.0.3.1", topology.Place{}, ""},
		{PlaceOptions{TopologyFile: file, Datacenter: "iad1"}, "127.0.1.1", topology.Place{Region: "us", Datacenter: "iad1"}, ""},
		{PlaceOptions{TopologyFile: file, Rack: "r9"}, "127.0.1.1", topology.Place{Region: "eu", Datacenter: "fra1", Rack: "r9"}, ""},
		{PlaceOptions{TopologyFile: file, Datacenter: "sin1"}, "127.0.1.1", topology.Place{}, `no data centre "sin1"`},
		{PlaceOptions{Datacenter: "a b"}, "127.0.1.1", topology.Place{}, "use letters"},
		{PlaceOptions{Datacenter: "a", Rack: "/"}, "127.0.1.1", topology.Place{}, "use letters"},
	} {
		got, err := c.o.places(netip.MustParseAddr(c.listen))
		if c.err != "" {
			var bad *ConfigError
			if !errors.As(err, &bad) || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%+v: error %v, want one with %q", c.o, err, c.err)
			}
			continue
		}
		if err != nil || got.Own() != c.want {
			t.Errorf("%+v at %s: %+v, %v, want %+v", c.o, c.listen, got, err, c.want)
		}
	}
}

func TestPlaceOfHostWithManyAddresses(t *testing.T) {
	m, err := topology.Parse([]byte(twoPlaces))
	must(t, err)
	addrs := func(texts ...string) (out []netip.Addr) {
		for _, s := range texts {
			out = append(out, netip.MustParseAddr(s))
		}
		return out
	}
	got, err := placeOfHost(m, addrs("172.17.0.1", "127.0.1.99", "127.0.1.1"))
	if err != nil || got.String() != "fra1/r1" {
		t.Errorf("a bridge and two addresses of one data centre: %v, %v", got, err)
	}
	if got, err := placeOfHost(m, addrs("127.0.1.1", "127.0.2.1")); err == nil || !strings.Contains(err.Error(), "--datacenter") {
		t.Errorf("two data centres: %v, %v", got, err)
	}
}

func TestPlaceOfPeer(t *testing.T) {
	m, err := topology.Parse([]byte(twoPlaces))
	must(t, err)
	known, blank := &places{file: m}, &places{}
	for _, c := range []struct {
		p    *places
		addr string
		said topology.Place
		want topology.Place
	}{
		{known, "127.0.1.1", topology.Place{}, topology.Place{Region: "eu", Datacenter: "fra1", Rack: "r1"}},
		{known, "127.0.1.1", topology.Place{Datacenter: "iad1"}, topology.Place{Region: "us", Datacenter: "iad1"}}, // it knows better
		{known, "127.0.1.1", topology.Place{Datacenter: "iad1", Rack: "a\nb"}, topology.Place{Region: "us", Datacenter: "iad1"}},
		{known, "127.0.1.1", topology.Place{Datacenter: "\x00", Rack: "r"}, topology.Place{Region: "eu", Datacenter: "fra1", Rack: "r1"}},
		{known, "127.0.1.1", topology.Place{Datacenter: "new", Region: "x"}, topology.Place{Datacenter: "new"}},
		{blank, "127.0.1.1", topology.Place{}, topology.Place{}},
		{blank, "127.0.1.1", topology.Place{Datacenter: "fra1"}, topology.Place{Datacenter: "fra1"}},
	} {
		if got := c.p.Of(netip.MustParseAddr(c.addr), c.said); got != c.want {
			t.Errorf("%s says %+v: %+v, want %+v", c.addr, c.said, got, c.want)
		}
	}
}
