package swarm

import (
	"slices"
	"time"

	"shoal/internal/bt/wire"
)

// choked occurs when a peer chokes or unchokes us.
type choked struct {
	p  *peer
	on bool
}

func (e choked) apply(s *state) {
	e.p.chokesUs = e.on
	if e.on {
		s.releaseJobs(e.p)
		s.fillAll()
		return
	}
	e.p.link.fetch.touch(s.now)
	s.fill(e.p)
}

// allowed occurs when a peer will serve a piece even while it chokes us.
type allowed struct {
	p     *peer
	piece uint32
}

func (e allowed) apply(s *state) {
	if len(e.p.allowed) < 64 {
		e.p.allowed = append(e.p.allowed, e.piece)
		s.fill(e.p)
	}
}

// refused occurs when a peer rejects a request (BEP 6). After a choke that is
// normal; else it gets a rest.
type refused struct {
	p     *peer
	block wire.Block
}

func (e refused) apply(s *state) {
	j := e.p.link.fetch.rejected(e.block)
	if j == nil {
		return
	}
	if a := s.prog[j.part.piece]; a != nil && a.part == j.part {
		if i := slices.Index(a.by, e.p); i >= 0 {
			a.by = slices.Delete(a.by, i, i+1)
			s.asks(e.p, -1)
			s.orphaned(j.part.piece, a)
		}
	}
	if e.p.shoal {
		e.p.licence = 0
	} else if !e.p.chokesUs {
		e.p.holdUntil = s.now.Add(time.Second)
	}
	s.fillAll()
}
