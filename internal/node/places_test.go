package node

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"shoal/internal/bt/announce"
	"shoal/internal/bt/metainfo"
	"shoal/internal/bt/tracker"
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
		got, err := c.o.places(netip.AddrPortFrom(netip.MustParseAddr(c.listen), 1))
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

// TestPlaceByTracker: flags and the file go before what a tracker says, and nonsense changes nothing.
func TestPlaceByTracker(t *testing.T) {
	file := filepath.Join(t.TempDir(), "topology.yaml")
	must(t, os.WriteFile(file, []byte(twoPlaces), 0o644))
	at := netip.MustParseAddr
	for _, c := range []struct {
		o    PlaceOptions
		dc   string
		want topology.Place
	}{
		{PlaceOptions{}, "sin1", topology.Place{Datacenter: "sin1"}},
		{PlaceOptions{Rack: "a7"}, "sin1", topology.Place{Datacenter: "sin1", Rack: "a7"}},
		{PlaceOptions{}, "", topology.Place{}},
		{PlaceOptions{}, "unknown", topology.Place{}},
		{PlaceOptions{}, "a b", topology.Place{}},
		{PlaceOptions{Datacenter: "x"}, "sin1", topology.Place{Datacenter: "x"}},
		{PlaceOptions{TopologyFile: file}, "iad1", topology.Place{Region: "us", Datacenter: "iad1"}},
	} {
		p, err := c.o.places(netip.MustParseAddrPort("127.0.9.9:1"))
		must(t, err)
		before := p.Own()
		own, moved := p.learn(&announce.Response{Site: announce.Site{DC: c.dc, Epoch: 1}})
		if own != c.want || p.Own() != c.want || moved != (before != c.want) {
			t.Errorf("%+v told of %q: %+v (moved %v), want %+v", c.o, c.dc, own, moved, c.want)
		}
	}
	p, err := PlaceOptions{TopologyFile: file}.places(netip.MustParseAddrPort("127.0.1.1:1"))
	must(t, err)
	r := announce.Response{Site: announce.Site{DC: "iad1", Epoch: 1, V4: []byte{127, 0, 9, 1, 0, 1}}}
	for addr, dc := range map[string]string{"127.0.9.2:1": "fra1", "127.0.9.3:1": "\x00", "127.0.2.7:1": "fra1"} {
		r.Add(netip.MustParseAddrPort(addr))
		r.Site.Place(&r.Site.At4, dc)
	}
	if own, moved := p.learn(&r); moved || own.Datacenter != "fra1" {
		t.Errorf("a tracker moved a host that knows where it is to %v", own)
	}
	for addr, want := range map[string]topology.Place{
		"127.0.9.1": {Region: "us", Datacenter: "iad1"}, // a member of the tracker's list
		"127.0.9.2": {Region: "eu", Datacenter: "fra1"},
		"127.0.9.3": {},
		"127.0.2.7": {Region: "us", Datacenter: "iad1"}, // the file knows better
	} {
		if got := p.Of(at(addr), topology.Place{}); got != want {
			t.Errorf("%s: %+v, want %+v", addr, got, want)
		}
	}
}

// TestOnlyTheTrackerHasTheFile: hosts without flags and without a file learn from the tracker where they and the
// others are, and their ledgers show it.
func TestOnlyTheTrackerHasTheFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "topology.yaml")
	must(t, os.WriteFile(file, []byte(twoPlaces), 0o644))
	ready := make(chan netip.AddrPort, 1)
	background(t, func(ctx context.Context) error {
		return Tracker(ctx, TrackerOptions{Options: tracker.Options{Listen: "127.0.0.1:0"}, TopologyFile: file, Ready: func(a netip.AddrPort) { ready <- a }})
	})
	r := newRelease(t, metainfo.Hybrid)
	at := "http://" + (<-ready).String()
	r.meta.Announce = [][]string{{at + "/announce"}}
	must(t, os.WriteFile(r.file, r.meta.Encode(), 0o644))

	seeding, getting := make(events, 100), make(events, 100)
	seed := NewSeed(SeedOptions{Options: quiet("127.0.1.1:0", seeding), Files: []string{r.file}, Content: ContentOptions{Dir: r.dir}})
	stop := background(t, seed.Run)
	seeding.wait(t, Serving)
	dir := t.TempDir()
	background(t, NewGet(GetOptions{Options: quiet("127.0.2.1:0", getting), Source: r.file, Content: ContentOptions{Dir: dir}, Seed: true}).Run)
	done := getting.wait(t, Complete)
	same(t, dir)
	if want := []Moved{{Datacenter: "fra1", Received: r.meta.Info.ContentLength()}}; !slices.Equal(done.Moved, want) {
		t.Errorf("moved %+v, want %+v", done.Moved, want)
	}
	p := done.share.p
	if got := p.places.Own(); got != (topology.Place{Datacenter: "iad1"}) {
		t.Errorf("the host takes itself to be in %v", got)
	}
	p.account(time.Now())
	by, links := p.ledger.figures()
	stop() // the seed says goodbye, with what it has sent
	awaitPage(t, at+"/ledger.json", `"link":"fra1-iad1","from":"fra1","to":"iad1","bytes":`+strconv.FormatInt(r.meta.Info.ContentLength(), 10))
	awaitPage(t, at+"/metrics", `shoal_tracker_flow_bytes{from="fra1",swarm="`+r.meta.Info.Swarms()[0].String()+`",to="iad1"}`)
	awaitPage(t, at+"/", "fra1 to iad1")
	if want := r.meta.Info.ContentLength(); by["fra1"].Down != want || links["fra1-iad1"].Down != want {
		t.Errorf("by data centre %v, by link %v; want all %d bytes from fra1", by, links, want)
	}
}

// awaitPage waits until a page of a tracker holds a text.
func awaitPage(t *testing.T, url, text string) {
	t.Helper()
	var body []byte
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		resp, err := http.Get(url)
		must(t, err)
		body, err = io.ReadAll(resp.Body)
		resp.Body.Close()
		must(t, err)
		if strings.Contains(string(body), text) {
			return
		}
	}
	t.Errorf("%s never held %q: %.2000s", url, text, body)
}

// TestWayByTracker: the file knows what ways cost; without one it is what trackers say, and who is not named counts as far.
func TestWayByTracker(t *testing.T) {
	m, err := topology.Parse([]byte(twoPlaces + "links:\n  - {between: [fra1, iad1], cost: 5}\n"))
	must(t, err)
	answer := announce.Response{Site: announce.Site{DC: "ams1", Epoch: 1, Names: []string{"fra1", "iad1"}}}
	answer.Site.SetWays(func(a, b string) byte { return map[string]byte{"fra1iad1": 2, "fra1ams1": 0, "iad1ams1": 1}[a+b] })
	with, err := PlaceOptions{}.places(netip.AddrPort{})
	must(t, err)
	with.learn(&answer)
	for _, c := range []struct {
		p    *places
		a, b string
		want float64
	}{
		{&places{file: m}, "fra1", "iad1", 5},
		{&places{file: m}, "fra1", "new1", 1},
		{with, "fra1", "ams1", 0},
		{with, "ams1", "iad1", 1},
		{with, "fra1", "iad1", 2},
		{with, "iad1", "fra1", 2},
		{with, "iad1", "new1", 255},
	} {
		if got := c.p.Way(topology.Place{Datacenter: c.a}, topology.Place{Datacenter: c.b}); got.Cost != c.want {
			t.Errorf("%s to %s: %v, want %v", c.a, c.b, got.Cost, c.want)
		}
	}
}
