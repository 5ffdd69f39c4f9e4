package swarm

import (
	"shoal/internal/bt/bitfield"
	"shoal/internal/bt/wire"
)

// gotBitfield occurs when a peer tells all its pieces at once.
type gotBitfield struct {
	p   *peer
	set *bitfield.Set
}

func (e gotBitfield) apply(s *state) {
	s.uncount(e.p)
	e.p.has = e.set
	e.p.overlap = s.have.Overlap(e.set)
	s.settle(e.p)
	for i := e.set.Next(0); i >= 0; i = e.set.Next(i + 1) {
		s.sourceHeard(e.p, uint32(i))
	}
	s.heard(e.p)
}

// gotHaves occurs when a peer has got pieces.
type gotHaves struct {
	p      *peer
	pieces []uint32
}

func (e gotHaves) apply(s *state) {
	p := e.p
	if p.seed() {
		return
	}
	for _, i := range e.pieces {
		if !p.has.Has(int(i)) {
			p.has.Set(int(i))
			if !p.whole { // those raise all counts alike, so they are left out
				s.count(p, i, 1)
			}
			if s.have.Has(int(i)) {
				p.overlap++
			}
			s.received(p, i)
			s.sourceHeard(p, i)
		}
	}
	s.settle(p)
	s.heard(p)
}

// lost occurs when a peer takes a have back (BEP 54).
type lost struct {
	p     *peer
	piece uint32
}

func (e lost) apply(s *state) {
	p := e.p
	if !p.has.Has(int(e.piece)) {
		return
	}
	has := p.has.Clone()
	has.Clear(int(e.piece))
	gotBitfield{p, has}.apply(s)
	if p.losses++; p.losses >= badLimit {
		s.doubt(p, true)
	}
}

// heard goes on after a peer's pieces have changed.
func (s *state) heard(p *peer) {
	s.updateInterest(p)
	s.dropIfUseless(p)
	s.fill(p)
}

// updateInterest tells a peer whether it has something that we want.
func (s *state) updateInterest(p *peer) {
	want := s.left > 0 && (p.link.fetch.outstanding() > 0 || s.pickFrom(p).Common(p.has))
	switch {
	case want || s.left == 0:
	case p.shoal: // only what could be asked of it now counts: interest asks for a turn
		want = s.orphan(p) != nil || s.second(p) != nil
	default:
		want = s.inProgressAt(p)
	}
	if want == p.wanted {
		return
	}
	p.wanted = want
	id := wire.NotInterested
	if want {
		id = wire.Interested
	}
	p.send(func(b []byte) []byte { return wire.AppendID(b, id) })
}

func (s *state) inProgressAt(p *peer) bool {
	for piece := range s.prog {
		if p.has.Has(int(piece)) {
			return true
		}
	}
	return false
}
