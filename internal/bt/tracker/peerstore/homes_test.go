package peerstore

import (
	"net/netip"
	"reflect"
	"testing"

	"shoal/internal/bt/announce"
	"shoal/internal/bt/metainfo"
	"shoal/internal/bt/multihome"
)

func homesFor(text ...string) (out []multihome.Address) {
	for _, s := range text {
		a, err := multihome.Parse(s)
		if err != nil {
			panic(err)
		}
		out = append(out, a)
	}
	return out
}

// TestHomes: who is on a network with the asker is handed out with its address there, in the same data centre only;
// the plain list is the same for all.
func TestHomes(t *testing.T) {
	s := New(Options{Swarms: 1, SwarmPeers: 100, Peers: 100, Lifetime: 100, Names: []string{"fra1", "iad1"}})
	enter := func(n byte, at string, place int16, change func(*Announce), homes ...string) announce.Response {
		a := Announce{InfoHash: metainfo.InfoHash{1}, ID: [20]byte{n}, Ends: [2]netip.AddrPort{netip.MustParseAddrPort(at)}, Place: place,
			Shoal: true, Cross: true, Want: 50, Homes: homesFor(homes...)}
		a.V6 = a.Ends[0].Addr().Is6()
		if change != nil {
			change(&a)
		}
		var out announce.Response
		if err := s.Announce(&a, 1000, &out); err != nil {
			t.Fatal(err)
		}
		return out
	}
	enter(1, "203.0.113.1:1", 0, nil, "storage=10.0.0.1:1", "storage=[fd00::1]:1")
	enter(2, "203.0.113.2:1", 0, nil)
	enter(3, "198.51.100.3:1", 1, nil, "storage=10.0.0.3:1")
	enter(4, "[2001:db8::4]:1", 0, nil, "storage=10.0.0.4:4")
	stock := func(a *Announce) { a.Shoal = false }
	for _, c := range []struct {
		name   string
		place  int16
		change func(*Announce)
		homes  []string
		want   map[string]string
	}{
		{"on storage", 0, nil, []string{"storage=10.0.0.9:1"}, map[string]string{"203.0.113.1:1": "10.0.0.1:1", "[2001:db8::4]:1": "10.0.0.4:4"}},
		{"on storage, by IPv6", 0, nil, []string{"storage=[fd00::9]:1"}, map[string]string{"203.0.113.1:1": "[fd00::1]:1"}},
		{"on another network", 0, nil, []string{"mgmt=10.1.0.9:1"}, nil},
		{"in the other data centre", 1, nil, []string{"storage=10.0.0.9:1"}, map[string]string{"198.51.100.3:1": "10.0.0.3:1"}},
		{"with one address", 0, nil, nil, nil},
		{"a stock client", 0, stock, []string{"storage=10.0.0.9:1"}, nil},
	} {
		out := enter(9, "203.0.113.9:1", c.place, c.change, c.homes...)
		got := map[string]string{}
		for peer, via := range out.Site.Via.Resolve(out.V4, out.V6) {
			got[peer.String()] = via.String()
		}
		if len(got)+len(c.want) > 0 && !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
		if n := len(out.Peers()); n != 4 {
			t.Errorf("%s: %d peers", c.name, n)
		}
	}
	kept := func(want ...string) {
		t.Helper()
		var got []string
		for _, h := range s.Homed(metainfo.InfoHash{1}, 10) {
			got = append(got, h.At.String())
		}
		if !reflect.DeepEqual(got, want) || s.homed.Load() != int64(len(want)) {
			t.Errorf("kept are those of %v (%d counted), want %v", got, s.homed.Load(), want)
		}
	}
	kept("198.51.100.3:1", "203.0.113.1:1", "203.0.113.9:1", "[2001:db8::4]:1")
	enter(9, "203.0.113.9:1", 0, nil)                                    // it has one address now
	enter(1, "203.0.113.1:1", 0, func(a *Announce) { a.Stopped = true }) // it leaves
	enter(5, "198.51.100.3:1", 1, nil, "mgmt=10.2.0.5:1")                // another client was started there
	keyed := func(a *Announce) { a.Key, a.HasKey = 7, true }
	enter(6, "203.0.113.6:1", 0, keyed, "storage=10.0.0.6:1")
	enter(6, "203.0.113.66:1", 0, keyed, "storage=10.0.0.6:1") // it moves
	kept("198.51.100.3:1", "203.0.113.66:1", "[2001:db8::4]:1")
	if got := s.Homed(metainfo.InfoHash{1}, 1); len(got) != 1 || got[0].Homes[0].Net != "mgmt" {
		t.Errorf("%+v", got)
	}
	s.Sweep(5000)
	kept()
}
