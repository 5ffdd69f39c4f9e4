package swarm

import (
	"maps"
	"net/netip"
	"slices"
	"time"

	"shoal/internal/bt/multihome"
	"shoal/internal/topology"
)

// Places tells where hosts are, as far as that is known at the moment: it may
// learn more while a torrent runs. All methods may be called at any time.
type Places interface {
	// Own is our own place.
	Own() topology.Place
	// Of is the place of a peer, by its address and by what it says of itself,
	// which is the zero Place when it says nothing.
	Of(addr netip.Addr, said topology.Place) topology.Place
	// Way is how dear it is to bring a byte from one data centre to another, in
	// either direction.
	Way(a, b topology.Place) topology.Way
	// Homes are our addresses on networks of our own place that not everybody is on.
	Homes() []multihome.Address
}

// nowhere is what is known without Places: nothing.
type nowhere struct{}

func (nowhere) Own() topology.Place                                  { return topology.Place{} }
func (nowhere) Of(_ netip.Addr, _ topology.Place) (p topology.Place) { return p }
func (nowhere) Homes() []multihome.Address                           { return nil }
func (nowhere) Way(_, _ topology.Place) (w topology.Way)             { return w }

// maxPlaces bounds the sums by place: peers can claim any.
const maxPlaces = 4096

// Traffic is payload in bytes.
type Traffic struct {
	Up, Down int64
}

// locate finds out where a peer is, and lets the limits of that place hold.
func (s *state) locate(p *peer) {
	said := topology.Place{Datacenter: p.ext.Shoal.DC, Rack: p.ext.Shoal.Net}
	at := s.o.Places.Of(p.link.addr.Addr(), said)
	if at != p.place && p.link.conn != nil {
		s.account(p)
	}
	p.place = at
	s.settle(p)
	up, down := s.o.Limits(at)
	p.link.up.Set(up)
	p.link.down.Set(down)
}

// account adds what went over a connection since the last time to the sums, those
// of the peer's place among them.
func (s *state) account(p *peer) {
	now := Traffic{Up: p.link.conn.Sent(), Down: p.link.conn.Received()}
	if now == p.counted {
		return
	}
	at := p.place.Datacenter
	sum, known := s.sums.places[at]
	if !known && len(s.sums.places) >= maxPlaces {
		at, sum = "", s.sums.places[""]
	}
	sum.Up += now.Up - p.counted.Up
	sum.Down += now.Down - p.counted.Down
	s.sums.places[at] = sum
	s.sums.down += now.Down - p.counted.Down
	s.sums.up += now.Up - p.counted.Up
	p.counted = now
}

// medianQueue is how long what we send waits in the network.
func (s *state) medianQueue() time.Duration {
	var waits []time.Duration
	for p := range s.peers {
		if p.up.rate > 1 {
			waits = append(waits, p.link.conn.Queue())
		}
	}
	if len(waits) == 0 {
		return 0
	}
	slices.Sort(waits)
	return waits[len(waits)/2]
}

// byPlace returns the payload by data centre, and how many hosts of our own one
// share what comes over its links: those that lack something.
func (s *state) byPlace() (sums map[string]Traffic, near int) {
	if !s.complete() {
		near++
	}
	for p := range s.peers {
		s.account(p)
		if topology.Between(p.place, s.conn.place).Local() && !p.seed() && !p.ext.UploadOnly {
			near++
		}
	}
	sums = maps.Clone(s.sums.places)
	if s.sums.webDown > 0 { // the place of a web seed is not known
		t := sums[""]
		t.Down += s.sums.webDown
		sums[""] = t
	}
	return sums, near
}

// locateAll looks again where everybody is, and tells everybody where we are
// when that has become known.
func (s *state) locateAll() {
	own := s.o.Places.Own()
	moved := own != s.conn.place
	s.conn.place = own
	if moved {
		defer s.review()
	}
	for p := range s.peers {
		s.locate(p)
		if moved && p.extended {
			s.sayExtended(p)
		}
	}
}
