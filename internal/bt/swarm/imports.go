package swarm

import (
	"slices"
	"time"

	"shoal/internal/bt/swarm/owner"
	"shoal/internal/bt/swarm/picker"
)

// Sites: hosts of one data centre feed each other, and of the host of each that
// owns a piece (package owner) it is expected to bring the piece in over the
// WAN. docs/ownership.md has the whole picture.
const (
	maxSites    = 64              // told apart; peers can claim any
	maxMembers  = 4096            // of our site that are not connected
	turnAside   = 2 * time.Second // with nothing to import that is ours to import first
	leastStall  = 5 * time.Second // a piece that does not move is asked for elsewhere
	lastStall   = 2 * time.Second // the same when nothing else is left to fetch
	mostStall   = time.Minute     // at the latest
	takeOver    = 2 * time.Second // later still, for each rank below the owner
	starveAfter = 6 * time.Second // with nothing on its way over the WAN
	settled     = time.Second     // after which a source knows who is near
)

// imports is what we may bring in from other sites.
type imports struct {
	pick  *picker.Picker   // those pieces, by how many peers elsewhere have them
	ranks []*picker.Picker // of them, what is to be taken from sites of each rank (owner.Turn)
	sites map[string]*site
	order []*site      // the same
	table *owner.Table // nil until we know by which address others know us
	membership
	claims  claims
	due     due
	level   int       // 0: what is ours to import first; 1: all that we own; more: what others own, down to that rank
	idle    time.Time // since when there is nothing to import; zero: there is
	checked time.Time
	hungry  time.Time // when something was on its way over the WAN last
	starved bool      // that is long ago
	late    bool      // our site is far behind another one
	rare    bool      // so many pieces are only where all are that those are spared for them
	spare   bool      // it is our site's turn with none: it takes those with which it is second, too
	judged  time.Time // when who keeps up was looked at last
	ours    int       // pieces that our site had then
	wholes  int       // peers of our own site that have everything
	queue   queue
}

// due tells since when our site may take pieces.
type due struct {
	since []int64 // by piece, in Unix milliseconds; 0: it may not
	shown bool    // somebody elsewhere shows that it has everything
}

func newImports(n int, seed uint64) imports {
	im := imports{
		pick: picker.New(n, seed), sites: map[string]*site{}, due: due{since: make([]int64, n)},
		membership: newMembership(), claims: newClaims(), rare: true,
	}
	for i := range n {
		im.close(uint32(i))
	}
	return im
}

// close says that a piece is not to be imported.
func (im *imports) close(piece uint32) {
	if !im.pick.Open(piece) { // nor at any rank
		return
	}
	im.pick.Take(piece)
	im.openAt(-1, piece)
}

// openAt lets a piece be taken from sites of one rank only; -1: of none.
func (im *imports) openAt(rank int, piece uint32) {
	for r, pick := range im.ranks {
		if r == rank {
			pick.Return(piece)
		} else {
			pick.Take(piece)
		}
	}
}

// add counts a peer elsewhere that has a piece, or has it no more.
func (im *imports) add(piece uint32, delta int) {
	im.pick.Add(piece, delta)
	for _, pick := range im.ranks {
		pick.Add(piece, delta)
	}
}

// reconsider lets a piece be imported or not.
func (s *state) reconsider(piece uint32) {
	im := &s.imports
	if len(im.sites) == 0 || !s.pick.Open(piece) || s.near(piece) {
		im.close(piece)
		return
	}
	rank, before := s.turn(piece)
	ours := before == 0 || before == 1 && im.spare
	switch {
	case rank < 0 || !ours || im.pick.Avail(piece) == 0 && !im.due.shown: // a source may hide what it has
		im.due.since[piece] = 0
	case im.due.since[piece] == 0:
		im.due.since[piece] = s.now.UnixMilli()
	}
	if !ours || !s.importable(piece) {
		im.close(piece)
		return
	}
	im.pick.Return(piece)
	im.openAt(rank, piece)
}

// review reconsiders every piece.
func (s *state) review() {
	s.rankSites()
	for i := range s.o.Info.NumPieces() {
		s.reconsider(uint32(i))
	}
}

// importable tells whether a missing piece is ours to bring in, when it is our
// site's turn. Its owner has some time from then on before others take it, however
// long these have had nothing to do: else they would begin it at the same moment.
func (s *state) importable(piece uint32) bool {
	im := &s.imports
	if im.claims.claimed(piece, s.now) {
		return false
	}
	if im.table != nil && !im.table.Owns(piece) {
		if im.level < 2 || im.claims.passedOn(piece, s.now) {
			return false
		}
		rank := owner.Rank(im.table.Self(), im.table.Members(), piece)
		wait := time.Duration(rank) * takeOver
		return rank < im.level && im.due.since[piece] > 0 && s.now.Sub(time.UnixMilli(im.due.since[piece])) >= wait
	}
	return true
}

// open tells whether a piece may be begun with a peer.
func (s *state) open(p *peer, piece uint32) bool {
	return s.pickFrom(p).Open(piece)
}

// pickFrom is where pieces to begin with a peer are picked from.
func (s *state) pickFrom(p *peer) *picker.Picker {
	if p.site == nil {
		return s.pick
	}
	if im := &s.imports; p.site.Spared || !im.starved {
		return im.ranks[p.site.Rank()]
	}
	return s.imports.pick
}

// take says that a piece is begun, and untake that it may be begun again.
func (s *state) take(piece uint32) {
	s.pick.Take(piece)
	s.imports.close(piece)
}

func (s *state) untake(piece uint32) {
	s.pick.Return(piece)
	s.reconsider(piece)
}

// comesFrom is the other site of which somebody was asked for a piece; nil: none.
func (a *active) comesFrom() *site {
	for _, p := range a.by {
		if p.site != nil {
			return p.site
		}
	}
	return nil
}

// importing are the pieces that we are bringing in, in ascending order.
func (s *state) importing() (pieces []uint32) {
	for piece, a := range s.prog {
		if a.comesFrom() != nil && !s.near(uint32(piece)) {
			pieces = append(pieces, uint32(piece))
		}
	}
	slices.Sort(pieces)
	return pieces
}

// stepImports is what happens ten times a second: who belongs to our site is
// found out, what we import is claimed, and who has nothing to import any more
// helps those who have.
func (s *state) stepImports() {
	im := &s.imports
	if len(im.sites) == 0 {
		im.level, im.idle = 0, time.Time{}
		return
	}
	if im.stale {
		s.gather()
	}
	s.tellMembers()
	s.endClaims()
	s.judge()
	pieces := s.importing()
	s.claim(pieces)
	s.relay()
	s.setLevel(len(pieces) > 0)
}

// judge looks once a second who keeps up.
func (s *state) judge() {
	im := &s.imports
	if s.left == 0 || len(im.sites) == 0 || s.now.Sub(im.judged) < time.Second {
		return
	}
	im.judged = s.now
	changed := s.judgeSites()
	if s.judgeTurns() || changed {
		s.review()
		s.tellAbroad()
	}
}

// judgeTurns finds out what is left to be taken from sites that have everything, and
// tells whether that has changed. By hash some site has the turn with more pieces
// than the others; and while it fetches the last of them, one after the other, the
// way out of the site that has them would be half idle, as would be theirs.
func (s *state) judgeTurns() (changed bool) {
	im := &s.imports
	rare, enough, spare := 0, owner.Enough(s.lacking()), !im.idle.IsZero() || im.spare
	for i := range s.o.Info.NumPieces() {
		piece := uint32(i)
		if !s.pick.Open(piece) || s.near(piece) { // ours, or under way to us
			continue
		}
		if rare < enough && im.onlyWhole(piece) {
			rare++
		}
		if spare && !im.claims.claimed(piece, s.now) && !im.claims.passedOn(piece, s.now) {
			rank, before := s.turn(piece)
			spare = rank < 0 || before > 0
		}
		if rare == enough && !spare {
			break
		}
	}
	changed = (rare == enough) != im.rare || spare != im.spare
	im.rare, im.spare = rare == enough, spare
	return changed
}

// lacking counts the sites that lack pieces, ours among them, and how many they lack
// together. Those that are far behind are not waited for.
func (s *state) lacking() (sites, pieces int) {
	im, n := &s.imports, s.o.Info.NumPieces()
	sites, pieces = 1, n-im.ours
	for _, at := range im.order {
		if at.wholes == 0 && !at.Behind {
			sites, pieces = sites+1, pieces+n-at.got
		}
	}
	return sites, pieces
}

// onlyWhole tells whether a piece is at no other site than those that have all.
func (im *imports) onlyWhole(piece uint32) bool {
	for _, at := range im.order {
		if at.wholes == 0 && at.has[piece] > 0 {
			return false
		}
	}
	return true
}

// setLevel widens what we may import while there is nothing else to import.
func (s *state) setLevel(busy bool) {
	im := &s.imports
	s.setStarved(busy)
	if im.level > 0 && s.now.Sub(im.checked) > time.Second {
		im.checked = s.now
		if was := im.level; !s.tryLevel(0) {
			s.tryLevel(was)
		} else {
			s.tellAbroad()
		}
	}
	if busy || s.left == 0 || im.level == 0 && s.someImport() {
		im.idle = time.Time{}
		return
	}
	if im.idle.IsZero() {
		im.idle = s.now
	}
	level := im.level
	if d := s.now.Sub(im.idle); d > turnAside {
		level = min(1+int((d-turnAside)/takeOver), len(im.named)+len(s.peers)+1)
	}
	if level > im.level {
		im.checked = s.now
		found := s.tryLevel(level)
		s.o.Log.Debug("nothing of our own to bring in over the WAN", "level", level, "found", found, "left", s.left)
		s.tellAbroad()
	}
}

// setStarved lets dearer ways in while nothing comes over the cheapest ones.
func (s *state) setStarved(busy bool) {
	im := &s.imports
	if busy || s.left == 0 || im.hungry.IsZero() {
		im.hungry = s.now
	}
	was := im.starved
	if im.starved = s.now.Sub(im.hungry) > starveAfter; im.starved != was {
		s.tellAbroad()
	}
}

// tryLevel sets the level and tells whether there is something to import then.
func (s *state) tryLevel(level int) bool {
	s.imports.level = level
	s.judgeSites()
	s.review()
	return s.someImport()
}

func (s *state) someImport() bool {
	for p := range s.peers {
		if p.site != nil && s.pickFrom(p).Common(p.has) {
			return true
		}
	}
	return false
}

func (s *state) tellAbroad() {
	for p := range s.peers {
		if p.site != nil {
			s.updateInterest(p)
			s.fill(p)
		}
	}
}
