package swarm

import (
	"context"
	"net"
	"net/netip"
	"time"

	"shoal/internal/bt/metainfo"
	"shoal/internal/bt/multihome"
	"shoal/internal/bt/wire"
)

// A host with several addresses is one peer: it is known, told of, owns pieces and is a member by the one address that
// everybody is told. The others are only dialled, by hosts that are on the same network.

// nearTimeout is how long a host may take to answer on a network that it shares with us, before it is tried at the
// address that everybody is told.
const nearTimeout = 2 * time.Second

// greetVia connects to a peer where it should be dialled first, else at its own address.
func (t *Torrent) greetVia(ctx context.Context, addr, via netip.AddrPort, hash metainfo.InfoHash) (net.Conn, wire.Handshake, error) {
	if via.IsValid() {
		nc, hs, err := t.greet(ctx, nearTimeout, via, hash)
		if err == nil {
			return nc, hs, nil
		}
		t.o.Log.Debug("a peer does not answer on a network of ours", "peer", addr, "at", via, "err", err)
		t.post(astray{addr, via})
	}
	return t.greet(ctx, dialTimeout, addr, hash)
}

// astray occurs when a peer could not be connected to where it should be dialled first. It is not tried there again
// until somebody says so anew.
type astray struct{ addr, via netip.AddrPort }

func (e astray) apply(s *state) {
	if s.conn.book.Via(e.addr) == e.via {
		s.conn.book.Route(e.addr, netip.AddrPort{}, false)
	}
}

// AddRoutes tells of peers that should be dialled at another address than the one by which they are known.
func (t *Torrent) AddRoutes(via map[netip.AddrPort]netip.AddrPort) {
	if len(via) > 0 {
		t.post(foundPeers{via: via, named: true})
	}
}

// routes notes where to dial peers.
func (s *state) routes(via map[netip.AddrPort]netip.AddrPort, named bool) {
	for addr, at := range via {
		s.conn.book.Route(addr, at, named)
	}
}

// gossiped is what a peer tells of others.
func gossiped(x wire.Pex) foundPeers {
	found := foundPeers{addrs: make([]netip.AddrPort, 0, len(x.Added))}
	for _, a := range x.Added {
		found.addrs = append(found.addrs, a.Addr)
		if a.Via.IsValid() {
			if found.via == nil {
				found.via = map[netip.AddrPort]netip.AddrPort{}
			}
			found.via[a.Addr] = a.Via
		}
	}
	return found
}

// between is where one peer should dial another: at a network that both say they are on, in one data centre. The zero
// value: at the address that everybody is told.
func between(asker, p *peer) (at netip.AddrPort) {
	if asker.shoal && p.shoal && asker.place.Datacenter == p.place.Datacenter {
		at, _ = multihome.Shared(asker.ext.Shoal.Nets, p.ext.Shoal.Nets)
	}
	return at
}

// identify takes what a multi-homed peer says everybody knows it by, unless that is somebody else here, and notes
// where it can be met besides.
func (s *state) identify(p *peer) {
	said := &p.ext.Shoal
	if len(said.Nets) == 0 {
		return
	}
	if was := p.listen; said.Self.IsValid() && said.Self != was && said.Self != s.conn.self && !s.elsewhere(p, said.Self) {
		p.listen = said.Self
		if was.IsValid() {
			p.answersAt(was)
		}
	}
	for _, a := range said.Nets {
		p.answersAt(a.At)
	}
}

// elsewhere tells whether another peer is known by an address.
func (s *state) elsewhere(p *peer, at netip.AddrPort) bool {
	for q := range s.peers {
		if q != p && q.listen == at {
			return true
		}
	}
	return false
}

// known notes by which address everybody knows us, and tells peers if we are multi-homed: they may have met us at
// another one.
func (s *state) known(self netip.AddrPort) {
	if self == s.conn.self {
		return
	}
	s.conn.self = self
	if len(s.o.Places.Homes()) == 0 {
		return
	}
	for p := range s.peers {
		if p.shoal && p.extended {
			s.sayExtended(p)
		}
	}
}

// SetSelf tells the torrent by which address a tracker tells everybody of it.
func (t *Torrent) SetSelf(self netip.AddrPort) { t.post(selfKnown{self}) }

// selfKnown occurs when a tracker says by which address everybody knows us.
type selfKnown struct{ self netip.AddrPort }

func (e selfKnown) apply(s *state) {
	s.imports.self, s.imports.stale = e.self, true
	s.known(e.self)
}
