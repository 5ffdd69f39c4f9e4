package swarm

import (
	"net/netip"
	"sync"
	"testing"
	"time"

	"shoal/internal/bt/rate"
	"shoal/internal/topology"
)

// heard is a Places that notes what peers say of themselves.
type heard struct {
	mu   sync.Mutex
	own  topology.Place
	said map[topology.Place]bool
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
