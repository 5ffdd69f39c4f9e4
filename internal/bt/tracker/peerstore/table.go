package peerstore

import (
	"hash/maphash"
	"slices"

	"shoal/internal/bt/tracker/handout"
)

// table holds the peers of one swarm and one address family in dense slots. A peer is known by its endpoint; its
// id leads to it too, unless another peer had that id first. Each stands in the site of its data centre, where all
// that want no more bytes come first, so that any subset is an interval and a sample is a few numbers.
type table struct {
	seed   maphash.Seed
	size   int      // bytes of an endpoint: announce.Size4 or Size6
	ends   []byte   // endpoints in compact form, slot by slot
	meta   []meta   // parallel to ends
	handed []uint32 // parallel to ends: how often each was handed out
	byEnd  index
	byID   index
	sites  []handout.Site // by data centre, in the order in which they appeared
	places []place        // parallel to sites
	homes  homes          // of those that are homed

	tally Tally // of slots that are no twins
}

// meta is what is known of a peer besides its endpoint. No pointers, 56 bytes.
type meta struct {
	up, down int64 // as last reported
	id       [20]byte
	key      uint32
	seen     uint32 // unix seconds of the last announce
	at       uint32 // position in its site
	site     uint16 // index into sites
	flags    flags
}

type flags uint8

const (
	hasKey    flags = 1 << iota
	completed       // its completed event is counted
	stray           // another peer owns the id: not in byID
	twin            // the same peer stands in the other table and is counted there
	partial         // BEP 21: wants no more bytes, but has not all
	seeding         // wants no more bytes
	told            // of seeds of other data centres
	homed           // has further addresses
)

// Tally counts peers by what they want.
type Tally struct {
	Seeds, Partial, Leeches int
}

func (t *table) len() int { return len(t.meta) }

func (t *table) end(slot int) []byte { return t.ends[slot*t.size : (slot+1)*t.size] }

// insert adds a peer whose endpoint is not there yet, and gives its slot. One marked as stray does not get its
// id even when that is free.
func (t *table) insert(end []byte, m meta, dc int16) int {
	slot := t.len()
	t.ends = append(t.ends, end...)
	m.flags &^= twin
	if t.findID(&m.id) >= 0 {
		m.flags |= stray
	}
	t.meta = append(t.meta, m)
	t.handed = append(t.handed, 0)
	t.byEnd.add(slot, t.hashEnd)
	if m.flags&stray == 0 {
		t.byID.add(slot, t.hashID)
	}
	t.join(slot, dc)
	t.count(slot, 1)
	return slot
}

// count takes a slot into the tally (+1) or out of it (-1), before and after whatever changes its kind.
func (t *table) count(slot, by int) {
	switch f := t.meta[slot].flags; {
	case f&twin != 0:
	case !t.isSeed(slot):
		t.tally.Leeches += by
	case f&partial != 0:
		t.tally.Partial += by
	default:
		t.tally.Seeds += by
	}
}

func (t *table) isSeed(slot int) bool { return t.meta[slot].flags&seeding != 0 }

// setFlag sets or clears one of the flags that change what a slot counts as, but for seeding: see setSeed.
func (t *table) setFlag(slot int, f flags, on bool) {
	if m := &t.meta[slot]; on != (m.flags&f != 0) {
		t.count(slot, -1)
		m.flags ^= f
		t.count(slot, 1)
		if f == twin {
			t.places[m.site].changed = true
		}
	}
}

// move gives a peer another endpoint, which must be free.
func (t *table) move(slot int, end []byte) {
	list := t.takeHomes(slot)
	t.byEnd.remove(slot, t.hashEnd)
	copy(t.end(slot), end)
	t.setHomes(slot, list)
	t.byEnd.add(slot, t.hashEnd)
	t.places[t.meta[slot].site].changed = true
}

// rename gives the slot's endpoint to a peer with another id.
func (t *table) rename(slot int, id *[20]byte) {
	m := &t.meta[slot]
	if m.id == *id {
		// The id may have become free since.
		if m.flags&stray != 0 && t.findID(id) < 0 {
			m.flags &^= stray
			t.byID.add(slot, t.hashID)
		}
		return
	}
	t.setFlag(slot, twin, false)
	if m.flags&stray == 0 {
		t.byID.remove(slot, t.hashID)
	}
	m.id = *id
	m.flags &^= stray
	if t.findID(id) >= 0 {
		m.flags |= stray
		return
	}
	t.byID.add(slot, t.hashID)
}

// remove takes a peer out; the last slot moves into its place.
func (t *table) remove(slot int) {
	t.count(slot, -1)
	t.part(slot)
	t.takeHomes(slot)
	t.byEnd.remove(slot, t.hashEnd)
	if t.meta[slot].flags&stray == 0 {
		t.byID.remove(slot, t.hashID)
	}
	last := t.len() - 1
	if slot != last {
		m := &t.meta[last]
		t.byEnd.cells[t.byEnd.cell(last, t.hashEnd(last))] = uint32(slot + 1)
		if m.flags&stray == 0 {
			t.byID.cells[t.byID.cell(last, t.hashID(last))] = uint32(slot + 1)
		}
		t.sites[m.site].Slots[m.at] = uint32(slot)
		t.meta[slot], t.handed[slot] = *m, t.handed[last]
		copy(t.end(slot), t.end(last))
	}
	t.meta, t.handed = t.meta[:last], t.handed[:last]
	t.ends = t.ends[:last*t.size]
}

// expire removes all peers last seen before the given second, and gives memory back.
func (t *table) expire(before uint32, gone func(id *[20]byte)) int {
	n := 0
	// Downwards: remove fills the gap from the end, thus with a peer that was looked at already.
	for slot := t.len() - 1; slot >= 0; slot-- {
		if t.meta[slot].seen >= before {
			continue
		}
		id := t.meta[slot].id
		t.remove(slot)
		gone(&id)
		n++
	}
	if n > 0 && t.len()*4 < cap(t.meta) {
		t.meta, t.handed = slices.Clone(t.meta), slices.Clone(t.handed)
		t.ends = slices.Clone(t.ends)
		t.tidySites()
		t.byEnd.shrink(t.hashEnd)
		t.byID.shrink(t.hashID)
	}
	return n
}
