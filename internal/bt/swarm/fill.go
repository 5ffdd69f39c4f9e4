package swarm

import (
	"slices"
	"time"

	"shoal/internal/bt/metainfo"
	"shoal/internal/bt/wire"
)

// Requests and windows.
const (
	stockUnit    = 16 << 10  // a request to stock clients (BEP 3)
	startWindow  = 256 << 10 // outstanding bytes before anything is measured
	slowUnit     = 256 << 10 // a request to a shoal peer, until it proves fast
	fastUnit     = 1 << 20
	maxWindow    = 256 << 20
	longPath     = 200 * time.Millisecond // no latency of a path is taken to be longer
	scheduling   = 30 * time.Millisecond
	stalledAfter = 2 * time.Second
	snubAfter    = 30 * time.Second
	hopeless     = 2 * time.Minute
	maxSources   = 3 // of one piece, in the endgame
	minPatience  = 100 * time.Millisecond
)

func (s *state) fillAll() {
	if s.left == 0 || s.paused {
		return
	}
	for p := range s.peers {
		if !p.shoal {
			s.fill(p)
		}
	}
	s.useLicences()
	for _, w := range s.web {
		s.fillWeb(w)
	}
}

// hungryPeer occurs when a peer's jobs are all requested and its window has
// room.
type hungryPeer struct{ p *peer }

func (e hungryPeer) apply(s *state) { s.fill(e.p) }

// fill gives a peer jobs until its window is full or there is nothing for it.
func (s *state) fill(p *peer) {
	if p.gone || s.left == 0 || s.paused || s.now.Before(p.holdUntil) || p.chokesUs && len(p.allowed) == 0 {
		return
	}
	if p.shoal && (p.licence == 0 || s.saturated(p)) {
		return
	}
	defer s.updateInterest(p)
	window, low := p.link.fetch.windowSize()
	given := false
	for enough := low; ; enough = window {
		bytes, jobs := p.link.fetch.backlog()
		if jobs > 0 && bytes >= enough || p.shoal && p.licence == 0 {
			break
		}
		a := s.choose(p, jobs == 0)
		if a == nil {
			break
		}
		s.assign(a, p)
		p.licence--
		given = true
	}
	if given {
		s.ask(p)
	}
}

// ask sends the requests for which there is room.
func (s *state) ask(p *peer) {
	if reqs, _ := p.link.fetch.pump(nil); len(reqs) > 0 {
		s.flushNews(p)
		p.send(func(b []byte) []byte { return append(b, reqs...) })
	}
}

func (s *state) assign(a *active, p *peer) {
	a.by = append(a.by, p)
	s.asks(p, 1)
	a.since = s.now // of the last one asked
	p.link.fetch.touch(s.now)
	p.link.fetch.give(a.part)
}

// choose finds what to ask a peer for next: a piece that somebody left, the
// rarest piece that nobody was asked for, or, for a peer with nothing to do
// when no such piece is left, a piece that another peer is slow with.
func (s *state) choose(p *peer, idle bool) *active {
	if p.chokesUs {
		return s.chooseAllowed(p)
	}
	if a := s.orphan(p); a != nil {
		return a
	}
	if piece, ok := s.pickFrom(p).Pick(p.has); ok {
		return s.begin(piece)
	}
	if idle {
		return s.second(p)
	}
	return nil
}

// chooseAllowed picks among the pieces that a choking peer serves (BEP 6).
func (s *state) chooseAllowed(p *peer) *active {
	for _, piece := range p.allowed {
		if p.has.Has(int(piece)) && s.open(p, piece) {
			return s.begin(piece)
		}
	}
	return nil
}

func (s *state) begin(piece uint32) *active {
	pc, _ := s.o.Info.Piece(piece)
	s.take(piece)
	a := &active{
		part: &partial{piece: pc, base: int64(piece) * s.o.Info.PieceLength, size: s.o.Info.PieceData(pc), check: s.checker(pc)},
		solo: len(s.suspects[pc]) > 0,
	}
	if blocks := s.o.Written[pc]; blocks != nil {
		delete(s.o.Written, pc) // believed once
		a.part.inherit(blocks)
	}
	s.prog[pc] = a
	s.t.hints.Expect(pc)
	return a
}

// orphan finds a piece in progress that p has and nobody is asked for.
func (s *state) orphan(p *peer) *active {
	if !s.loose {
		return nil
	}
	s.loose = false
	for _, a := range s.prog {
		if len(a.by) > 0 || a.web != nil {
			continue
		}
		s.loose = true
		if p.has.Has(int(a.part.piece)) && (p.site == nil || !s.near(uint32(a.part.piece))) {
			return a
		}
	}
	return nil
}

// second finds a piece for a second or third source: in the endgame, when
// everything has been asked for, any piece whose bytes have not begun to
// come; before that only a piece that has stalled.
func (s *state) second(p *peer) *active {
	var best *active
	endgame := s.pick.Len() == 0
	if !endgame && !s.stuck || p.site != nil {
		return nil
	}
	for _, a := range s.prog {
		if a.solo || len(a.by) >= maxSources || slices.Contains(a.by, p) || !p.has.Has(int(a.part.piece)) {
			continue
		}
		if late := endgame && s.now.Sub(a.since) > s.patience(); !late && !s.stalled(a) {
			continue
		}
		if best == nil || len(a.by) < len(best.by) || len(a.by) == len(best.by) && a.since.Before(best.since) {
			best = a
		}
	}
	return best
}

// patience is how long a piece may be under way in the endgame before another
// peer is asked for it too: most come by themselves.
func (s *state) patience() time.Duration { return max(minPatience, 3*s.latency/2) }

// stalled tells whether none of those who were asked for a piece has sent
// anything at all for a while. Over a slow line all wait for longer than that in
// the queues of those whom they ask, and to ask others too makes the queues longer.
func (s *state) stalled(a *active) bool {
	limit := max(stalledAfter, 2*s.latency)
	for _, p := range a.by {
		if s.now.Sub(time.Unix(0, p.link.fetch.progress.Load())) < limit {
			return false
		}
	}
	return a.web == nil && s.now.Sub(a.since) >= limit
}

// unstick deals with peers that were asked and send nothing.
func (s *state) unstick() {
	s.stuck = false
	if s.left == 0 {
		return
	}
	for piece, a := range s.prog {
		s.stuck = s.stuck || s.stalled(a)
		s.recall(piece, a)
	}
	for p := range s.peers {
		if p.link.fetch.outstanding() == 0 {
			if p.pieces > 0 {
				s.ask(p) // what was to come after requests that were taken back
			}
			continue
		}
		idle := s.now.Sub(time.Unix(0, p.link.fetch.progress.Load()))
		switch nothing := p.down.rate < 1; {
		case nothing && p.site == nil && len(s.imports.sites) > 0 && p.link.fetch.waiting(s.now) > p.trusted():
			s.doubt(p, true)
			p.holdUntil = s.now.Add(2 * leastStall)
			s.releaseJobs(p) // so that what it was asked for may come from elsewhere
		case !nothing && p.losses < badLimit:
			s.doubt(p, false)
		}
		switch {
		case idle > hopeless:
			s.drop(p, errSnub)
		case idle > snubAfter && !p.shoal:
			p.holdUntil = s.now.Add(snubAfter)
			s.releaseJobs(p)
		}
	}
}

// trusted is how long a peer of our site may send nothing of what it was asked for
// before what it claims counts for nothing. Those that it gives no turn meanwhile
// cannot find out, and have to wait for the next turn: so one that never sent
// anything gets half.
func (p *peer) trusted() time.Duration {
	if p.down.last == 0 {
		return leastStall / 2
	}
	return leastStall
}

// releaseJobs takes all jobs from a peer.
func (s *state) releaseJobs(p *peer) {
	p.link.fetch.takeAll()
	for piece, a := range s.prog {
		i := slices.Index(a.by, p)
		if i < 0 {
			continue
		}
		a.by = slices.Delete(a.by, i, i+1)
		s.asks(p, -1)
		s.orphaned(piece, a)
	}
}

// orphaned looks at a piece that has lost a source: one of which nothing has
// come may be started anew, any other waits for the next free peer.
func (s *state) orphaned(piece metainfo.Piece, a *active) {
	if len(a.by) > 0 || a.web != nil {
		return
	}
	if a.part.untouched() {
		s.abandonPiece(piece, a)
		return
	}
	s.loose = true
}

// abandon gives a piece in progress up; it will be fetched from the start.
func (s *state) abandon(part *partial) {
	if a := s.prog[part.piece]; a != nil && a.part == part {
		for _, p := range a.by {
			s.cancelJob(p, part)
		}
		s.abandonPiece(part.piece, a)
	}
}

func (s *state) abandonPiece(piece metainfo.Piece, a *active) {
	s.over(piece, a)
	s.untake(uint32(piece))
}

// over takes a piece out of those in progress.
func (s *state) over(piece metainfo.Piece, a *active) {
	delete(s.prog, piece)
	if check := a.part.release(); check != nil && len(s.idle) < maxIdle {
		s.idle = append(s.idle, check)
	}
	for _, p := range a.by {
		s.asks(p, -1)
	}
}

// cancelJob takes one job from a peer and tells it.
func (s *state) cancelJob(p *peer, part *partial) {
	blocks := p.link.fetch.take(part)
	if len(blocks) == 0 {
		return
	}
	p.send(func(b []byte) []byte {
		for _, block := range blocks {
			b = wire.AppendBlock(b, wire.Cancel, block)
		}
		return b
	})
}

// pieceOver occurs when the last byte of a piece has been written.
type pieceOver struct {
	part *partial
	ok   bool
}

func (e pieceOver) apply(s *state) {
	a := s.prog[e.part.piece]
	if a == nil || a.part != e.part {
		return
	}
	abroad := a.comesFrom()
	s.over(e.part.piece, a)
	if len(a.by) > 1 || a.web != nil { // of who was asked alone all has come
		for _, p := range a.by {
			s.cancelJob(p, e.part)
		}
	}
	if e.ok {
		if took := s.now.Sub(a.since); abroad != nil {
			abroad.pace.came(took)
			if a.part.size >= s.meanPiece() {
				abroad.senders.Came(s.now, took)
			}
		} else {
			s.latency += (took - s.latency) / 16
		}
		s.accuse(a)
		s.gotPiece(e.part.piece)
	} else {
		s.badPiece(a)
	}
	for _, p := range a.by {
		if !slices.Contains(s.spent, p) {
			s.spent = append(s.spent, p)
		}
	}
}

// gotPiece counts a verified piece and tells everyone.
func (s *state) gotPiece(piece metainfo.Piece) {
	s.left--
	s.have.Set(int(piece))
	s.sums.doneBytes += s.o.Info.PieceData(piece)
	s.announce(uint32(piece))
	if s.left == 0 {
		s.finish()
	}
}

// finish is what happens once, when nothing wanted is missing any more.
func (s *state) finish() {
	s.publish()
	s.t.setComplete()
	for p := range s.peers {
		s.flushNews(p)
		s.updateInterest(p)
		s.dropIfUseless(p)
	}
}

// wasted occurs when bytes came that were there already.
type wasted struct{ bytes int64 }

func (e wasted) apply(s *state) { s.sums.wasted += e.bytes }
