package trial

import (
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"

	"shoal/internal/bt/tracker/handout"
)

// handoutWant is how many peers a host asks for: the real tracker's default.
const handoutWant = 50

// tracker introduces hosts by the policy of the real one.
type tracker struct {
	dead   atomic.Bool // it answers nobody
	mu     sync.Mutex
	rng    *rand.Rand
	known  []*host          // nil: has left; the index is the slot
	slots  map[*host]uint32 // of those that are there
	handed []uint32         // by slot
	told   map[string]int   // by data centre
	names  []string         // data centres in the order in which they came
}

func newTracker(seed uint64) *tracker {
	return &tracker{rng: rand.New(rand.NewPCG(seed, 1)), slots: map[*host]uint32{}, told: map[string]int{}}
}

// announce tells a host whom it may meet, and who else is in its data centre.
func (t *tracker) announce(h *host) (peers, members []netip.AddrPort, ok bool) {
	if t.dead.Load() {
		return nil, nil, false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	slot := t.join(h)
	sites, index := t.look()
	a := handout.Asker{Site: index[h.at], Seed: h.store.complete(), Shoal: true, Self: []uint32{slot}, Want: handoutWant, Told: h.told, Sites: len(sites)}
	picked, told := handout.Pick(nil, sites, t.handed, a, t.rng)
	if told && !h.told {
		h.told = true
		t.told[h.at]++
	}
	for _, slot := range picked {
		t.handed[slot]++
		peers = append(peers, t.known[slot].addr())
	}
	for _, slot := range sites[a.Site].Slots {
		members = append(members, t.known[slot].addr())
	}
	return peers, members, true
}

func (t *tracker) join(h *host) uint32 {
	slot, known := t.slots[h]
	if known {
		return slot
	}
	slot = uint32(len(t.known))
	t.known, t.handed, t.slots[h] = append(t.known, h), append(t.handed, 0), slot
	for _, name := range t.names {
		if name == h.at {
			return slot
		}
	}
	t.names = append(t.names, h.at)
	return slot
}

// look sorts the hosts by data centre, seeds first.
func (t *tracker) look() (sites []handout.Site, index map[string]int) {
	sites, index = make([]handout.Site, len(t.names)), map[string]int{}
	for i, name := range t.names {
		index[name], sites[i].Told = i, t.told[name]
	}
	var leeches []uint32
	for slot, h := range t.known {
		switch {
		case h == nil:
		case h.store.complete():
			s := &sites[index[h.at]]
			s.Slots = append(s.Slots, uint32(slot))
			s.Seeds++
		default:
			leeches = append(leeches, uint32(slot))
		}
	}
	for _, slot := range leeches {
		s := &sites[index[t.known[slot].at]]
		s.Slots = append(s.Slots, slot)
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
		t.told[h.at]--
	}
}
