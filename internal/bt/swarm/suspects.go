package swarm

import (
	"crypto/sha256"
	"errors"
	"net/netip"

	"shoal/internal/bt/wire"
)

// suspicion is what one peer contributed to a piece that turned out bad. When
// the piece is good at last, the bytes on disk tell who had lied.
type suspicion struct {
	p    *peer
	addr netip.AddrPort
	span
	sum [sha256.Size]byte
}

// badPiece deals with a piece whose hash does not match: a single sender is
// banned at once; of several, each one's bytes are remembered, and the piece
// is fetched again from one peer alone.
func (s *state) badPiece(a *active) {
	piece := a.part.piece
	s.sums.wasted += a.part.size
	if a.part.old {
		s.o.Log.Info("what an earlier run left of a piece is not right; it is fetched whole", "piece", piece)
		s.untake(uint32(piece))
		return
	}
	who, peersOnly := a.part.addrs()
	s.o.Log.Warn("a piece arrived damaged and is fetched again", "piece", piece, "from", who)
	switch {
	case len(who) == 1 && peersOnly && s.sameSender(a):
		s.blame(a.part.credits[0].who.p, uint32(piece))
	case len(who) == 0 && a.web != nil:
		s.failWeb(a.web, errBanned)
	default:
		s.suspect(a)
	}
	s.untake(uint32(piece))
}

// badLimit is how many damaged pieces a shoal peer may send: it may not know
// yet that its disk lies. It is told, and checks.
const badLimit = 3

// blame deals with the one peer that has sent a whole bad piece.
func (s *state) blame(p *peer, piece uint32) {
	p.bad++
	id, ok := p.ext.ID(wire.ExtShoal)
	if !p.shoal || !ok || p.bad >= badLimit || p.gone {
		s.ban(p)
		return
	}
	p.send(func(b []byte) []byte {
		return wire.AppendExtended(b, id, wire.AppendShoalDamaged(nil, []uint32{piece}))
	})
	lost{p, piece}.apply(s)
}

// reported occurs when a shoal peer says that pieces of ours are damaged.
type reported struct {
	p      *peer
	pieces wire.Runs
}

func (e reported) apply(s *state) {
	for piece := range e.pieces.All() {
		if e.p.reports++; e.p.reports > 16 || s.auditing {
			return
		}
		if s.have.Has(int(piece)) {
			s.audit(e.p.link.addr.String(), piece)
		}
	}
}

// audit re-reads one piece outside of the loop and, if it is damaged, all
// others that we have: what is wrong in one place is rarely wrong in one place
// only.
func (s *state) audit(who string, first uint32) {
	s.auditing = true
	t, have := s.t, s.have.Clone()
	t.wg.Go(func() {
		defer t.post(audited{})
		if t.intact(first) {
			t.o.Log.Info("a peer reported a piece as damaged, but it is not", "piece", first, "peer", who)
			return
		}
		for i := range uint32(t.o.Info.NumPieces()) {
			if s.ctx.Err() != nil {
				return
			}
			if have.Has(int(i)) && (i == first || !t.intact(i)) {
				t.post(damaged{i})
			}
		}
	})
}

// intact reads a piece back and checks it.
func (t *Torrent) intact(piece uint32) bool {
	pc, ok := t.o.Info.Piece(piece)
	if !ok {
		return false
	}
	part := &partial{piece: pc, base: int64(piece) * t.o.Info.PieceLength, size: t.o.Info.PieceData(pc), check: t.o.Hashes.NewChecker()}
	good, err := part.verify(t.o.Store)
	return good && err == nil
}

// damaged occurs when the audit has found a bad piece.
type damaged struct{ piece uint32 }

func (e damaged) apply(s *state) { s.withdraw(e.piece, errDamaged) }

// audited occurs when an audit is over.
type audited struct{}

func (audited) apply(s *state) { s.auditing = false }

var errDamaged = errors.New("the content on disk does not match the metafile")

// sameSender tells whether one connection brought all of the piece.
func (s *state) sameSender(a *active) bool {
	for _, c := range a.part.credits {
		if c.who != a.part.credits[0].who {
			return false
		}
	}
	return true
}

// suspect remembers what everybody contributed. Reading the piece back is
// rare enough to be done on the loop: it happens once a bad piece.
func (s *state) suspect(a *active) {
	if len(s.suspects) >= 64 {
		clear(s.suspects)
	}
	var list []suspicion
	for _, c := range a.part.credits {
		if c.who == nil {
			continue
		}
		if sum, ok := s.sumOnDisk(a.part.base+c.from, c.to-c.from); ok {
			list = append(list, suspicion{p: c.who.p, addr: c.who.addr, span: c.span, sum: sum})
		}
	}
	s.suspects[a.part.piece] = append(s.suspects[a.part.piece], list...)
}

// accuse bans those whose bytes differ from the good piece's.
func (s *state) accuse(a *active) {
	list := s.suspects[a.part.piece]
	delete(s.suspects, a.part.piece)
	for _, old := range list {
		if sum, ok := s.sumOnDisk(a.part.base+old.from, old.to-old.from); ok && sum != old.sum {
			s.ban(old.p)
		}
	}
}

func (s *state) sumOnDisk(off, n int64) ([sha256.Size]byte, bool) {
	buf := make([]byte, n)
	if _, err := s.o.Store.ReadAt(buf, off); err != nil {
		return [sha256.Size]byte{}, false
	}
	return sha256.Sum256(buf), true
}

// ban ends a peer that sends bad data and keeps its address out. Loopback
// addresses are shared by many peers, so there only the connection ends and
// the listening address is forgotten for long.
func (s *state) ban(p *peer) {
	s.o.Log.Warn("peer banned: it sent bad data", "peer", p.link.addr)
	if ip := p.link.addr.Addr(); !ip.IsLoopback() {
		s.conn.book.Ban(ip)
	} else if p.listen.IsValid() {
		s.conn.book.Self(p.listen)
	}
	s.drop(p, errBanned)
}
