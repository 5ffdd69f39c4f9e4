package swarm

import (
	"time"

	"shoal/internal/bt/swarm/choker"
	"shoal/internal/bt/swarm/owner"
	"shoal/internal/topology"
)

// site is a data centre other than ours, as far as we are connected to it.
type site struct {
	owner.Site
	place   topology.Place
	peers   int
	wholes  int       // of them, those that have everything
	has     []uint16  // by piece: how many of the others have it
	got     int       // pieces that one of them has
	gained  time.Time // when it got the last one
	senders choker.Abroad
	queue   queue
	pace    pace // of what comes from there
}

// queue is what goes to the peers of one site, and how many serve us. They have lanes of
// their own: a WAN link is not to cost those in our own site theirs, and the
// near one not those far away.
type queue struct {
	busy    int  // lanes that are taken, of feed
	senders int  // peers that send to us; see countSender
	given   pace // of what goes there
}

func (s *state) queueOf(p *peer) *queue {
	if p.site == nil {
		return &s.imports.queue
	}
	return &p.site.queue
}

// settle puts a peer into its site and counts its pieces there.
func (s *state) settle(p *peer) {
	im := &s.imports
	whole := p.seed() || p.ext.Shoal.Source // a source that hides its pieces is there for its own site
	if p.settled && whole == p.whole && s.at(p) {
		return // as after nearly every have
	}
	at := im.sites[p.place.Datacenter]
	if p.place.Datacenter == s.conn.place.Datacenter {
		at = nil
	} else if at == nil && len(im.sites) < maxSites {
		at = &site{
			Site: owner.Site{Key: owner.SiteKey(p.place.Datacenter)}, has: make([]uint16, s.o.Info.NumPieces()),
			place: p.place,
		}
		im.sites[p.place.Datacenter] = at
		defer s.review()
	}
	if p.settled && at == p.site && whole == p.whole {
		return
	}
	was := p.site
	s.uncount(p)
	p.site, p.whole, p.settled = at, whole, true
	s.countSender(p)
	s.tally(p, 1)
	s.leave(was)
}

// at tells whether a peer is counted where it is.
func (s *state) at(p *peer) bool {
	counted := s.conn.place.Datacenter
	if p.site != nil {
		if p.place.Datacenter == counted {
			return false
		}
		counted = p.site.place.Datacenter
	}
	return p.place.Datacenter == counted
}

// unsettle takes a peer out of its site.
func (s *state) unsettle(p *peer) {
	if p.settled {
		s.uncount(p)
		s.leave(p.site)
	}
}

// uncount counts a peer's pieces no more, until it is settled again.
func (s *state) uncount(p *peer) {
	if p.settled {
		s.tally(p, -1)
		p.settled = false
	}
}

// leave forgets a site of which nobody is left.
func (s *state) leave(at *site) {
	if at == nil || at.peers > 0 {
		return
	}
	for name, x := range s.imports.sites {
		if x == at {
			delete(s.imports.sites, name)
			s.review()
		}
	}
}

// doubt lets a peer count for nothing in its site, or for what it has again: a
// seed that hangs must not keep its data centre from bringing pieces in.
func (s *state) doubt(p *peer, silent bool) {
	if p.silent == silent || p.gone {
		return
	}
	s.o.Log.Debug("what a peer claims counts", "peer", p.link.addr, "counts", !silent)
	s.uncount(p)
	p.silent = silent
	s.settle(p)
}

// tally counts all pieces of a peer.
func (s *state) tally(p *peer, delta int) {
	s.imports.stale = true
	if p.site != nil {
		p.site.peers += delta
	}
	if p.silent {
		return
	}
	if !p.whole {
		for i := p.has.Next(0); i >= 0; i = p.has.Next(i + 1) {
			s.count(p, uint32(i), delta)
		}
		return
	}
	n := &s.imports.wholes
	if p.site != nil {
		n = &p.site.wholes
	}
	*n += delta
	if *n == 0 || *n == delta {
		s.review()
	}
}

// count counts one piece of a peer that lacks others.
func (s *state) count(p *peer, piece uint32, delta int) {
	if p.silent {
		return
	}
	if p.site == nil {
		s.pick.Add(piece, delta)
	} else {
		p.site.tell(piece, delta, s.now)
		s.imports.add(piece, delta)
	}
	s.reconsider(piece)
}

// tell counts a peer that has a piece.
func (at *site) tell(piece uint32, delta int, now time.Time) {
	was := at.has[piece]
	at.has[piece] = uint16(int(was) + delta)
	switch {
	case was == 0:
		at.got++
		at.gained = now
	case at.has[piece] == 0:
		at.got--
	}
}

// near tells whether somebody of our own site has a piece.
func (s *state) near(piece uint32) bool { return s.imports.wholes > 0 || s.pick.Avail(piece) > 0 }

// judgeSites finds out which sites keep up, ours among them, and tells whether that
// has changed. One that gets pieces as fast as we do gets those that it is to take
// first, too: who takes them before it only makes the link out of the site that has
// them fuller. One that is far behind, because it was cut off or has a narrow link,
// is waited for by nobody, and does not come before anybody.
func (s *state) judgeSites() (changed bool) {
	im := &s.imports
	im.ours = 0
	for i := range s.o.Info.NumPieces() {
		if s.have.Has(i) || s.near(uint32(i)) {
			im.ours++
		}
	}
	late := im.late
	im.late = false
	for _, at := range im.sites {
		was := at.Behind
		at.Behind = s.farBehind(at.got, s.have.Count()) ||
			im.level > 0 && (s.now.Sub(at.gained) > turnAside || at.got < s.have.Count()*3/4)
		im.late = im.late || at.wholes == 0 && s.farBehind(im.ours, at.got)
		changed = changed || at.Behind != was
	}
	return changed || im.late != late
}

// farBehind tells whether who has got so many pieces does not keep up with who has got
// those. At the start, when all have few, nobody is.
func (s *state) farBehind(got, those int) bool {
	return got < those*3/4-s.o.Info.NumPieces()/16
}
