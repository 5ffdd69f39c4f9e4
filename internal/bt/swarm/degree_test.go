package swarm

import (
	"net/netip"
	"testing"

	"shoal/internal/bt/wire"
	"shoal/internal/topology"
)

// believing is Places that believe what a peer says of itself.
type believing struct{ nowhere }

func (believing) Of(_ netip.Addr, said topology.Place) topology.Place { return said }

// TestDegree: of neighbours that speak shoal as many are kept as make a good graph, those
// of the highest priorities; stock clients and peers elsewhere are none of them.
func TestDegree(t *testing.T) {
	s := still(t, 4)
	s.conn.place.Datacenter = "here"
	s.o.Places = believing{}
	named, unknown := netip.MustParseAddrPort("10.0.0.1:1"), netip.MustParseAddrPort("10.0.0.2:1")
	s.imports.named[named] = true
	met := func(rank int, shoal bool, at string) *peer {
		p := s.meet(t)
		p.rank = uint32(rank)
		h := wire.ExtHandshake{}
		if shoal {
			h = wire.ExtHandshake{M: map[string]int{wire.ExtShoal: ourShoal}, Shoal: wire.ShoalCaps{Version: wire.ShoalVersion, DC: at}}
		}
		extHandshake{p, h}.apply(s)
		return p
	}
	worst := met(1, true, "here")
	for i := range nearMost - 1 {
		if !s.mayDial(named, true) || !s.mayDial(unknown, false) {
			t.Fatalf("with %d neighbours, nobody else is dialled", len(s.peers))
		}
		met(i+2, true, "here")
	}
	far, stock := met(0, true, "there"), met(0, false, "")
	if s.mayDial(named, true) || !s.mayDial(unknown, true) || worst.gone {
		t.Errorf("full: dials neighbours %v, others %v, has lost one %v", s.mayDial(named, true), s.mayDial(unknown, true), worst.gone)
	}
	better := met(100, true, "here")
	if !worst.gone || better.gone || far.gone || stock.gone {
		t.Errorf("one too many: gone are the worst %v, the best %v, one elsewhere %v, a stock client %v", worst.gone, better.gone, far.gone, stock.gone)
	}
	var lowest *peer
	for p := range s.peers {
		if p.site == nil && p.shoal && (lowest == nil || p.rank < lowest.rank) {
			lowest = p
		}
	}
	lowest.pieces = 1 // it sends us one
	another := met(200, true, "here")
	if lowest.gone || another.gone || len(s.peers) != nearMost+2 {
		t.Errorf("gone are the one that sends %v, the newcomer %v; %d are left", lowest.gone, another.gone, len(s.peers))
	}
	met(0, true, "there")
	met(0, true, "there")
	if n := len(s.peers); n != heardTarget || s.mayDial(unknown, false) || !s.mayDial(unknown, true) {
		t.Errorf("%d peers: dials whom peers tell of %v, a tracker's %v", n, s.mayDial(unknown, false), s.mayDial(unknown, true))
	}
}
