package swarm

import (
	"context"
	"net"
	"net/netip"
	"testing"

	"shoal/internal/bt/multihome"
	"shoal/internal/bt/wire"
	"shoal/internal/topology"
)

func at(text string) netip.AddrPort { return netip.MustParseAddrPort(text) }

// TestIdentify: a multi-homed peer that came from an address of a network is known by the one that everybody is told,
// is dialled at neither, and cannot take another's name.
func TestIdentify(t *testing.T) {
	s := still(t, 4)
	s.conn.self = at("203.0.113.9:6881")
	plain, storage := at("203.0.113.1:6881"), at("10.77.2.1:6881")
	p := s.meet(t)
	p.link.addr = netip.AddrPortFrom(storage.Addr(), 43026)
	caps := wire.ShoalCaps{Version: 1, Self: plain, Nets: []multihome.Address{{Net: "storage", At: storage}}}
	shoal := map[string]int{wire.ExtShoal: 4}
	for range 2 { // it may be sent again
		extHandshake{p, wire.ExtHandshake{M: shoal, P: storage.Port(), Shoal: caps}}.apply(s)
	}
	if p.listen != plain {
		t.Errorf("it is known by %v, want %v", p.listen, plain)
	}
	foundPeers{addrs: []netip.AddrPort{plain, storage}}.apply(s)
	if s.conn.dialing != 0 {
		t.Error("dials a peer that is connected")
	}
	for _, taken := range []netip.AddrPort{plain, s.conn.self} {
		q := s.meet(t)
		q.link.addr = at("10.77.2.2:43026")
		caps.Self = taken
		extHandshake{q, wire.ExtHandshake{M: shoal, P: 6881, Shoal: caps}}.apply(s)
		if q.listen != at("10.77.2.2:6881") {
			t.Errorf("a peer took the name %v", q.listen)
		}
	}
	s.drop(p, errFull)
	s.now = s.now.Add(restAfter(errFull))
	if _, _, ok := s.conn.book.Next(s.now, s.mayDial); !ok {
		t.Error("it is not dialled after it is gone")
	}
}

// TestGossip: a peer is told of another one's address on a network only if both are on it, in one data centre; others
// are told the one for everybody.
func TestGossip(t *testing.T) {
	on := func(dc, net, end string) *peer {
		p := &peer{}
		p.shoal, p.place = net != "stock", topology.Place{Datacenter: dc}
		p.ext.Shoal.Nets = []multihome.Address{{Net: net, At: at(end)}}
		return p
	}
	of := on("fra1", "storage", "10.0.0.1:1")
	for _, c := range []struct {
		name  string
		asker *peer
		want  netip.AddrPort
	}{
		{"on the same network", on("fra1", "storage", "10.0.0.2:1"), at("10.0.0.1:1")},
		{"on another", on("fra1", "mgmt", "10.0.0.2:1"), netip.AddrPort{}},
		{"in another data centre", on("iad1", "storage", "10.0.0.2:1"), netip.AddrPort{}},
		{"a stock client", on("fra1", "stock", "10.0.0.2:1"), netip.AddrPort{}},
	} {
		if got := between(c.asker, of); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
	x := wire.Pex{Added: []wire.PexPeer{{Addr: at("203.0.113.1:1"), Via: at("10.0.0.1:1")}, {Addr: at("203.0.113.2:1")}}}
	parsed, err := wire.ParsePex(x.Encode())
	if err != nil {
		t.Fatal(err)
	}
	s := still(t, 4)
	for p := range s.peers {
		delete(s.peers, p)
	}
	s.o.MaxPeers = 0 // nobody is dialled
	found := gossiped(parsed)
	if found.apply(s); s.conn.book.Via(at("203.0.113.1:1")) != at("10.0.0.1:1") || s.conn.book.Via(at("203.0.113.2:1")).IsValid() {
		t.Errorf("%+v is not taken", found)
	}
}

// TestNetworkIsDown: a peer that does not answer on a shared network is met at the address for everybody, under which
// it is known either way, and the network is not tried again.
func TestNetworkIsDown(t *testing.T) {
	r := newRelease(t, 1<<20, 64<<10)
	for _, up := range []bool{true, false} {
		seed := startHost(t, r, "seed", true, nil)
		plain, storage := seed.addr, at("192.0.2.1:6881")
		dialled := make(chan netip.AddrPort, 10)
		leech := startHost(t, r, "leech", false, func(o *Options) {
			o.Dial = func(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
				dialled <- to
				if to == storage && !up {
					return nil, net.ErrClosed
				}
				return (&net.Dialer{}).DialContext(ctx, "tcp", plain.String())
			}
		})
		leech.AddRoutes(map[netip.AddrPort]netip.AddrPort{plain: storage})
		leech.AddPeers([]netip.AddrPort{plain, storage})
		leech.wait(t, r)
		leech.stop()
		seed.stop()
		if first := <-dialled; first != storage {
			t.Errorf("dialled %v first", first)
		}
		if more := len(dialled); up && more != 0 || !up && (more != 1 || <-dialled != plain) {
			t.Errorf("network up: %v: %d more dials", up, more)
		}
	}
}
