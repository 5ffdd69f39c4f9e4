package peerstore

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"shoal/internal/bt/announce"
	"shoal/internal/bt/metainfo"
)

// TestSite is what a shoal peer is told of its data centre: who belongs to it, itself included, each host once.
func TestSite(t *testing.T) {
	s := New(options())
	ask := func(name byte, at string, dc int16, now uint32) announce.Site {
		a := who(name, at)
		a.Place, a.Shoal, a.Cross = dc, true, true
		return must(t, s, a, now).Site
	}
	want := func(got announce.Site, epoch int64, self string, members ...string) {
		t.Helper()
		var list []string
		for _, m := range got.Members() {
			list = append(list, m.String())
		}
		slices.Sort(list)
		if got.Epoch != epoch || got.Total != len(members) || got.Self.String() != self || !slices.Equal(list, members) {
			t.Errorf("got %d, %d, %v, %q; want %d, %q, %q", got.Epoch, got.Total, got.Self, list, epoch, self, members)
		}
	}
	want(ask('a', "10.0.0.1:1", 0, t0), t0, "10.0.0.1:1", "10.0.0.1:1")
	want(ask('b', "10.0.0.2:2", 1, t0), t0, "10.0.0.2:2", "10.0.0.2:2")
	want(ask('c', "10.0.0.3:3", 0, t0), t0, "10.0.0.3:3", "10.0.0.1:1") // not older than the second
	want(ask('c', "10.0.0.3:3", 0, t0+1), t0+1, "10.0.0.3:3", "10.0.0.1:1", "10.0.0.3:3")
	want(ask('a', "10.0.0.1:1", 0, t0+9), t0+1, "10.0.0.1:1", "10.0.0.1:1", "10.0.0.3:3") // nothing changed
	// Another face of a member is not another member, and knows it.
	want(ask('c', "[fd00::3]:3", 0, t0+10), t0+10, "10.0.0.3:3", "10.0.0.1:1", "10.0.0.3:3")
	want(ask('d', "[fd00::4]:4", 0, t0+12), t0+12, "[fd00::4]:4", "10.0.0.1:1", "10.0.0.3:3", "[fd00::4]:4")
	// Who moves to another place belongs there.
	want(ask('a', "10.0.0.1:1", 1, t0+20), t0+20, "10.0.0.1:1", "10.0.0.1:1", "10.0.0.2:2")
	// Nobody can connect to port 0: no member, and told of them.
	if got := ask('e', "10.0.0.5:0", 1, t0+30); got.Self.IsValid() || got.Total != 2 {
		t.Errorf("got %+v", got)
	}
	a := who('a', "10.0.0.1:1")
	a.Place, a.Shoal, a.Stopped = 1, true, true
	if got := must(t, s, a, t0+40).Site; got.Epoch != 0 {
		t.Errorf("one that leaves is told %+v", got)
	}
	want(ask('b', "10.0.0.2:2", 1, t0+41), t0+41, "10.0.0.2:2", "10.0.0.2:2")
}

// TestPlacesOfPeers: a shoal peer is told where those are that it is handed, others are not.
func TestPlacesOfPeers(t *testing.T) {
	o := options()
	o.Names = []string{"fra1", "iad1"}
	s := New(o)
	for i, at := range []string{"10.0.0.1:1", "10.0.0.2:1", "10.0.0.3:1", "[fd00::4]:1"} {
		a := who(byte(i), at)
		a.Place = int16(i)
		if i >= 2 {
			a.Place = int16(i - 3) // unknown, and fra1
		}
		must(t, s, a, t0)
	}
	a := who('x', "10.0.0.9:9")
	a.Place, a.Cross, a.Shoal = 1, true, true
	got := must(t, s, a, t0)
	located := got.Located()
	want := map[netip.Addr]string{netip.MustParseAddr("10.0.0.1"): "fra1", netip.MustParseAddr("10.0.0.2"): "iad1", netip.MustParseAddr("fd00::4"): "fra1"}
	for addr, dc := range want {
		if located[addr] != dc {
			t.Errorf("%v is in %q, want %q", addr, located[addr], dc)
		}
	}
	if len(got.V4) != 3*announce.Size4 || len(got.Site.At4) != 3 || len(got.Site.At6) != 1 || got.Site.DC != "iad1" {
		t.Errorf("got %+v", got)
	}
	a.Shoal = false
	if got := must(t, s, a, t0); len(got.Site.At4)+len(got.Site.Names) > 0 {
		t.Errorf("a stock client is told of places: %+v", got.Site)
	}
}

// TestManyMembers bounds the list, and keeps nearly all of it when members come.
func TestManyMembers(t *testing.T) {
	s := New(Options{Swarms: 10, SwarmPeers: 100_000, Peers: 100_000, Lifetime: 100})
	a := Announce{InfoHash: metainfo.InfoHash{1}, Place: 3, Shoal: true}
	list := func(n int, now uint32) []netip.AddrPort {
		var out announce.Response
		for i := range n {
			a.ID = [20]byte{byte(i), byte(i >> 8)}
			a.Ends[0] = netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 1)
			if err := s.Announce(&a, now+uint32(i/(n-1)), &out); err != nil {
				t.Fatal(err)
			}
		}
		m := out.Site.Members()
		if len(m) > announce.MaxMembers || len(m) < announce.MaxMembers*9/10 || out.Site.Total != n {
			t.Fatalf("%d of %d members, the answer says %d", len(m), n, out.Site.Total)
		}
		return m
	}
	before, after := list(5000, t0), list(5100, t0+10)
	kept := 0
	for _, m := range after {
		if slices.Contains(before, m) {
			kept++
		}
	}
	if kept < len(before)*95/100 {
		t.Errorf("%d of %d members stayed in the list when %d became %d", kept, len(before), 5000, 5100)
	}
}

// TestHandedOut: those that came first are not told to everybody, nor is the latest one.
func TestHandedOut(t *testing.T) {
	s := New(options())
	most, all := 0, map[string]int{}
	for i := range 200 {
		a := who(byte(i), fmt.Sprintf("10.0.%d.1:1", i))
		a.Want = 5
		for _, p := range peers(must(t, s, a, t0)) {
			all[p]++
			most = max(most, all[p])
		}
	}
	if most > 15 { // chance alone makes it some 25 of the first ones
		t.Errorf("one peer was handed out %d times, the mean is 5", most)
	}
}
