package peerstore

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"shoal/internal/bt/announce"
	"shoal/internal/bt/metainfo"
)

const t0 = 1_000_000

func options() Options {
	return Options{Swarms: 1000, SwarmPeers: 1000, Peers: 10_000, Lifetime: 100}
}

// who makes an announce of a leech at an address, with a peer id and key made of the name.
func who(name byte, at string) Announce {
	a := Announce{InfoHash: metainfo.InfoHash{1}, ID: [20]byte{'-', name}, Key: uint32(name), HasKey: true, Want: 50, Place: -1}
	a.Ends[0] = netip.MustParseAddrPort(at)
	a.V6 = a.Ends[0].Addr().Is6()
	return a
}

func must(t *testing.T, s *Store, a Announce, now uint32) announce.Response {
	t.Helper()
	var out announce.Response
	if err := s.Announce(&a, now, &out); err != nil {
		t.Fatal(err)
	}
	s.check(t)
	return out
}

func peers(r announce.Response) []string {
	out := []string{}
	for _, p := range r.Peers() {
		out = append(out, p.String())
	}
	slices.Sort(out)
	return out
}

func wantPeers(t *testing.T, r announce.Response, want ...string) {
	t.Helper()
	slices.Sort(want)
	if got := peers(r); !slices.Equal(got, want) {
		t.Errorf("got peers %q, want %q", got, want)
	}
}

// check holds what must always be true inside.
func (s *Store) check(t *testing.T) {
	t.Helper()
	total, swarms := 0, 0
	for i := range s.shard {
		for _, sw := range s.shard[i].swarms {
			swarms++
			total += sw.len()
			for _, tb := range []*table{&sw.v4, &sw.v6} {
				tb.check(t)
				tb.checkSites(t)
			}
		}
	}
	if got := s.Totals(); got != (Totals{swarms, total}) {
		t.Fatalf("totals are %+v, want %d swarms and %d peers", got, swarms, total)
	}
}

func (tb *table) check(t *testing.T) {
	t.Helper()
	var n Tally
	ids := 0
	for i := range tb.meta {
		m := &tb.meta[i]
		if got := tb.findEnd(tb.end(i)); got != i {
			t.Fatalf("endpoint of slot %d leads to %d", i, got)
		}
		owner := tb.findID(&m.id)
		if m.flags&stray == 0 {
			if ids++; owner != i {
				t.Fatalf("id of slot %d leads to %d", i, owner)
			}
		} else if owner == i {
			t.Fatalf("stray slot %d owns its id", i)
		}
		switch {
		case m.flags&twin != 0:
		case !tb.isSeed(i):
			n.Leeches++
		case m.flags&partial != 0:
			n.Partial++
		default:
			n.Seeds++
		}
	}
	if n != tb.tally || tb.byEnd.n != len(tb.meta) || tb.byID.n != ids || len(tb.ends) != tb.size*len(tb.meta) || len(tb.handed) != len(tb.meta) {
		t.Fatalf("tally %+v, want %+v; %d+%d indexed of %d, %d owning", tb.tally, n, tb.byEnd.n, tb.byID.n, len(tb.meta), ids)
	}
}

// checkSites holds that every peer stands once, in the site of its data centre and on its side of the border.
func (tb *table) checkSites(t *testing.T) {
	t.Helper()
	n := 0
	for i := range tb.sites {
		s, p := &tb.sites[i], &tb.places[i]
		toldOf := 0
		for at, slot := range s.Slots {
			m := &tb.meta[slot]
			if int(m.site) != i || int(m.at) != at || (at < s.Seeds) != tb.isSeed(int(slot)) {
				t.Fatalf("slot %d stands at %d of site %d (%d seeds) and says %d of %d", slot, at, i, s.Seeds, m.at, m.site)
			}
			if m.flags&told != 0 {
				toldOf++
			}
		}
		if toldOf != s.Told {
			t.Fatalf("site %d: %d peers are told of far seeds, want %d", i, s.Told, toldOf)
		}
		if n += len(s.Slots); tb.findSite(p.dc) != i {
			t.Fatalf("the data centre %d of site %d leads to %d", p.dc, i, tb.findSite(p.dc))
		}
	}
	if n != len(tb.meta) || len(tb.sites) != len(tb.places) {
		t.Fatalf("%d peers in %d sites, want %d", n, len(tb.sites), len(tb.meta))
	}
}

func TestAnnounce(t *testing.T) {
	s := New(options())
	a, b, c := who('a', "10.0.0.1:1"), who('b', "10.0.0.2:2"), who('c', "10.0.0.3:3")
	wantPeers(t, must(t, s, a, t0))
	wantPeers(t, must(t, s, b, t0), "10.0.0.1:1")
	c.Seed = true
	r := must(t, s, c, t0)
	wantPeers(t, r, "10.0.0.1:1", "10.0.0.2:2")
	if r.Seeds != 1 || r.Leeches != 2 {
		t.Errorf("counts %d/%d, want 1/2", r.Seeds, r.Leeches)
	}
	// A seed is not told of seeds, nor is a partial seed; a leech is told of all.
	b.Seed, b.Partial = true, true
	wantPeers(t, must(t, s, b, t0), "10.0.0.1:1")
	wantPeers(t, must(t, s, a, t0), "10.0.0.2:2", "10.0.0.3:3")
	if st, _ := s.Swarm(a.InfoHash); st.Tally != (Tally{Seeds: 1, Partial: 1, Leeches: 1}) {
		t.Errorf("tally %+v", st.Tally)
	}
	// numwant, also 0.
	a.Want = 1
	if got := peers(must(t, s, a, t0)); len(got) != 1 {
		t.Errorf("wanted 1, got %q", got)
	}
	a.Want = 0
	wantPeers(t, must(t, s, a, t0))
	// Who leaves is gone.
	c.Stopped, c.Want = true, 0
	if r := must(t, s, c, t0); r.Seeds != 0 || r.Leeches != 2 {
		t.Errorf("after leaving %d/%d, want 0/2", r.Seeds, r.Leeches)
	}
	// Another swarm knows nobody, and leaving an unknown one makes none.
	a.InfoHash, a.Want = metainfo.InfoHash{2}, 50
	wantPeers(t, must(t, s, a, t0))
	c.InfoHash = metainfo.InfoHash{3}
	must(t, s, c, t0)
	if n := s.Totals().Swarms; n != 2 {
		t.Errorf("%d swarms, want 2", n)
	}
	// Nobody can connect to port 0: told of others, not told to others.
	d := who('d', "10.0.0.4:0")
	wantPeers(t, must(t, s, d, t0), "10.0.0.1:1", "10.0.0.2:2")
}

// TestIdentity is the table of who may replace whom: endpoints belong to whoever asks from them, ids to the
// first that had them, and a key moves an id.
func TestIdentity(t *testing.T) {
	key := func(a Announce, k uint32) Announce { a.Key, a.HasKey = k, k != 0; return a }
	stop := func(a Announce) Announce { a.Stopped = true; return a }
	for _, c := range []struct {
		name string
		do   []Announce
		want []string
	}{
		{"moves with its key", []Announce{who('a', "10.0.0.1:1"), who('a', "10.0.0.9:9")}, []string{"10.0.0.9:9"}},
		{"another key cannot move it", []Announce{who('a', "10.0.0.1:1"), key(who('a', "10.0.0.9:9"), 7)}, []string{"10.0.0.1:1", "10.0.0.9:9"}},
		{"no key cannot move it", []Announce{who('a', "10.0.0.1:1"), key(who('a', "10.0.0.9:9"), 0)}, []string{"10.0.0.1:1", "10.0.0.9:9"}},
		{"restart with a new id", []Announce{who('a', "10.0.0.1:1"), who('b', "10.0.0.1:1")}, []string{"10.0.0.1:1"}},
		{"moves to where a dead one was", []Announce{who('a', "10.0.0.1:1"), who('b', "10.0.0.2:2"), who('a', "10.0.0.2:2")}, []string{"10.0.0.2:2"}},
		{"leaves from elsewhere with its key", []Announce{who('a', "10.0.0.1:1"), stop(who('a', "10.0.0.9:9"))}, []string{}},
		{"cannot be thrown out from elsewhere", []Announce{who('a', "10.0.0.1:1"), stop(key(who('a', "10.0.0.9:9"), 7))}, []string{"10.0.0.1:1"}},
		{"cannot be thrown out by a neighbour's key", []Announce{who('a', "10.0.0.1:1"), stop(key(who('a', "10.0.0.1:1"), 7))}, []string{"10.0.0.1:1"}},
		{"leaves without keys", []Announce{key(who('a', "10.0.0.1:1"), 0), stop(key(who('a', "10.0.0.1:1"), 0))}, []string{}},
		{"another id does not stop it", []Announce{who('a', "10.0.0.1:1"), stop(who('b', "10.0.0.1:1"))}, []string{"10.0.0.1:1"}},
		{"a stray gets its id when it is free", []Announce{who('a', "10.0.0.1:1"), key(who('a', "10.0.0.2:2"), 7), stop(who('a', "10.0.0.1:1")),
			key(who('a', "10.0.0.2:2"), 7), key(who('a', "10.0.0.3:3"), 7)}, []string{"10.0.0.3:3"}},
		{"a key once given stays", []Announce{who('a', "10.0.0.1:1"), key(who('a', "10.0.0.1:1"), 7), key(who('a', "10.0.0.9:9"), 7)}, []string{"10.0.0.1:1", "10.0.0.9:9"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := New(options())
			for _, a := range c.do {
				must(t, s, a, t0)
			}
			wantPeers(t, must(t, s, who('z', "10.9.9.9:0"), t0), c.want...)
		})
	}
}

func TestNeverTheAsker(t *testing.T) {
	s := New(options())
	must(t, s, who('a', "10.0.0.1:1"), t0)
	other := who('a', "10.0.0.2:2")
	other.Key = 99
	wantPeers(t, must(t, s, other, t0)) // same id
	must(t, s, who('c', "[fd00::1]:1"), t0)
	two := who('b', "10.0.0.1:1") // same endpoint, and both families
	two.Ends[1] = netip.MustParseAddrPort("[fd00::1]:1")
	two.Cross = true
	wantPeers(t, must(t, s, two, t0), "10.0.0.2:2")
}

// TestFamilies: a peer that announces over both families counts once, is found by both, and who asks over one
// is filled up with the other when that is allowed.
func TestFamilies(t *testing.T) {
	s := New(options())
	a4, a6 := who('a', "10.0.0.1:1"), who('a', "[fd00::1]:1")
	for _, a := range []Announce{a4, a6} {
		a.Seed, a.Completed = true, true
		must(t, s, a, t0)
	}
	st, _ := s.Swarm(a4.InfoHash)
	if st.Tally != (Tally{Seeds: 1}) || st.Completed != 1 {
		t.Errorf("one peer with two families: %+v", st)
	}
	a4.Downloaded, a6.Downloaded = 1000, 1000
	must(t, s, a4, t0+10)
	must(t, s, a6, t0+10)
	if st, _ := s.Swarm(a4.InfoHash); st.Down != 1000 || st.Leeches != 1 {
		t.Errorf("its bytes count once: %+v", st)
	}
	impostor := who('a', "[fd00::2]:1")
	impostor.Key = 99
	must(t, s, impostor, t0+10)
	if st, _ := s.Swarm(a4.InfoHash); st.Leeches != 2 {
		t.Errorf("same id, other key is another peer: %+v", st)
	}
	b := who('b', "10.0.0.2:2")
	wantPeers(t, must(t, s, b, t0+10), "10.0.0.1:1")
	b.Cross = true
	wantPeers(t, must(t, s, b, t0+10), "10.0.0.1:1", "[fd00::1]:1", "[fd00::2]:1")
	b.Want = 1
	wantPeers(t, must(t, s, b, t0+10), "10.0.0.1:1")
	// The IPv4 face leaves; the IPv6 one is counted then.
	a4.Stopped = true
	must(t, s, a4, t0+20)
	if st, _ := s.Swarm(a4.InfoHash); st.Leeches != 3 {
		t.Errorf("after one family left: %+v", st)
	}
	c := who('c', "10.0.0.7:7")
	c.Ends[1] = netip.MustParseAddrPort("[fd00::7]:7")
	must(t, s, c, t0+20)
	if st, _ := s.Swarm(a4.InfoHash); st.Leeches != 4 {
		t.Errorf("both at once: %+v", st)
	}
}

// TestBytes bounds liars: nobody moves more than a fast network card.
func TestBytes(t *testing.T) {
	s := New(options())
	a := who('a', "10.0.0.1:1")
	a.Downloaded = 1 << 60 // an old total is no news
	must(t, s, a, t0)
	a.Downloaded += 5000
	a.Uploaded = 70
	must(t, s, a, t0+10)
	a.Downloaded, a.Uploaded = 10, 100 // restarted, uploaded goes on
	must(t, s, a, t0+20)
	st, _ := s.Swarm(a.InfoHash)
	if st.Down != 5000 || st.Up != 100 {
		t.Errorf("down %d up %d, want 5000 and 100", st.Down, st.Up)
	}
	a.Downloaded = 1 << 62
	must(t, s, a, t0+29)
	if st, _ := s.Swarm(a.InfoHash); st.Down != 5000+10*maxRate {
		t.Errorf("a liar moved %d", st.Down-5000)
	}
	if got := addMoved(1<<62, 1<<62, 1<<62); got != 1<<63-1 {
		t.Errorf("sum overflows to %d", got)
	}
}

// TestCompleted is the table of what counts as a completed download.
func TestCompleted(t *testing.T) {
	leech := who('a', "10.0.0.1:1")
	seed, event, stop, partial := leech, leech, leech, leech
	seed.Seed = true
	event.Seed, event.Completed = true, true
	stop.Seed, stop.Stopped = true, true
	partial.Seed, partial.Partial = true, true
	lying := leech
	lying.Completed = true
	other := who('b', "10.0.0.1:1")
	other.Seed = true
	v6 := who('a', "[fd00::1]:1")
	v6seed := v6
	v6seed.Seed = true
	for name, c := range map[string]struct {
		do   []Announce
		want int64
	}{
		"seed from the start":        {[]Announce{seed, seed, stop}, 0},
		"the event":                  {[]Announce{leech, event}, 1},
		"the event again and again":  {[]Announce{leech, event, event, seed, leech, event}, 1},
		"the event of a stranger":    {[]Announce{event}, 1},
		"the event, but not all":     {[]Announce{leech, lying}, 0},
		"no event":                   {[]Announce{leech, seed}, 1},
		"leaves at once":             {[]Announce{leech, stop}, 1},
		"leaves after the event":     {[]Announce{leech, event, stop}, 1},
		"partial seed":               {[]Announce{leech, partial}, 0},
		"partial seed takes all":     {[]Announce{leech, partial, seed}, 1},
		"another client there":       {[]Announce{leech, other}, 0},
		"both families, both events": {[]Announce{leech, v6, event, v6seed}, 1},
		"leaves, never seen":         {[]Announce{stop}, 0},
	} {
		s := New(options())
		for _, a := range append([]Announce{who('z', "10.0.0.9:9")}, c.do...) {
			must(t, s, a, t0)
		}
		if st, _ := s.Swarm(leech.InfoHash); st.Completed != c.want {
			t.Errorf("%s: completed %d times, want %d", name, st.Completed, c.want)
		}
	}
}

func TestExpiry(t *testing.T) {
	s := New(options())
	for i := range 50 {
		a := who(byte(i), fmt.Sprintf("10.0.0.%d:1", i))
		a.Seed = i%3 == 0
		must(t, s, a, t0+uint32(i))
	}
	gone := who('x', "10.1.0.1:1")
	gone.InfoHash = metainfo.InfoHash{2}
	must(t, s, gone, t0)
	s.Sweep(t0 + 100 + 40)
	s.check(t)
	if n := s.Totals(); n != (Totals{1, 10}) {
		t.Errorf("after expiry %+v, want 1 swarm and 10 peers", n)
	}
	if r := must(t, s, who(45, "10.0.0.45:1"), t0+140); len(r.Peers()) != 9 {
		t.Errorf("got %q", peers(r))
	}
	// A swarm with a history stays when its peers are gone.
	a := who('a', "10.0.0.1:1")
	a.InfoHash, a.Seed, a.Completed = metainfo.InfoHash{3}, true, true
	must(t, s, a, t0+140)
	s.Sweep(t0 + 10_000)
	s.check(t)
	if st, ok := s.Swarm(a.InfoHash); !ok || st.Completed != 1 || s.Totals().Peers != 0 || s.Totals().Swarms != 1 {
		t.Errorf("kept %+v, %v; %+v", st, ok, s.Totals())
	}
}

// TestRandomWalk does everything to a few swarms at random and checks the insides and the peer lists against a
// plain model of endpoints.
func TestRandomWalk(t *testing.T) {
	s := New(options())
	rng := rand.New(rand.NewPCG(5, 6))
	now := uint32(t0)
	for range 2000 {
		ip := fmt.Sprintf("10.0.0.%d:1", rng.IntN(30))
		if rng.IntN(3) == 0 {
			ip = fmt.Sprintf("[fd00::%d]:1", rng.IntN(30))
		}
		a := who(byte(rng.IntN(20)), ip)
		a.Key = uint32(rng.IntN(3))
		a.HasKey = rng.IntN(4) > 0
		a.Seed = rng.IntN(2) == 0
		a.Partial = a.Seed && rng.IntN(4) == 0
		a.Completed = rng.IntN(4) == 0
		a.Stopped = rng.IntN(5) == 0
		a.Downloaded, a.Uploaded = rng.Int64N(1000), rng.Int64N(1000)
		a.Place = int16(rng.IntN(4) - 1)
		a.Shoal, a.Cross = rng.IntN(2) == 0, rng.IntN(2) == 0
		r := must(t, s, a, now)
		for _, p := range r.Peers() {
			if p == a.Ends[0] {
				t.Fatalf("%s got itself", p)
			}
		}
		now += uint32(rng.IntN(3))
		if rng.IntN(50) == 0 {
			s.Sweep(now)
			s.check(t)
		}
	}
}

func TestPlaces(t *testing.T) {
	s := New(options())
	for i, place := range []int16{0, 1, 1, -1, 7} {
		a := who(byte(i), fmt.Sprintf("10.0.0.%d:1", i+1))
		a.Place = place
		must(t, s, a, t0)
	}
	if got := s.All(2); len(got) != 1 || !slices.Equal(got[0].Places, []int{1, 2, 2}) {
		t.Errorf("got %+v", got)
	}
}
