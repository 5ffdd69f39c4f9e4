package swarm

import (
	"math/rand/v2"
	"slices"
	"time"

	"shoal/internal/bt/swarm/picker"
)

// source hands out the first copy. While it lasts, shoal peers are shown only
// the pieces that they shall fetch from us: each piece leaves once, to one
// host, before any leaves twice, and the hosts trade them among each other.
// It is BEP 16 with eyes open: the offers are disjoint, and as many are open
// at a time as the peer is fast, so a fast source never waits for the news
// that a piece has spread. Stock peers see a normal seed.
type source struct {
	order []uint32 // pieces not yet offered, in random order
	back  []uint32 // pieces whose offer came to nothing, to be offered when there are no others
	out   []bool   // by piece: sent to somebody, or seen elsewhere
	left  int      // pieces that are not out
	// spurned are pieces that a peer has let lie for a whole turn: others see them first.
	spurned map[uint32]spurn
}

// spurn is who let an offer lie, and until when it is not made to it again.
type spurn struct {
	by    *peer
	until time.Time
}

// spurnRest is long enough that everybody else has had a turn.
const spurnRest = 2 * time.Second

// newSource offers n pieces in random order, so many neighbours in a row.
func newSource(n, run int, seed uint64) *source {
	return &source{
		order: picker.Shuffled(n, run, rand.New(rand.NewPCG(seed, 2))),
		out:   make([]bool, n), left: n, spurned: map[uint32]spurn{},
	}
}

// next takes a piece to offer to a peer; false when all are out or on offer, or
// the peer has just let them lie.
func (src *source) next(p *peer, now time.Time) (uint32, bool) {
	if piece, ok := src.take(p, now); ok || len(src.back) == 0 {
		return piece, ok
	}
	slices.Reverse(src.back) // the first in line is the last in order
	src.order, src.back = append(src.back, src.order...), nil
	return src.take(p, now)
}

func (src *source) take(p *peer, now time.Time) (uint32, bool) {
	for i := len(src.order) - 1; i >= 0; i-- {
		piece := src.order[i]
		if no := src.spurned[piece]; no.by == p && now.Before(no.until) && !src.out[piece] {
			continue
		}
		src.order = slices.Delete(src.order, i, i+1)
		delete(src.spurned, piece)
		if !src.out[piece] {
			return piece, true
		}
	}
	return 0, false
}

// putBack makes an offer that came to nothing the last in line: who did not
// take it may have a reason, and shall see others first.
func (src *source) putBack(piece uint32) {
	if !src.out[piece] {
		src.back = append(src.back, piece)
	}
}

func (src *source) mark(piece uint32) {
	if !src.out[piece] {
		src.out[piece] = true
		src.left--
	}
}

// reveal offers a peer up to n pieces and returns how many there were.
func (s *state) reveal(p *peer, n int) int {
	s.takeBack(p)
	pieces := s.offers(p, n)
	if len(pieces) == 0 && s.wrest(p) {
		pieces = s.offers(p, n)
	}
	if len(pieces) > 0 {
		s.tellHaves(p, pieces)
	}
	return len(pieces)
}

// offers takes up to n pieces to offer to a peer.
func (s *state) offers(p *peer, n int) (pieces []uint32) {
	for len(pieces) < n {
		piece, ok := s.source.next(p, s.now)
		if !ok {
			break
		}
		p.revealed[piece] = struct{}{}
		pieces = append(pieces, piece)
	}
	return pieces
}

// wrest makes pieces free for a peer when all that are left are on offer or under
// way to others, and tells whether there are any: half of what one has let lie since
// its turn began, or else what slow ones have asked for, which then leaves twice. So
// nobody waits for a host that takes everything at a crawl. While our uplink is busy
// with others there is no need.
func (s *state) wrest(p *peer) bool {
	var from *peer
	var lying, slow []uint32
	offered := map[uint32]int{} // to how many
	for q := range s.peers {
		_, late := q.busy(s.now, slowTurn)
		if q.lane.blocks > 0 && !late {
			return false
		}
		var idle []uint32
		for piece := range q.revealed {
			offered[piece]++
			if q.owed[piece] == nil {
				idle = append(idle, piece)
			} else if late && !s.source.out[piece] {
				slow = append(slow, piece)
			}
		}
		if q != p && s.now.Sub(q.turnAt) > slowTurn && len(idle) > len(lying) {
			from, lying = q, idle
		}
	}
	if from != nil {
		s.halve(from, lying)
		return true
	}
	slow = slices.DeleteFunc(slow, func(piece uint32) bool { return offered[piece] > 1 })
	s.source.order = append(s.source.order, slow...)
	return len(slow) > 0
}

// halve takes half of the offers back that a peer has not asked for.
func (s *state) halve(p *peer, idle []uint32) {
	n := len(idle) / 2
	for _, piece := range idle[n:] {
		s.source.order = append(s.source.order, piece)
		delete(p.revealed, piece)
	}
	s.license(p, n)
}

// spurns notes that a peer has let the offers of a whole turn lie: it may be in
// no state to fetch anything, and must not hold up the first copy.
func (s *state) spurns(p *peer) {
	if p.turn == 0 || p.credit < p.turn || s.now.Sub(p.turnAt) <= turnRemind {
		return
	}
	for piece := range p.revealed {
		s.source.spurned[piece] = spurn{p, s.now.Add(spurnRest)}
	}
}

// sourceSent notes that a piece has left, and offers the next.
func (s *state) sourceSent(p *peer, piece uint32) {
	if s.source == nil {
		return
	}
	delete(p.revealed, piece)
	s.source.mark(piece)
	s.endSource()
}

// sourceHeard notes that a peer has a piece, from wherever.
func (s *state) sourceHeard(p *peer, piece uint32) {
	if s.source == nil {
		return
	}
	s.source.mark(piece)
	if p.owed[piece] == nil {
		delete(p.revealed, piece)
	}
}

// takeBack returns what a peer had been offered and has not asked for.
func (s *state) takeBack(p *peer) {
	if s.source == nil {
		return
	}
	for piece := range p.revealed {
		if p.gone || p.owed[piece] == nil {
			s.source.putBack(piece)
			delete(p.revealed, piece)
		}
	}
}

// endSource shows everything to everyone once the first copy is out.
func (s *state) endSource() {
	if s.source == nil || s.source.left > 0 {
		return
	}
	s.source = nil
	all := s.allPieces()
	for p := range s.peers {
		if p.blind {
			p.blind = false
			clear(p.revealed)
			s.tellHaves(p, all)
		}
		if p.extended && p.shoal { // who hides nothing any more
			s.sayExtended(p)
		}
	}
	s.o.Log.Debug("the first copy is out")
}

// openAbroad shows everything to the peers of other sites when there are too few
// hosts in ours to take the first copy as fast as it can be sent: else it goes
// to our site, and the others have it from there.
func (s *state) openAbroad() {
	if s.source == nil || len(s.imports.sites) == 0 {
		return
	}
	near := 0
	var first time.Time
	for p := range s.peers {
		if p.site == nil && p.blind {
			near++
		}
		if first.IsZero() || p.joined.Before(first) {
			first = p.joined
		}
	}
	if near >= turnSlots || s.now.Sub(first) < settled {
		return
	}
	for p := range s.peers {
		if p.site != nil && p.blind {
			p.blind = false
			s.takeBack(p)
			s.tellHaves(p, s.allPieces())
		}
	}
}

func (s *state) allPieces() []uint32 {
	all := make([]uint32, 0, s.have.Count())
	for i := s.have.Next(0); i >= 0; i = s.have.Next(i + 1) {
		all = append(all, uint32(i))
	}
	return all
}
