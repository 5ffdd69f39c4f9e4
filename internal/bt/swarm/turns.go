package swarm

import (
	"slices"
	"time"

	"shoal/internal/bt/swarm/choker"
	"shoal/internal/bt/wire"
)

// Turns at our uplink: among shoal peers there is no tit-for-tat. A few at a
// time get a licence to begin a few pieces (the turn message), and end what they
// have begun whatever comes. So what a peer fetches from us is chosen when we
// can send it, and a host with a free uplink finds somebody who wants something
// at once, where a queue of old requests would have it stand idle beside a host
// that all have asked.
const (
	turnSlots  = 4                      // peers that may ask at a time
	siteSlots  = 1                      // the same, of each other site
	mostTurns  = 64                     // the same, slow ones included
	turnPieces = 2                      // pieces of one turn when others wait
	turnAlone  = 64 << 20               // bytes of one turn when nobody waits
	turnShare  = 16                     // and no larger part of the release, or whoever comes first is shown all of a small one
	turnIdle   = 100 * time.Millisecond // and three round trips: an unused licence does not hold its slot longer
	turnRemind = 500 * time.Millisecond // then the peer is told again that we have time for it
	slowTurn   = time.Second            // a block that takes longer makes its peer slow
	forget     = leastStall             // a piece that was sent and is not announced
)

// owing is a piece of which a shoal peer has asked for blocks. It is owed until
// the peer says that it has it: what has left us may still be in our socket, or
// stand in line at the peer's downlink.
type owing struct {
	blocks []wire.Block // not sent yet
	asked  time.Time    // when the first of them was asked for
	since  time.Time    // when one was last asked for or sent
}

// owe notes a block that will be sent.
func (p *peer) owe(b wire.Block, now time.Time) {
	o := p.owed[b.Index]
	if o == nil {
		if p.owed == nil {
			p.owed = map[uint32]*owing{}
		}
		o = &owing{asked: now}
		p.owed[b.Index] = o
	}
	o.since = now
	o.blocks = append(o.blocks, b)
	p.unsent++
}

// owes tells whether a block has been asked for already.
func (p *peer) owes(b wire.Block) bool {
	o := p.owed[b.Index]
	return o != nil && slices.Contains(o.blocks, b)
}

// sent notes that a block has left.
func (s *state) sent(p *peer, b wire.Block) {
	o := p.owed[b.Index]
	if o == nil {
		return
	}
	p.strike(o, b)
	o.since = s.now
	if p.has.Has(int(b.Index)) {
		s.received(p, b.Index)
	}
}

// received notes that a peer has a piece. Blocks of it that wait still, for a
// peer that got it elsewhere, stay owed until they are sent or cancelled.
func (s *state) received(p *peer, piece uint32) {
	o := p.owed[piece]
	if o == nil || len(o.blocks) > 0 {
		return
	}
	p.acquit(piece)
	s.queueOf(p).given.came(s.now.Sub(o.asked))
	if p.site != nil {
		s.exports.Came(s.now, s.now.Sub(o.asked))
	}
	s.freed = true
}

// unowe notes that a block will not be sent.
func (p *peer) unowe(b wire.Block) {
	if o := p.owed[b.Index]; o != nil {
		p.strike(o, b)
		if len(o.blocks) == 0 {
			p.acquit(b.Index)
		}
	}
}

// acquit notes that a piece is owed no more.
func (p *peer) acquit(piece uint32) {
	if delete(p.owed, piece); len(p.owed) == 0 {
		p.owed = nil // turns looks at all peers for what is owed, and finds that here
	}
}

func (p *peer) strike(o *owing, b wire.Block) {
	if i := slices.Index(o.blocks, b); i >= 0 {
		o.blocks = slices.Delete(o.blocks, i, i+1)
		p.unsent--
	}
}

// busy counts the pieces that are owed to a peer, and tells whether one of them
// takes longer than limit. Those of which it has said nothing for long are forgotten.
func (p *peer) busy(now time.Time, limit time.Duration) (pieces int, slow bool) {
	if len(p.owed) == 0 { // nearly always, and to begin to range over a map takes as long as all the rest
		return 0, false
	}
	for piece, o := range p.owed {
		d := now.Sub(o.since)
		if len(o.blocks) == 0 && d > forget {
			p.acquit(piece)
			continue
		}
		slow = slow || d > limit
	}
	return len(p.owed), slow
}

// slowAfter is how long a block may take before its peer is slow. Over a slow or full
// line all take long, and serving more at a time because of it would make them longer.
func (q *queue) slowAfter() time.Duration {
	return min(max(slowTurn, 3*q.given.took), leastStall)
}

// ending tells whether a peer is at the end of its turn, of which so many pieces
// are owed to it still. A turn for one piece, over a WAN, ends when that has left:
// if it ended with its request, requests would pile up here for pieces that
// others could send at once.
func (p *peer) ending(owed int) bool {
	if p.credit > 0 {
		return false
	}
	if p.site != nil {
		return p.unsent == 0
	}
	return owed <= 1
}

// uplink is whom we serve.
type uplink struct {
	beside, abroad row
	exports        choker.Exports // how many of those far away at a time
}

// row is what the choker is asked about, for one call.
type row struct {
	peers []*peer
	turns []choker.Turn
}

// turns gives slots to shoal peers.
func (s *state) turns() {
	s.freed = false
	short := s.piecesOf(turnPieces * s.o.Info.PieceLength) // what is not longer is used up before the next
	for p := range s.peers {
		if p.shoalID == 0 {
			continue
		}
		wants := (p.interested || p.blind) && s.useful(p)
		fresh := wants && p.credit > 0 && s.now.Sub(p.turnAt) < turnIdle+3*p.rtt
		owed, slow := p.busy(s.now, s.queueOf(p).slowAfter())
		t := choker.Turn{ // half of a long turn (turnAlone) used up is time for the next
			Wants: wants && (p.credit < max(1, p.turn/2) || s.now.Sub(p.turnAt) > turnRemind),
			Busy:  fresh || owed > 0,
		}
		if !t.Wants && !t.Busy {
			continue
		}
		t.Ending = p.ending(owed) || p.turn > short && p.credit < p.turn/2
		t.Slow, t.Has, t.Last = slow, p.has.Count(), p.turnAt
		r := &s.beside
		if p.site != nil {
			r, t.Way = &s.abroad, uint64(p.site.Key)
		}
		r.peers, r.turns = append(r.peers, p), append(r.turns, t)
	}
	s.giveTurns(&s.beside, turnSlots, turnSlots)
	crowded := s.giveTurns(&s.abroad, s.exports.Most(), siteSlots)
	s.exports.Step(s.now, crowded, len(s.imports.sites))
}

// giveTurns gives slots to those of a row, and empties it. crowded: more wait.
func (s *state) giveTurns(r *row, slots, perWay int) (crowded bool) {
	defer func() {
		clear(r.peers)
		r.peers, r.turns = r.peers[:0], r.turns[:0]
	}()
	give, crowded := choker.Turns(r.turns, slots, perWay, mostTurns)
	for _, i := range give {
		s.giveTurn(r.peers[i], s.share(r.peers[i], crowded))
	}
	if crowded {
		for _, p := range r.peers {
			if share := s.share(p, true); p.credit > share {
				s.giveTurn(p, share)
			}
		}
	}
	return crowded
}

// share is how many pieces a peer may begin in one turn: a few when others
// wait, but no less than are under way in a few round trips.
func (s *state) share(p *peer, crowded bool) int {
	bytes, least := min(turnAlone, s.o.Info.ContentLength()/turnShare), turnPieces
	if p.site != nil {
		least = 1
	}
	if crowded {
		bytes = int64(s.sums.upRate.rate * 4 * p.rtt.Seconds() / turnSlots)
	}
	return max(least, s.piecesOf(bytes))
}

// piecesOf is how many pieces that many bytes are.
func (s *state) piecesOf(bytes int64) int { return int(bytes / max(1, s.meanPiece())) }

// runLength is how many neighbours are kept together where pieces are fetched in
// random order. What lies side by side in memory and on disk is found faster, and
// a run of small pieces spreads no worse than one piece of the usual size.
func (o *Options) runLength() int {
	const usual, most = 256 << 10, 256 // bytes of a run; there are no fewer runs than that
	n := max(1, int64(o.Info.NumPieces()))
	return int(max(1, min(usual/max(1, o.Info.ContentLength()/n), n/most)))
}

// meanPiece is how long pieces are, in bytes. Where every small file is one (v2)
// that is less than the piece length.
func (s *state) meanPiece() int64 { return s.o.Info.ContentLength() / int64(s.o.Info.NumPieces()) }

func (s *state) giveTurn(p *peer, pieces int) {
	if p.blind {
		s.spurns(p)
	}
	p.turnAt = s.now
	if p.blind {
		if pieces = s.reveal(p, pieces); pieces == 0 {
			p.credit, p.turn = 0, 0
			return
		}
	}
	s.license(p, pieces)
}

// license lets a peer begin so many pieces from now on, whatever it might before.
func (s *state) license(p *peer, pieces int) {
	p.credit, p.turn = pieces, pieces
	s.flushNews(p)
	p.send(func(b []byte) []byte { return wire.AppendExtended(b, p.shoalID, wire.AppendShoalTurn(nil, pieces)) })
}

// useful tells whether we have something that a peer lacks.
func (s *state) useful(p *peer) bool {
	if p.blind {
		return s.source != nil && s.source.left > 0 && p.site == nil && !p.ext.UploadOnly
	}
	return s.have.Count() > p.overlap
}
