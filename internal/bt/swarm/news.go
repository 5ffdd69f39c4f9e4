package swarm

import (
	"time"

	"shoal/internal/bt/wire"
)

// newsEvery is how long what we have may stay untold to a shoal peer that has
// other things to fetch: by then it is one message for many pieces, and at a
// few MB/s messages cost more than bytes. It is told before in any case with
// whatever else goes to it, so before it can choose what to ask us for.
const newsEvery = 500 * time.Millisecond

// announce tells peers of a new piece: stock peers at once, shoal peers that
// wait for something to fetch at once, the others with the next news.
func (s *state) announce(piece uint32) {
	s.gained = append(s.gained, piece)
	for p := range s.peers {
		has := p.has.Has(int(piece))
		switch {
		case !p.shoal:
			p.send(func(b []byte) []byte { return wire.AppendHave(b, piece) })
		case has:
			p.overlap++
		case !p.interested && (p.site != nil || p.overlap == s.have.Count()-1):
			s.flushNews(p) // it could have fetched nothing of ours until now
		}
	}
}

// flushNews tells a shoal peer what we have gained since it last heard.
func (s *state) flushNews(p *peer) {
	if !p.shoal || p.heard == len(s.gained) {
		return
	}
	s.tellHaves(p, s.gained[p.heard:])
	p.heard, p.newsAt = len(s.gained), s.now
}

// dueNews tells the news to those who have waited for long enough.
func (s *state) dueNews(p *peer) {
	if s.now.Sub(p.newsAt) >= newsEvery {
		s.flushNews(p)
	}
}

func (s *state) tellHaves(p *peer, pieces []uint32) {
	if p.shoalID == 0 || len(pieces) == 1 {
		p.send(func(b []byte) []byte {
			for _, i := range pieces {
				b = wire.AppendHave(b, i)
			}
			return b
		})
		return
	}
	p.send(func(b []byte) []byte { return wire.AppendExtended(b, p.shoalID, wire.AppendShoalHaves(nil, pieces)) })
}
