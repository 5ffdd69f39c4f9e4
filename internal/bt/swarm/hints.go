package swarm

import "shoal/internal/bt/metainfo"

// hinted is a Store that wants to know what becomes of its pieces. All of its
// methods return at once, but for Forget, which is not called on the loop.
type hinted interface {
	// Expect tells that a piece was asked for.
	Expect(p metainfo.Piece)
	// Cached lists the pieces that take memory only for those who may ask for
	// them; nil if that does not matter.
	Cached() []metainfo.Piece
	// Release tells that no peer here lacks the piece any more.
	Release(p metainfo.Piece)
	// Forget takes MarkHave back: the piece turned out damaged.
	Forget(p metainfo.Piece)
}

// noHints is for stores that do not care.
type noHints struct{}

func (noHints) Expect(metainfo.Piece)    {}
func (noHints) Cached() []metainfo.Piece { return nil }
func (noHints) Release(metainfo.Piece)   {}
func (noHints) Forget(metainfo.Piece)    {}

func hintsOf(st Store) hinted {
	if h, ok := st.(hinted); ok {
		return h
	}
	return noHints{}
}

// release gives up what every peer has that may still want something. Without
// such peers nothing is given up: one may be on its way.
func (s *state) release() {
	cached := s.t.hints.Cached()
	if len(cached) == 0 {
		return
	}
	leeches := 0
	for p := range s.peers {
		if !p.seed() {
			leeches++
		}
	}
	for _, piece := range cached {
		if leeches > 0 && s.pick.Avail(uint32(piece)) >= leeches {
			s.t.hints.Release(piece)
		}
	}
}
