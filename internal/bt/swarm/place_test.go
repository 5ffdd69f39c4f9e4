package swarm

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"shoal/internal/bt/multihome"
	"shoal/internal/bt/rate"
	"shoal/internal/bt/wire"
	"shoal/internal/topology"
)

// heard is a Places that notes what peers say of themselves.
type heard struct {
	mu    sync.Mutex
	own   topology.Place
	said  map[topology.Place]bool
	homes []multihome.Address
}

func (h *heard) Own() topology.Place {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.own
}

func (h *heard) move(to topology.Place) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.own = to
}

func (h *heard) Of(_ netip.Addr, said topology.Place) topology.Place {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.said[said] = true
	return said
}

func (h *heard) Homes() []multihome.Address { return h.homes }

func (h *heard) Way(_, _ topology.Place) (w topology.Way) { return w }

func (h *heard) heardOf(p topology.Place) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.said[p]
}

// TestPeersTellTheirPlace: by the handshake, and anew when it becomes known later.
func TestPeersTellTheirPlace(t *testing.T) {
	r := newRelease(t, 1<<20, 64<<10)
	rack := topology.Place{Datacenter: "fra1", Rack: "r7"}
	seed, leech := &heard{said: map[topology.Place]bool{}, own: rack}, &heard{said: map[topology.Place]bool{}}
	a := startHost(t, r, "a", true, func(o *Options) { o.Places = seed })
	b := startHost(t, r, "b", false, func(o *Options) {
		o.Places = leech
		o.Down = rate.Chain{rate.New(64 << 10)} // so that it is still there when it moves
	})
	b.AddPeers([]netip.AddrPort{a.addr})
	until(t, "the leech knows the seed's place", func() bool { return leech.heardOf(rack) })
	late := topology.Place{Datacenter: "iad1"}
	leech.move(late)
	until(t, "the seed hears where the leech is", func() bool { return seed.heardOf(late) })
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// TestLimitsOfPlace: what a peer gets is bounded by the limits of the place that
// it tells in its handshake, from the first byte on.
func TestLimitsOfPlace(t *testing.T) {
	const size, perSecond = 768 << 10, 512 << 10
	r := newRelease(t, size, 64<<10)
	far := rate.Chain{rate.New(perSecond)}
	seed := startHost(t, r, "seed", true, func(o *Options) {
		o.Places = &heard{said: map[topology.Place]bool{}}
		o.Limits = func(p topology.Place) (up, down rate.Chain) {
			if p.Datacenter == "far" {
				return far, nil
			}
			return nil, nil
		}
	})
	for _, c := range []struct {
		dc    string
		least time.Duration
	}{{"near", 0}, {"far", time.Second * (size - 64<<10) / perSecond}} {
		start := time.Now()
		leech := startHost(t, r, "leech"+c.dc, false, func(o *Options) {
			o.Places = &heard{said: map[topology.Place]bool{}, own: topology.Place{Datacenter: c.dc}}
		})
		leech.AddPeers([]netip.AddrPort{seed.addr})
		leech.wait(t, r)
		leech.stop()
		if took := time.Since(start); took < c.least {
			t.Errorf("%s: took %v, the limit allows no less than %v", c.dc, took, c.least)
		}
	}
	until(t, "the seed has counted both", func() bool {
		by := seed.Stats().Traffic
		return by["near"].Up == size && by["far"].Up == size
	})
}

// TestDialsNobodyTwice: who has dialled us is not dialled when we hear where it
// takes connections, but is when it is gone.
func TestDialsNobodyTwice(t *testing.T) {
	s := still(t, 4)
	there := netip.MustParseAddrPort("10.77.2.1:6881")
	p := s.meet(t)
	p.link.addr = netip.AddrPortFrom(there.Addr(), 43026)
	extHandshake{p, wire.ExtHandshake{P: there.Port()}}.apply(s)
	foundPeers{addrs: []netip.AddrPort{there}, named: true}.apply(s)
	if s.conn.dialing != 0 {
		t.Error("dials a peer that is connected")
	}
	s.drop(p, errFull)
	s.now = s.now.Add(restAfter(errFull))
	if at, _, ok := s.conn.book.Next(s.now, s.mayDial); at != there || !ok {
		t.Errorf("would dial %v, %v after it is gone", at, ok)
	}
}

// TestSecondAddress: a peer that is connected for long, and is then met at another of
// its addresses, keeps the connection that works, whoever has the smaller id and
// whoever dialled. Of two connections that crossed each other both ends keep the same.
func TestSecondAddress(t *testing.T) {
	for _, c := range []struct {
		name                string
		theirs              string // peer id; ours is -SH0001-xxxxxxxxxxxx
		oldOurs, newOurs    bool   // who has opened which
		age                 time.Duration
		keepsOld, remembers bool
	}{
		{"they dialled us, we dial their second address", "-SH0001-yyyyyyyyyyyy", false, true, time.Minute, true, true},
		{"the same, seen from the other end", "-SH0001-wwwwwwwwwwww", true, false, time.Minute, true, false},
		{"crossed, ours is the smaller id", "-SH0001-yyyyyyyyyyyy", false, true, time.Second, false, false},
		{"crossed, seen from the other end", "-SH0001-wwwwwwwwwwww", true, false, time.Second, false, false},
		{"crossed, theirs is the smaller id", "-SH0001-wwwwwwwwwwww", false, true, time.Second, true, true},
		{"we dial twice", "-SH0001-yyyyyyyyyyyy", true, true, time.Second, true, true},
		{"they dial twice", "-SH0001-yyyyyyyyyyyy", false, false, time.Second, true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := still(t, 4)
			old := s.meet(t)
			old.id, old.outgoing = [20]byte([]byte(c.theirs)), c.oldOurs
			s.conn.ids[old.id] = old
			s.now = s.now.Add(c.age)
			second := netip.MustParseAddrPort("10.77.3.1:6881")
			ours, theirs := net.Pipe()
			defer ours.Close()
			defer theirs.Close()
			err := s.admit(connected{nc: ours, hs: wire.NewHandshake([20]byte{}, old.id, wire.CapExtended), addr: second, outgoing: c.newOurs})
			if keeps := errors.Is(err, errDuplicate) && !old.gone; keeps != c.keepsOld {
				t.Errorf("keeps the old connection: %v (%v), want %v", keeps, err, c.keepsOld)
			}
			if got := s.meets(second); got != c.remembers {
				t.Errorf("knows that the second address is this peer's: %v, want %v", got, c.remembers)
			}
		})
	}
}
