package fleet

import (
	"math/rand/v2"
	"net/netip"
	"sync"

	"shoal/internal/bt/tracker/handout"
)

// tracker introduces the hosts of a fleet by the policy of the real one.
type tracker struct {
	mu     sync.Mutex
	most   int
	rng    *rand.Rand
	known  []*host  // nil: has left; the index is the slot
	handed []uint32 // by slot
	told   map[string]int
	sites  []string // in the order in which they came
}

func newTracker(most int, seed uint64) *tracker {
	return &tracker{most: most, rng: rand.New(rand.NewPCG(seed, 1)), told: map[string]int{}}
}

// announce tells a host whom it may meet, and who else is in its data centre.
func (t *tracker) announce(h *host, seed bool) (peers, members []netip.AddrPort) {
	t.mu.Lock()
	defer t.mu.Unlock()
	slot := t.join(h)
	sites, own := t.look()
	a := handout.Asker{Site: own[h.place.Datacenter], Seed: seed, Shoal: true, Self: []uint32{slot}, Want: t.most, Told: h.told}
	slots, told := handout.Pick(nil, sites, t.handed, a, t.rng)
	if told && !h.told {
		h.told = true
		t.told[h.place.Datacenter]++
	}
	for _, slot := range slots {
		t.handed[slot]++
		peers = append(peers, t.known[slot].addr())
	}
	for _, slot := range sites[a.Site].Slots {
		members = append(members, t.known[slot].addr())
	}
	return peers, members
}

func (t *tracker) join(h *host) (slot uint32) {
	for i, k := range t.known {
		if k == h {
			return uint32(i)
		}
	}
	t.known, t.handed = append(t.known, h), append(t.handed, 0)
	for _, name := range t.sites {
		if name == h.place.Datacenter {
			return uint32(len(t.known) - 1)
		}
	}
	t.sites = append(t.sites, h.place.Datacenter)
	return uint32(len(t.known) - 1)
}

// look sorts the hosts by data centre, seeds first.
func (t *tracker) look() (sites []handout.Site, index map[string]int) {
	sites, index = make([]handout.Site, len(t.sites)), map[string]int{}
	for i, name := range t.sites {
		index[name], sites[i].Told = i, t.told[name]
	}
	for _, seeds := range []bool{true, false} {
		for slot, h := range t.known {
			if h == nil || h.complete() != seeds {
				continue
			}
			s := &sites[index[h.place.Datacenter]]
			s.Slots = append(s.Slots, uint32(slot))
			if seeds {
				s.Seeds++
			}
		}
	}
	return sites, index
}

func (t *tracker) leave(h *host) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i, k := range t.known {
		if k == h {
			t.known[i] = nil
			if h.told {
				h.told = false
				t.told[h.place.Datacenter]--
			}
		}
	}
}
