package swarm

import (
	"math/rand/v2"
	"slices"
	"time"
)

const (
	minRevealed  = 2                      // pieces on offer to a peer at least
	maxRevealed  = 512                    // and at most
	revealAhead  = 250 * time.Millisecond // of a peer's measured rate
	revealExpiry = 5 * time.Second        // an offer that is not taken goes to another peer
)

// source hands out the first copy. While it lasts, shoal peers are shown only
// the pieces that they shall fetch from us: each piece leaves once, to one
// host, before any leaves twice, and the hosts trade them among each other.
// It is BEP 16 with eyes open: the offers are disjoint, and as many are open
// at a time as the peer is fast, so a fast source never waits for the news
// that a piece has spread. Stock peers see a normal seed.
type source struct {
	order []uint32 // pieces not yet offered, in random order
	out   []bool   // by piece: sent to somebody, or seen elsewhere
	left  int      // pieces that are not out
}

func newSource(n int, seed uint64) *source {
	src := &source{order: make([]uint32, n), out: make([]bool, n), left: n}
	for i := range src.order {
		src.order[i] = uint32(i)
	}
	rand.New(rand.NewPCG(seed, 2)).Shuffle(n, func(i, j int) { src.order[i], src.order[j] = src.order[j], src.order[i] })
	return src
}

// next takes a piece to offer; false when all are out or on offer.
func (src *source) next() (uint32, bool) {
	for len(src.order) > 0 {
		piece := src.order[len(src.order)-1]
		src.order = src.order[:len(src.order)-1]
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
		src.order = slices.Insert(src.order, 0, piece)
	}
}

func (src *source) mark(piece uint32) {
	if !src.out[piece] {
		src.out[piece] = true
		src.left--
	}
}

// reveal offers a peer new pieces, as many as it is fast.
func (s *state) reveal(p *peer) {
	if s.source == nil || !p.blind || p.gone {
		return
	}
	size := float64(max(1, s.o.Info.ContentLength()/int64(max(1, s.o.Info.NumPieces())))) // of an average piece
	ahead := max(p.up.rate, p.up.now) * revealAhead.Seconds() / size
	want := min(minRevealed+int(ahead), maxRevealed)
	var pieces []uint32
	for len(p.revealed) < want {
		piece, ok := s.source.next()
		if !ok {
			break
		}
		p.revealed[piece] = s.now
		pieces = append(pieces, piece)
	}
	if len(pieces) > 0 {
		s.tellHaves(p, pieces)
	}
}

// sourceSent notes that a piece has left, and offers the next.
func (s *state) sourceSent(p *peer, piece uint32) {
	if s.source == nil {
		return
	}
	delete(p.revealed, piece)
	s.source.mark(piece)
	s.reveal(p)
	s.endSource()
}

// sourceHeard notes that a peer has a piece, from wherever. The next tick
// offers another in its place.
func (s *state) sourceHeard(p *peer, piece uint32) {
	if s.source == nil {
		return
	}
	s.source.mark(piece)
	if _, ok := p.revealed[piece]; ok && len(p.granted) == 0 {
		delete(p.revealed, piece)
	}
}

// takeBack returns what a lost peer had been offered and not fetched.
func (s *state) takeBack(p *peer) {
	if s.source == nil {
		return
	}
	for piece := range p.revealed {
		s.source.putBack(piece)
	}
	clear(p.revealed)
}

// stepSource takes offers back that nobody takes up, and ends the first copy
// when it is out.
func (s *state) stepSource() {
	if s.source == nil {
		return
	}
	for p := range s.peers {
		if len(p.queue) == 0 && len(p.granted) == 0 {
			for piece, since := range p.revealed {
				if s.now.Sub(since) > revealExpiry {
					delete(p.revealed, piece)
					s.source.putBack(piece)
				}
			}
		}
		s.reveal(p)
	}
	s.endSource()
}

// endSource shows everything to everyone once the first copy is out.
func (s *state) endSource() {
	if s.source.left > 0 {
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
	}
	s.o.Log.Debug("the first copy is out")
}

func (s *state) allPieces() []uint32 {
	have := s.t.have.clone()
	all := make([]uint32, 0, have.Count())
	for i := have.Next(0); i >= 0; i = have.Next(i + 1) {
		all = append(all, uint32(i))
	}
	return all
}
