package node

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"shoal/internal/bt/metainfo"
	"shoal/internal/bt/multihome"
	"shoal/internal/bt/tracker"
	"shoal/internal/topology"
)

// On one machine: fra1 has a storage network beside the addresses that everybody is told, iad1 one of the same name.
const withNetworks = `
datacenters:
  - {name: fra1, cidrs: [127.0.1.0/24], networks: [{name: storage, cidrs: [127.0.5.0/24]}]}
  - {name: iad1, cidrs: [127.0.2.0/24], networks: [{name: storage, cidrs: [127.0.5.0/24]}]}
`

// lines is a log that tests can look into.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// homedAt is a process that listens at an address of its own, and at one on the storage network.
func homedAt(t *testing.T, ip, storage, file string, to events) (Options, *lines) {
	t.Helper()
	log := &lines{}
	o := quiet(freePort(t, ip, storage), to)
	o.Log = slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	o.Place = PlaceOptions{TopologyFile: file}
	if storage != "" {
		a, err := multihome.Parse("storage=" + storage)
		must(t, err)
		o.Place.Addresses = []multihome.Address{a}
	}
	return o, log
}

// freePort is HOST:PORT with a port that is free at both addresses.
func freePort(t *testing.T, ip, other string) string {
	t.Helper()
	for range 100 {
		a, err := net.Listen("tcp", ip+":0")
		must(t, err)
		at := a.Addr().(*net.TCPAddr).AddrPort()
		if other == "" {
			a.Close()
			return at.String()
		}
		b, err := net.Listen("tcp", fmt.Sprintf("%s:%d", other, at.Port()))
		a.Close()
		if err == nil {
			b.Close()
			return at.String()
		}
	}
	t.Fatal("no free port")
	return ""
}

// TestSeveralAddresses: hosts of one data centre with a network beside the one that everybody is told of take the
// content over it, from the seed that the tracker names and from each other; a host of another data centre, whose
// network of the same name is another one, and one that has only one address, get the address for everybody. The
// tracker shows all addresses and whether it reached them. No host is connected to another one twice.
func TestSeveralAddresses(t *testing.T) {
	file := filepath.Join(t.TempDir(), "topology.yaml")
	must(t, os.WriteFile(file, []byte(withNetworks), 0o644))
	ready := make(chan netip.AddrPort, 1)
	background(t, func(ctx context.Context) error {
		return Tracker(ctx, TrackerOptions{Options: tracker.Options{Listen: "127.0.0.1:0", ConnectBack: true}, TopologyFile: file, Ready: func(a netip.AddrPort) { ready <- a }})
	})
	r := newRelease(t, metainfo.V1)
	at := "http://" + (<-ready).String()
	r.meta.Announce = [][]string{{at + "/announce"}}
	must(t, os.WriteFile(r.file, r.meta.Encode(), 0o644))

	seeding := make(events, 100)
	o, seedLog := homedAt(t, "127.0.1.1", "127.0.5.1", file, seeding)
	background(t, NewSeed(SeedOptions{Options: o, Files: []string{r.file}, Content: ContentOptions{Dir: r.dir}}).Run)
	seed := seeding.wait(t, Serving).Addr
	storage := netip.AddrPortFrom(netip.MustParseAddr("127.0.5.1"), seed.Port())
	for _, c := range []struct{ ip, storage, from, to, never string }{
		{"127.0.1.2", "127.0.5.2", "127.0.5.2", "127.0.5.1", "127.0.1.1"},
		{"127.0.1.3", "", "127.0.1.3", "127.0.1.1", "127.0.5.1"},
		{"127.0.2.4", "127.0.5.4", "127.0.2.4", "127.0.1.1", "127.0.5.1"},
	} {
		getting := make(events, 100)
		o, log := homedAt(t, c.ip, c.storage, file, getting)
		dir := t.TempDir()
		background(t, NewGet(GetOptions{Options: o, Source: r.file, Content: ContentOptions{Dir: dir}, Seed: true}).Run)
		getting.wait(t, Complete)
		same(t, dir)
		// Whoever is first dials: the seed, too, as long as it knows nobody.
		met := func(at string) int {
			return len(regexp.MustCompile(`msg="peer connected" name=app peer=\S+ at=`+regexp.QuoteMeta(at)+":").FindAllString(log.String(), -1))
		}
		if to, never := met(c.to), met(c.never); to != 1 || never != 0 {
			t.Errorf("%s was connected to the seed at %s %d times, and at %s %d: %s", c.ip, c.to, to, c.never, never, log)
		}
		if want := " at=" + c.from + ":"; !strings.Contains(seedLog.String(), want) {
			t.Errorf("nobody came to the seed from %s: %s", c.from, seedLog)
		}
	}
	awaitHomes(t, at, seed.String(), storage.String())
	awaitPage(t, at+"/", "storage "+storage.String()+" (reached)")
	awaitPage(t, at+"/", "hosts with several addresses")
}

// awaitHomes waits until the tracker says that it reached both addresses of a host.
func awaitHomes(t *testing.T, tracker, plain, storage string) {
	t.Helper()
	type home struct {
		Peer      string
		Addresses []struct {
			Network, Address string
			State            string `json:"connect_back"`
		}
	}
	var doc struct {
		Swarms []struct{ Multihomed []home }
	}
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		resp, err := http.Get(tracker + "/ledger.json")
		must(t, err)
		err = json.NewDecoder(resp.Body).Decode(&doc)
		resp.Body.Close()
		must(t, err)
		for _, s := range doc.Swarms {
			for _, h := range s.Multihomed {
				if a := h.Addresses; h.Peer == plain && len(a) == 2 && a[0].State == "reached" && a[1].Network == "storage" && a[1].Address == storage && a[1].State == "reached" {
					return
				}
			}
		}
	}
	t.Errorf("the tracker never said that it reached %s at %s: %+v", plain, storage, doc)
}

// TestHomesOfThisHost: what the operator says goes before what interfaces and file say.
func TestHomesOfThisHost(t *testing.T) {
	m, err := topology.Parse([]byte(`
datacenters:
  - name: fra1
    cidrs: [10.1.0.0/16]
    networks: [{name: fast, cidrs: [10.9.0.0/16]}, {name: storage, cidrs: [10.8.0.0/16, "fd00:8::/32"]}]
`))
	must(t, err)
	end := netip.MustParseAddrPort
	found := []netip.AddrPort{end("10.1.0.5:6881"), end("[fd00:8::5]:6881"), end("10.8.0.5:6881"), end("10.9.0.5:6881"), end("172.17.0.1:6881")}
	given, err := homesOf([]multihome.Address{{Net: "x", At: end("10.7.0.5:1")}, {Net: "y", At: netip.AddrPortFrom(netip.MustParseAddr("10.6.0.5"), 0)}, {At: end("203.0.113.7:7001")}}, end("10.1.0.5:6881"))
	must(t, err)
	if len(given.claims) != 1 || given.claims[0] != end("203.0.113.7:7001") || len(given.found) != 0 {
		t.Errorf("%+v", given)
	}
	for _, c := range []struct {
		name, dc string
		homed    homed
		want     string
	}{
		{"by file, in its order", "fra1", homed{found: found}, "fra1~fast~10.9.0.5:6881~storage~[fd00:8::5]:6881~storage~10.8.0.5:6881"},
		{"another data centre", "iad1", homed{found: found}, "iad1"},
		{"place not known", "", homed{found: found}, ""},
		{"by flags", "fra1", given, "fra1~x~10.7.0.5:1~y~10.6.0.5:6881"},
	} {
		h := (&places{file: m, own: topology.Place{Datacenter: c.dc}, homed: c.homed}).announced()
		if got := string(h.Append(nil)); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
	if _, err := homesOf([]multihome.Address{{At: end("203.0.113.7:1")}, {At: end("203.0.113.8:1")}}, end("0.0.0.0:1")); err == nil {
		t.Error("two addresses for everybody are accepted")
	}
}
