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
	chokePeriod = 10 * time.Second // BEP 3
	stockSlots  = 8                // unchoked stock peers, the optimistic one included
	maxOwed     = 4096             // requests of a shoal peer that may wait to be sent
	gifts       = 10               // pieces served to a choked peer (BEP 6)
)

// asked occurs when a peer requests blocks.
type asked struct {
	p      *peer
	blocks []wire.Block
}

func (e asked) apply(s *state) {
	p := e.p
	defer func() { p.credit = max(p.credit, 0) }()
	for _, b := range e.blocks {
		switch {
		case p.owes(b):
		case p.unsent >= maxOwed:
			s.drop(p, peerconn.ErrFlood)
			return
		case !s.have.Has(int(b.Index)) || !s.serves(p, b.Index):
			s.refuse(p, b)
		case p.shoal:
			p.owe(b, s.now)
			s.line = append(s.line, queued{p, b})
		default:
			p.link.conn.Upload(peerconn.Upload{Block: b, Off: s.offset(b)})
		}
	}
	s.feed()
}

// serves tells whether a peer may ask for blocks of a piece now.
func (s *state) serves(p *peer, piece uint32) bool {
	if !p.shoal {
		return !p.amChoking || slices.Contains(p.gift, piece)
	}
	if p.owed[piece] != nil { // what it has begun it may end
		return true
	}
	p.credit--
	return p.credit >= 0
}

func (s *state) offset(b wire.Block) int64 {
	return int64(b.Index)*s.o.Info.PieceLength + int64(b.Begin)
}

func (s *state) refuse(p *peer, b wire.Block) {
	if p.link.fast {
		p.send(func(dst []byte) []byte { return wire.AppendBlock(dst, wire.Reject, b) })
	}
}

// sent occurs when blocks have left, or could not be read.
type sent struct {
	p    *peer
	us   []peerconn.Upload
	errs []error
}

func (e sent) apply(s *state) {
	for i, u := range e.us {
		s.hasLeft(e.p, u.Block, e.errs[i])
	}
	s.feed()
}

// hasLeft goes on after a block has left, or could not be read.
func (s *state) hasLeft(p *peer, b wire.Block, err error) {
	if p.gone {
		return
	}
	if p.shoal {
		s.sent(p, b)
		s.outOfLane(p, b)
	}
	if err != nil {
		s.refuse(p, b)
		s.withdraw(b.Index, err)
		return
	}
	piece, _ := s.o.Info.Piece(b.Index)
	if b.End() >= s.o.Info.PieceData(piece) {
		s.sourceSent(p, b.Index)
	}
}

// withdraw takes a piece out of service that the disk does not give, or gives
// damaged.
func (s *state) withdraw(piece uint32, err error) {
	if !s.have.Has(int(piece)) {
		return
	}
	s.o.Log.Error("a piece is not served any more", "piece", piece, "err", err)
	s.have.Clear(int(piece))
	if s.want.Has(int(piece)) {
		s.lacks++
	}
	s.t.wg.Go(func() { s.t.hints.Forget(metainfo.Piece(piece)) })
	if s.source != nil {
		s.source.mark(piece) // not ours to give any more
	}
	for p := range s.peers {
		delete(p.revealed, piece)
		if p.has.Has(int(piece)) {
			p.overlap--
		}
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
	if !s.unline(e.p, e.b) {
		if !e.p.link.conn.CancelUpload(e.b) {
			return // it has gone already
		}
		s.outOfLane(e.p, e.b)
	}
	e.p.unowe(e.b)
	s.refuse(e.p, e.b) // BEP 6: every request gets an answer
	s.feed()
}

// piecesCancelled occurs when a shoal peer takes back all requests for pieces.
type piecesCancelled struct {
	p      *peer
	pieces wire.Runs
}

func (e piecesCancelled) apply(s *state) {
	for piece := range e.pieces.All() {
		if o := e.p.owed[piece]; o != nil {
			for _, b := range slices.Clone(o.blocks) {
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
		s.freed = true
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
		if s.have.Has(int(i)) {
			p.send(func(b []byte) []byte { return wire.AppendAllowedFast(b, i) })
		}
	}
}
