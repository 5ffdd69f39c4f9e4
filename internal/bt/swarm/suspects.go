package swarm

import (
	"crypto/sha256"
	"net/netip"
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
	who, peersOnly := a.part.addrs()
	s.o.Log.Warn("a piece arrived damaged and is fetched again", "piece", piece, "from", who)
	switch {
	case len(who) == 1 && peersOnly && s.sameSender(a):
		s.ban(a.part.credits[0].who.p)
	case len(who) == 0 && a.web != nil:
		s.failWeb(a.web, errBanned)
	default:
		s.suspect(a)
	}
	s.pick.Return(uint32(piece))
}

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
