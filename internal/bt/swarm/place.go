package swarm

import (
	"net/netip"

	"shoal/internal/topology"
)

// Places tells where hosts are, as far as that is known at the moment: it may
// learn more while a torrent runs. Both methods may be called at any time.
type Places interface {
	// Own is our own place.
	Own() topology.Place
	// Of is the place of a peer, by its address and by what it says of itself,
	// which is the zero Place when it says nothing.
	Of(addr netip.Addr, said topology.Place) topology.Place
}

// nowhere is what is known without Places: nothing.
type nowhere struct{}

func (nowhere) Own() topology.Place                                  { return topology.Place{} }
func (nowhere) Of(_ netip.Addr, _ topology.Place) (p topology.Place) { return p }

// locate finds out where a peer is.
func (s *state) locate(p *peer) {
	said := topology.Place{Datacenter: p.ext.Shoal.DC, Rack: p.ext.Shoal.Net}
	p.place = s.o.Places.Of(p.link.addr.Addr(), said)
}

// locateAll looks again where everybody is, and tells everybody where we are
// when that has become known.
func (s *state) locateAll() {
	own := s.o.Places.Own()
	moved := own != s.conn.place
	s.conn.place = own
	for p := range s.peers {
		s.locate(p)
		if moved && p.extended {
			s.sayExtended(p)
		}
	}
}
