package fleet

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"

	"shoal/internal/bt/tracker/handout"
)

// tracker introduces the hosts of a fleet by the policy of the real one.
type tracker struct {
	mu     sync.Mutex
	rng    *rand.Rand
	known  []*host          // nil: has left; the index is the slot
	slots  map[*host]uint32 // of those that are there
	handed []uint32         // by slot
	told   map[string]int   // by data centre
	sites  []string         // data centres in the order in which they came
}

func newTracker(seed uint64) *tracker {
	return &tracker{rng: rand.New(rand.NewPCG(seed, 1)), slots: map[*host]uint32{}, told: map[string]int{}}
}

// announce tells a host whom it may meet, and who else is in its data centre.
func (t *tracker) announce(h *host, seed bool) (peers, members []netip.AddrPort) {
	t.mu.Lock()
	defer t.mu.Unlock()
	slot := t.join(h)
	sites, own := t.look()
	a := handout.Asker{Site: own[h.place.Datacenter], Seed: seed, Shoal: true, Self: []uint32{slot}, Want: handout.Default, Told: h.told}
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
	slot, known := t.slots[h]
	if known {
		return slot
	}
	slot = uint32(len(t.known))
	t.known, t.handed, t.slots[h] = append(t.known, h), append(t.handed, 0), slot
	if !slices.Contains(t.sites, h.place.Datacenter) {
		t.sites = append(t.sites, h.place.Datacenter)
	}
	return slot
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
	slot, known := t.slots[h]
	if !known {
		return
	}
	delete(t.slots, h)
	t.known[slot] = nil
	if h.told {
		h.told = false
		t.told[h.place.Datacenter]--
	}
}
