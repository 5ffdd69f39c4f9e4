package swarm

import (
	"slices"

	"shoal/internal/bt/swarm/choker"
)

// licensed occurs when a shoal peer lets us begin pieces.
type licensed struct {
	p      *peer
	pieces int
}

func (e licensed) apply(s *state) {
	e.p.licence, e.p.licenceAt, e.p.alone = e.pieces, s.now, e.pieces > 2*turnPieces
	e.p.link.fetch.touch(s.now)
	s.fill(e.p)
}

// saturated tells whether enough peers send to us already: one more would only
// share our downlink with them, and have its uplink wait for us. Its licence
// is kept for later. A source that hands out the first copy comes first.
func (s *state) saturated(p *peer) bool {
	if p.ext.UploadOnly && !p.seed() {
		return false
	}
	if p.pieces > 0 {
		return false
	}
	if p.site != nil {
		return p.site.queue.senders >= p.site.senders.Most()
	}
	return s.imports.queue.senders >= s.senders.Most()
}

// asks counts a piece that a peer was asked for (delta 1) or no longer is (-1).
func (s *state) asks(p *peer, delta int) {
	p.pieces += delta
	s.countSender(p)
}

// countSender counts a peer among those of its site that send to us, or no more.
// It is called whenever pieces, site or shoal of the peer have changed.
func (s *state) countSender(p *peer) {
	var at *queue
	if p.shoal && p.pieces > 0 {
		at = s.queueOf(p)
	}
	if at == p.sendsAt {
		return
	}
	if p.sendsAt != nil {
		p.sendsAt.senders--
	}
	if at != nil {
		at.senders++
	}
	p.sendsAt = at
}

// stepSenders tries, once a second, whether more should send at a time; those
// of each site share another way to us.
func (s *state) stepSenders() {
	var others []int
	for p := range s.peers {
		if p.shoal && p.site == nil && !p.seed() && !p.ext.UploadOnly {
			others = append(others, p.has.Count())
		}
	}
	s.senders.Behind = choker.Behind(s.have.Count(), others)
	s.senders.Step(s.rateNear(), s.holdsBack(nil))
	for _, at := range s.imports.sites {
		at.senders.Step(s.now, s.holdsBack(at))
	}
}

// rateNear is what comes from our own site, in bytes/s.
func (s *state) rateNear() (rate float64) {
	for p := range s.peers {
		if p.site == nil {
			rate += p.down.rate
		}
	}
	return rate
}

// holdsBack tells whether there is a peer of a site that would send if we asked
// it.
func (s *state) holdsBack(at *site) bool {
	for p := range s.peers {
		if p.site == at && p.licence > 0 && s.saturated(p) {
			return true
		}
	}
	return false
}

// useLicences asks those who let us begin pieces, the newest licence first: its
// giver had nothing better to do a moment ago.
func (s *state) useLicences() {
	ps := s.lenders[:0]
	for p := range s.peers {
		if p.licence > 0 {
			ps = append(ps, p)
		}
	}
	slices.SortFunc(ps, func(a, b *peer) int { return b.licenceAt.Compare(a.licenceAt) })
	for _, p := range ps {
		s.fill(p)
	}
	clear(ps)
	s.lenders = ps
}

// refill asks those of whom pieces have come for others: once for all that came
// together, which are hundreds where each small file is a piece.
func (s *state) refill() {
	if len(s.spent) == 0 {
		return
	}
	for _, p := range s.spent {
		if _, still := s.peers[p]; still {
			s.fill(p)
			s.flushNews(p) // its slot is free
		}
	}
	clear(s.spent)
	s.spent = s.spent[:0]
	s.useLicences()
}
