package swarm

import (
	"maps"
	"slices"
	"time"

	"shoal/internal/bt/metainfo"
	"shoal/internal/bt/swarm/owner"
	"shoal/internal/bt/wire"
)

const (
	claimFor   = 10 * time.Second // a claim holds without being renewed
	claimEvery = 3 * time.Second  // it is renewed
	relayEvery = time.Second      // claims of others are passed on
	relayFor   = 4 * time.Second  // and hold without being passed on again
)

// claims are what others in our site say to be importing. Where a site has more
// hosts than one is connected to, each passes on what it hears, once: two steps
// reach nearly everybody. What was passed on is not taken back, but ends soon: a
// piece that has come takes a while to be near everybody, too. It keeps only those
// away who would import what others own.
type claims struct {
	direct    map[uint32]claim     // of peers
	relayed   map[uint32]time.Time // of their peers; until when
	told      []uint32             // what we last claimed
	toldAt    time.Time
	relayedAt time.Time
}

// claim is a piece that a peer says to be importing.
type claim struct {
	by    *peer
	until time.Time
}

func newClaims() claims {
	return claims{direct: map[uint32]claim{}, relayed: map[uint32]time.Time{}}
}

// claimed tells whether a peer is importing a piece.
func (c *claims) claimed(piece uint32, now time.Time) bool {
	d, is := c.direct[piece]
	return is && now.Before(d.until)
}

// passedOn tells whether somebody may be importing a piece whom we do not know.
func (c *claims) passedOn(piece uint32, now time.Time) bool { return now.Before(c.relayed[piece]) }

// claim tells our site what we are importing, when that has changed and now and
// then in between.
func (s *state) claim(pieces []uint32) {
	c := &s.imports.claims
	if slices.Equal(pieces, c.told) && (len(pieces) == 0 || s.now.Sub(c.toldAt) < claimEvery) {
		return
	}
	c.told, c.toldAt = pieces, s.now
	s.tellSite(wire.AppendShoalClaims(nil, pieces))
}

// relay passes on what peers claim that nobody of our site has yet.
func (s *state) relay() {
	c := &s.imports.claims
	if len(c.direct) == 0 || s.now.Sub(c.relayedAt) < relayEvery {
		return
	}
	c.relayedAt = s.now
	pieces := slices.Sorted(maps.Keys(c.direct))
	if pieces = slices.DeleteFunc(pieces, s.near); len(pieces) > 0 {
		s.tellSite(wire.AppendShoalRelays(nil, pieces))
	}
}

// tellSite sends a shoal message to all peers in our site.
func (s *state) tellSite(body []byte) {
	for p := range s.peers {
		if p.shoalID > 0 && p.site == nil {
			p.send(func(b []byte) []byte { return wire.AppendExtended(b, p.shoalID, body) })
		}
	}
}

// claimed occurs when a peer says what it is importing.
type claimed struct {
	p      *peer
	pieces wire.Runs
}

func (e claimed) apply(s *state) {
	c := &s.imports.claims
	s.unclaim(e.p)
	if e.p.site != nil {
		return
	}
	for piece := range e.pieces.All() {
		if len(c.direct) >= maxMembers {
			return
		}
		c.direct[piece] = claim{e.p, s.now.Add(claimFor)}
		s.reconsider(piece)
		s.yield(piece, e.p)
	}
}

// relayed occurs when a peer says what peers of its own claim.
type relayed struct {
	p      *peer
	pieces wire.Runs
}

func (e relayed) apply(s *state) {
	c := &s.imports.claims
	if e.p.site != nil || s.imports.met { // then we hear everybody ourselves, and when a claim ends
		return
	}
	for piece := range e.pieces.All() {
		if len(c.relayed) >= maxMembers {
			return
		}
		held := c.passedOn(piece, s.now)
		if c.relayed[piece] = s.now.Add(relayFor); !held {
			s.reconsider(piece)
		}
	}
}

// unclaim forgets the claims of a peer.
func (s *state) unclaim(p *peer) {
	for piece, c := range s.imports.claims.direct {
		if c.by == p {
			delete(s.imports.claims.direct, piece)
			s.reconsider(piece)
		}
	}
}

// endClaims forgets those that were not renewed.
func (s *state) endClaims() {
	c := &s.imports.claims
	for piece, d := range c.direct {
		if !s.now.Before(d.until) {
			delete(c.direct, piece)
			s.reconsider(piece)
		}
	}
	for piece, until := range c.relayed {
		if !s.now.Before(until) {
			delete(c.relayed, piece)
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
