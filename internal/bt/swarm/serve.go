package swarm

import (
	"slices"
	"time"

	"shoal/internal/bt/metainfo"
	"shoal/internal/bt/peerconn"
	"shoal/internal/bt/swarm/choker"
	"shoal/internal/bt/wire"
)

const (
	chokePeriod = 10 * time.Second      // BEP 3
	stockSlots  = 8                     // unchoked stock peers, the optimistic one included
	uploadSlots = 4                     // blocks on their way to shoal peers
	maxGranted  = 128                   // the same, slow ones included
	slotAhead   = 20 * time.Millisecond // of our rate may be on its way in any case
	slowGrant   = time.Second           // a block that takes longer holds no slot
	maxQueue    = 4096                  // requests a shoal peer may have waiting
	gifts       = 10                    // pieces served to a choked peer (BEP 6)
)

// asked occurs when a peer requests blocks.
type asked struct {
	p      *peer
	blocks []wire.Block
}

func (e asked) apply(s *state) {
	p := e.p
	for _, b := range e.blocks {
		switch {
		case !s.t.have.has(b.Index):
			s.refuse(p, b)
		case p.shoal:
			if _, coming := p.granted[b]; !coming && !slices.Contains(p.queue, b) {
				p.queue = append(p.queue, b)
			}
		case p.amChoking && !slices.Contains(p.gift, b.Index):
			s.refuse(p, b)
		default:
			p.link.conn.Upload(peerconn.Upload{Block: b, Off: s.offset(b)})
		}
	}
	if len(p.queue) > maxQueue {
		s.drop(p, peerconn.ErrFlood)
		return
	}
	if p.shoal {
		s.schedule()
	}
}

func (s *state) offset(b wire.Block) int64 {
	return int64(b.Index)*s.o.Info.PieceLength + int64(b.Begin)
}

func (s *state) refuse(p *peer, b wire.Block) {
	if p.link.fast {
		p.send(func(dst []byte) []byte { return wire.AppendBlock(dst, wire.Reject, b) })
	}
}

// schedule grants slots to waiting blocks of shoal peers.
func (s *state) schedule() {
	for s.freeSlot() {
		p := s.nextToServe()
		if p == nil {
			return
		}
		b := p.queue[0]
		p.queue = p.queue[1:]
		if len(p.queue) == 0 {
			p.queue = nil
		}
		p.granted[b] = s.now
		p.started, p.inPiece = b.Index, true
		s.flushNews(p)
		p.link.conn.Upload(peerconn.Upload{Block: b, Off: s.offset(b)})
	}
}

// freeSlot tells whether one more block may go out. Blocks that a slow peer
// holds up do not count, up to a limit: it must not cost the others our uplink.
func (s *state) freeSlot() bool {
	all, quick, bytes := 0, 0, 0
	for p := range s.peers {
		all += len(p.granted)
		for b, since := range p.granted {
			if s.now.Sub(since) < slowGrant {
				quick++
				bytes += int(b.Length)
			}
		}
	}
	return all < maxGranted && (quick < uploadSlots || float64(bytes) < s.sums.upRate.rate*slotAhead.Seconds())
}

// nextToServe asks the choker whose first waiting block goes next.
func (s *state) nextToServe() *peer {
	var ps []*peer
	var ws []choker.Want
	for p := range s.peers {
		if len(p.queue) == 0 {
			continue
		}
		b := p.queue[0]
		ps = append(ps, p)
		ws = append(ws, choker.Want{
			Started: p.inPiece && p.started == b.Index, Copies: s.pick.Avail(b.Index),
			Has: p.has.Count(), Order: len(p.granted),
		})
	}
	if i := choker.Next(ws); i >= 0 {
		return ps[i]
	}
	return nil
}

// sent occurs when a block has left, or could not be read.
type sent struct {
	p   *peer
	u   peerconn.Upload
	err error
}

func (e sent) apply(s *state) {
	p, b := e.p, e.u.Block
	if p.gone {
		return
	}
	delete(p.granted, b)
	if e.err != nil {
		s.refuse(p, b)
		s.withdraw(b.Index, e.err)
		return
	}
	if piece, ok := s.o.Info.Piece(b.Index); ok && b.End() >= s.o.Info.PieceData(piece) {
		p.inPiece = false
		s.sourceSent(p, b.Index)
	}
	s.schedule()
}

// withdraw takes a piece out of service that the disk does not give, or gives
// damaged.
func (s *state) withdraw(piece uint32, err error) {
	if !s.t.have.has(piece) {
		return
	}
	s.o.Log.Error("a piece is not served any more", "piece", piece, "err", err)
	s.t.have.drop(piece)
	s.t.wg.Go(func() { s.t.hints.Forget(metainfo.Piece(piece)) })
	if s.source != nil {
		s.source.mark(piece) // not ours to give any more
	}
	for p := range s.peers {
		delete(p.revealed, piece)
		if id, ok := p.ext.ID(wire.ExtDontHave); ok {
			p.send(func(b []byte) []byte { return wire.AppendExtended(b, id, wire.AppendDontHave(nil, piece)) })
		}
	}
}

// cancelled occurs when a peer takes a request back.
type cancelled struct {
	p *peer
	b wire.Block
}

func (e cancelled) apply(s *state) {
	p := e.p
	if i := slices.Index(p.queue, e.b); i >= 0 {
		p.queue = slices.Delete(p.queue, i, i+1)
	} else if !p.link.conn.CancelUpload(e.b) {
		return // it has gone already
	}
	delete(p.granted, e.b)
	s.refuse(p, e.b) // BEP 6: every request gets an answer
	s.schedule()
}

// piecesCancelled occurs when a shoal peer takes back all requests for pieces.
type piecesCancelled struct {
	p      *peer
	pieces wire.Runs
}

func (e piecesCancelled) apply(s *state) {
	for _, b := range slices.Clone(e.p.queue) {
		for _, r := range e.pieces {
			if r.First <= b.Index && b.Index <= r.Last {
				cancelled{e.p, b}.apply(s)
			}
		}
	}
}

// interested occurs when a peer wants something of us, or no longer does.
type interested struct {
	p  *peer
	on bool
}

func (e interested) apply(s *state) {
	e.p.interested = e.on
	if e.p.shoal {
		return
	}
	free := stockSlots
	for p := range s.peers {
		if !p.shoal && !p.amChoking {
			free--
		}
	}
	if !e.on || free > 0 && e.p.amChoking {
		s.rechoke()
	}
}

// rechoke decides which stock peers are served.
func (s *state) rechoke() {
	s.sums.lastChoke = s.now
	var ps []*peer
	var cs []choker.Peer
	for p := range s.peers {
		if p.shoal {
			continue
		}
		rate := p.down.rate
		if s.complete() {
			rate = p.up.rate
		}
		cs = append(cs, choker.Peer{ID: len(ps), Interested: p.interested, Rate: rate, Unchoked: !p.amChoking, Since: p.chokedAt, Joined: p.joined})
		ps = append(ps, p)
	}
	was := slices.IndexFunc(ps, func(p *peer) bool { return p.lucky })
	chosen, lucky := choker.Choose(cs, stockSlots, was, s.now)
	for i, p := range ps {
		p.lucky = i == lucky
		if slices.Contains(chosen, i) {
			s.unchoke(p)
		} else {
			s.choke(p)
		}
	}
}

func (s *state) unchoke(p *peer) {
	if !p.amChoking {
		return
	}
	p.amChoking, p.chokedAt = false, s.now
	p.send(func(b []byte) []byte { return wire.AppendID(b, wire.Unchoke) })
}

// choke stops serving a peer; with BEP 6 it hears of every request that falls.
func (s *state) choke(p *peer) {
	if p.amChoking {
		return
	}
	p.amChoking, p.chokedAt = true, s.now
	fallen := p.link.conn.DropUploads()
	p.send(func(b []byte) []byte { return wire.AppendID(b, wire.Choke) })
	for _, u := range fallen {
		s.refuse(p, u.Block)
	}
}

// offerGift names the pieces that we serve a peer even while we choke it.
func (s *state) offerGift(p *peer) {
	swarm := s.o.Info.Swarms()[0]
	for _, i := range wire.AllowedFastSet(p.link.addr.Addr(), [20]byte(swarm), s.o.Info.NumPieces(), gifts) {
		p.gift = append(p.gift, i)
		if s.t.have.has(i) {
			p.send(func(b []byte) []byte { return wire.AppendAllowedFast(b, i) })
		}
	}
}

// announce tells a peer of a new piece: stock peers at once, shoal peers with
// the next news, or at once when they have nothing else to ask us for.
func (s *state) announce(p *peer, piece uint32) {
	if p.has.Has(int(piece)) && p.shoal {
		return
	}
	if !p.shoal {
		p.send(func(b []byte) []byte { return wire.AppendHave(b, piece) })
		return
	}
	p.news = append(p.news, piece)
	s.news = true
}

// flushIdle sends the news to peers that have nothing else to ask us for.
func (s *state) flushIdle() {
	if !s.news {
		return
	}
	s.news = false
	for p := range s.peers {
		if len(p.queue) == 0 && len(p.granted) == 0 {
			s.flushNews(p)
		}
	}
}

// flushNews sends the gathered announcements in one message.
func (s *state) flushNews(p *peer) {
	if len(p.news) == 0 {
		return
	}
	news := p.news
	p.news = nil
	s.tellHaves(p, news)
}

func (s *state) tellHaves(p *peer, pieces []uint32) {
	id, ok := p.ext.ID(wire.ExtShoal)
	if !ok || len(pieces) == 1 {
		p.send(func(b []byte) []byte {
			for _, i := range pieces {
				b = wire.AppendHave(b, i)
			}
			return b
		})
		return
	}
	p.send(func(b []byte) []byte { return wire.AppendExtended(b, id, wire.AppendShoalHaves(nil, pieces)) })
}
