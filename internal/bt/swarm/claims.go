package swarm

import (
	"slices"
	"time"

	"shoal/internal/bt/metainfo"
	"shoal/internal/bt/swarm/owner"
	"shoal/internal/bt/wire"
)

// claim is a piece that somebody of our site says to be importing.
type claim struct {
	by    *peer
	until time.Time
}

// claim tells our site what we are importing, when that has changed and now and
// then in between.
func (s *state) claim(pieces []uint32) {
	im := &s.imports
	if slices.Equal(pieces, im.told) && (len(pieces) == 0 || s.now.Sub(im.toldAt) < claimEvery) {
		return
	}
	im.told, im.toldAt = pieces, s.now
	for p := range s.peers {
		if p.shoalID > 0 && p.site == nil {
			p.send(func(b []byte) []byte { return wire.AppendExtended(b, p.shoalID, wire.AppendShoalClaims(nil, pieces)) })
		}
	}
}

// claimed occurs when a peer says what it is importing.
type claimed struct {
	p      *peer
	pieces wire.Runs
}

func (e claimed) apply(s *state) {
	im := &s.imports
	s.unclaim(e.p)
	if e.p.site != nil {
		return
	}
	for piece := range e.pieces.All() {
		if len(im.claims) >= maxMembers {
			return
		}
		im.claims[piece] = claim{e.p, s.now.Add(claimFor)}
		s.reconsider(piece)
		s.yield(piece, e.p)
	}
}

// unclaim forgets the claims of a peer.
func (s *state) unclaim(p *peer) {
	for piece, c := range s.imports.claims {
		if c.by == p {
			delete(s.imports.claims, piece)
			s.reconsider(piece)
		}
	}
}

// yield leaves a piece to a peer that claims it too and stands before us, if
// nothing of it has come yet.
func (s *state) yield(piece uint32, to *peer) {
	a, table := s.prog[metainfo.Piece(piece)], s.imports.table
	if a == nil || table == nil || !to.listen.IsValid() || a.comesFrom() == nil {
		return
	}
	two := []owner.Key{owner.KeyOf(to.listen)}
	if owner.Rank(table.Self(), two, piece) > 0 && a.part.untouched() {
		s.abandon(a.part)
	}
}
