package swarm

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"shoal/internal/bt/bitfield"
	"shoal/internal/bt/metainfo"
	"shoal/internal/bt/swarm/owner"
	"shoal/internal/bt/wire"
	"shoal/internal/topology"
)

// still is a state that no loop runs.
func still(t *testing.T, pieces int) *state {
	t.Helper()
	r := newRelease(t, pieces*stockUnit, stockUnit)
	tor, err := New(Options{Info: r.info, Hashes: r.hashes, Store: memory{b: r.content}, Have: bitfield.New(pieces), PeerID: [20]byte([]byte("-SH0001-xxxxxxxxxxxx"))})
	if err != nil {
		t.Fatal(err)
	}
	return newState(tor, t.Context(), nil)
}

// abroad is a state of 64 pieces that knows two other sites, of which one has all.
func abroad(t *testing.T) (s *state, there, whole *site) {
	t.Helper()
	s = still(t, 64)
	s.conn.place.Datacenter = "here"
	there = &site{Site: owner.Site{Key: owner.SiteKey("there")}, has: make([]uint16, 64)}
	whole = &site{Site: owner.Site{Key: owner.SiteKey("source")}, has: make([]uint16, 64), wholes: 1}
	s.imports.sites = map[string]*site{"source": whole, "there": there}
	return s, there, whole
}

func (s *state) meet(t *testing.T) *peer {
	t.Helper()
	ours, theirs := net.Pipe()
	t.Cleanup(func() { ours.Close(); theirs.Close() })
	p := s.newPeer(connected{nc: ours, hs: wire.NewHandshake([20]byte{}, [20]byte([]byte("-SH0001-yyyyyyyyyyyy")), wire.CapExtended)})
	s.peers[p] = struct{}{}
	return p
}

// TestTakesFirst: who is to take a piece first is waited for, unless it does not
// keep up.
func TestTakesFirst(t *testing.T) {
	s, there, _ := abroad(t)
	piece := uint32(0)
	for owner.Rank(owner.SiteKey("here"), []owner.Key{there.Key}, piece) == 0 {
		piece++
	}
	for i := range 40 {
		s.have.Set(i)
	}
	for _, c := range []struct {
		name   string
		level  int
		got    int
		silent time.Duration
		want   bool
	}{
		{"we have something else", 0, 38, time.Hour, false},
		{"it keeps up", 5, 38, turnAside / 2, false},
		{"it has got nothing for long", 1, 38, 2 * turnAside, true},
		{"it is behind", 1, 28, 0, true},
		{"it is behind, we have something else", 0, 28, 0, false},
		{"it is far behind, we have something else", 0, 20, 0, true},
	} {
		s.imports.level, there.got, there.gained = c.level, c.got, s.now.Add(-c.silent)
		s.judgeSites()
		s.rankSites()
		if _, before := s.turn(piece); (before == 0) != c.want {
			t.Errorf("%s: want %v", c.name, c.want)
		}
	}
	there.tell(piece, 2, s.now)
	there.tell(piece, -1, s.now)
	if _, before := s.turn(piece); there.got != 21 || before > 0 {
		t.Errorf("a piece that two sites have need not be waited for; got %d", there.got)
	}
	if there.tell(piece, -1, s.now); there.got != 20 {
		t.Errorf("nobody has it any more: got %d", there.got)
	}
}

// TestHandsTurnsOn: a site that has the turn with no piece takes those with which it
// is second; and who has everything is spared while many pieces are nowhere else.
func TestHandsTurnsOn(t *testing.T) {
	s, there, whole := abroad(t)
	s.review()
	judge := func(what string, rare, spare bool) {
		t.Helper()
		if s.judgeTurns() {
			s.review()
		}
		if s.imports.rare != rare || s.imports.spare != spare || whole.Spared != rare {
			t.Errorf("%s: rare %v, spared %v, spare %v; want %v, %v, %v",
				what, s.imports.rare, whole.Spared, s.imports.spare, rare, rare, spare)
		}
	}
	var second []uint32 // with which there is first
	judge("at the start", true, false)
	for i := range uint32(64) {
		if _, before := s.turn(i); before > 0 {
			second = append(second, i)
		} else {
			s.take(i) // under way to us
		}
	}
	judge("under way, but not idle yet", true, false)
	if s.imports.pick.Open(second[0]) {
		t.Error("a piece is taken before its turn")
	}
	s.imports.idle = s.now
	judge("idle", true, true)
	if !s.imports.pick.Open(second[0]) {
		t.Error("an idle site does not take a piece with which it is second")
	}
	for _, i := range second[1:] {
		there.tell(i, 1, s.now)
	}
	judge("all but one are for us to take now, and little is left for its link to carry", false, false)
	there.tell(second[0], 1, s.now)
	judge("nothing is only there", false, false)
}

// TestAsksForTheNext: what a peer was given behind a piece that is taken back from it
// is asked for all the same.
func TestAsksForTheNext(t *testing.T) {
	s := still(t, 2)
	p := s.meet(t)
	p.link.fetch.set(1, stockUnit)
	first, second := s.begin(0), s.begin(1)
	s.assign(first, p)
	s.assign(second, p)
	s.ask(p)
	s.cancelJob(p, first.part)
	if p.link.fetch.outstanding() != 0 {
		t.Fatal("more was asked for than the window holds")
	}
	s.unstick()
	if p.link.fetch.outstanding() != stockUnit {
		t.Error("the second piece is never asked for")
	}
}

// TestPace: one site that is slow makes nobody impatient with its pieces, nor patient
// with another's.
func TestPace(t *testing.T) {
	s := still(t, 2)
	p := s.meet(t)
	p.site = &site{pace: pace{took: 20 * time.Second}}
	a := s.begin(0)
	s.assign(a, p)
	for _, c := range []struct {
		after time.Duration
		asked int
	}{{50 * time.Second, 1}, {61 * time.Second, 0}} {
		s.now = a.since.Add(c.after)
		if s.recall(metainfo.Piece(0), a); len(a.by) != c.asked {
			t.Errorf("after %v it is asked of %d peers, want %d", c.after, len(a.by), c.asked)
		}
	}
	if p.site.pace.failures != 1 {
		t.Errorf("%+v", p.site.pace)
	}
}

// TestOwnerGoesFirst: a piece that turns up is left to its owner for a while, even by
// who has had nothing to do for long.
func TestOwnerGoesFirst(t *testing.T) {
	s := still(t, 64)
	self, other := owner.Key(1), owner.Key(2)
	s.imports.table = owner.NewTable(self, 64)
	s.imports.table.Set([]owner.Key{other})
	s.imports.sites = map[string]*site{"there": {Site: owner.Site{Key: owner.SiteKey("there")}, has: make([]uint16, 64), got: 1}}
	piece := uint32(0)
	for s.imports.table.Owns(piece) {
		piece++
	}
	s.imports.level = 5
	s.review()
	there := s.meet(t)
	there.site = s.imports.sites["there"]
	s.count(there, piece, 1)
	for _, c := range []struct {
		after time.Duration
		want  bool
	}{{0, false}, {takeOver - time.Millisecond, false}, {takeOver, true}} {
		start := s.now
		s.now = s.now.Add(c.after)
		if s.reconsider(piece); s.imports.pick.Open(piece) != c.want {
			t.Errorf("after %v: want %v", c.after, c.want)
		}
		s.now = start
	}
}

// TestSiteOfOne: a site stays known, and ranked, when the only peer of it that we
// know gets its last piece, or tells anew what it has; not when it is gone.
func TestSiteOfOne(t *testing.T) {
	s := still(t, 4)
	s.conn.place.Datacenter = "here"
	p := s.meet(t)
	p.place = topology.Place{Datacenter: "there"}
	s.settle(p)
	known := func(when string, wholes int) {
		t.Helper()
		if at := s.imports.sites["there"]; at == nil || at != p.site || at.peers != 1 || at.wholes != wholes || len(s.imports.order) != 1 {
			t.Errorf("%s: %+v of %v", when, at, s.imports.sites)
		}
	}
	known("at first", 0)
	gotHaves{p, []uint32{0, 1, 2}}.apply(s)
	known("with some pieces", 0)
	gotHaves{p, []uint32{3}}.apply(s)
	known("with all", 1)
	lost{p, 3}.apply(s)
	known("without one again", 0)
	if got := s.imports.sites["there"].got; got != 3 {
		t.Errorf("it has %d pieces, want 3", got)
	}
	s.unsettle(p)
	if len(s.imports.sites) != 0 {
		t.Errorf("left: %v", s.imports.sites)
	}
}

// TestLostMember: who was banned, or did not answer, is no member, whoever names it
// and when, until it is back.
func TestLostMember(t *testing.T) {
	s := still(t, 4)
	at := func(n byte) netip.AddrPort { return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, n}), 6881) }
	s.imports.self = at(1)
	members := func() int {
		s.gather()
		return len(s.imports.table.Members())
	}
	p := s.meet(t)
	p.listen = at(2)
	named{members: []netip.AddrPort{at(2), at(3)}}.apply(s)
	if n := members(); n != 1 { // the peer does not say that it imports
		t.Errorf("%d members, want 1", n)
	}
	s.remove(p, errBanned)
	s.misses(at(4))
	for _, a := range []netip.AddrPort{at(2), at(4), at(5)} {
		s.imports.heard.Tell(at(6).Addr(), a, s.now)
		s.imports.heard.Tell(at(7).Addr(), a, s.now)
	}
	if n := members(); n != 2 { // 3 and 5
		t.Errorf("%d members, want 2: %v", n, s.imports.roster)
	}
}
