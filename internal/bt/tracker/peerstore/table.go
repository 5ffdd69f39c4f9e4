package peerstore

import (
	"hash/maphash"
	"slices"
)

// table holds the peers of one swarm and one address family in dense slots: first all that want no more
// bytes, then the others, so that any subset is an interval and a sample is a few slot numbers. A peer is
// known by its endpoint; its id leads to it too, unless another peer had that id first.
type table struct {
	seed  maphash.Seed
	size  int    // bytes of an endpoint: announce.Size4 or Size6
	ends  []byte // endpoints in compact form, slot by slot
	meta  []meta // parallel to ends
	seeds int    // slots [0, seeds) are seeds
	byEnd index
	byID  index

	tally Tally // of slots that are no twins
}

// meta is what is known of a peer besides its endpoint. No pointers, 64 bytes at most.
type meta struct {
	up, down int64 // as last reported
	id       [20]byte
	key      uint32
	seen     uint32 // unix seconds of the last announce
	place    int16  // data centre; below zero: unknown
	flags    flags
}

type flags uint8

const (
	hasKey    flags = 1 << iota
	completed       // its completed event is counted
	stray           // another peer owns the id: not in byID
	twin            // the same peer stands in the other table and is counted there
	partial         // BEP 21: wants no more bytes, but has not all
)

// Tally counts peers by what they want.
type Tally struct {
	Seeds, Partial, Leeches int
}

func (t *table) len() int { return len(t.meta) }

func (t *table) end(slot int) []byte { return t.ends[slot*t.size : (slot+1)*t.size] }

// insert adds a peer whose endpoint is not there yet, and gives its slot. One marked as stray does not get its
// id even when that is free.
func (t *table) insert(end []byte, m meta, seed bool) int {
	slot := t.len()
	t.ends = append(t.ends, end...)
	m.flags &^= twin
	if t.findID(&m.id) >= 0 {
		m.flags |= stray
	}
	t.meta = append(t.meta, m)
	t.byEnd.add(slot, t.hashEnd)
	if m.flags&stray == 0 {
		t.byID.add(slot, t.hashID)
	}
	t.count(slot, 1)
	return t.setSeed(slot, seed)
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

// isSeed tells on which side of the border a slot stands.
func (t *table) isSeed(slot int) bool { return slot < t.seeds }

// setSeed moves a peer to the right side of the border between seeds and others; it gives the new slot.
func (t *table) setSeed(slot int, seed bool) int {
	if seed == t.isSeed(slot) {
		return slot
	}
	t.count(slot, -1)
	if seed {
		t.swap(slot, t.seeds)
		slot = t.seeds
		t.seeds++
	} else {
		t.seeds--
		t.swap(slot, t.seeds)
		slot = t.seeds
	}
	t.count(slot, 1)
	return slot
}

// setFlag sets or clears one of the flags that change what a slot counts as.
func (t *table) setFlag(slot int, f flags, on bool) {
	if m := &t.meta[slot]; on != (m.flags&f != 0) {
		t.count(slot, -1)
		m.flags ^= f
		t.count(slot, 1)
	}
}

// move gives a peer another endpoint, which must be free.
func (t *table) move(slot int, end []byte) {
	t.byEnd.remove(slot, t.hashEnd)
	copy(t.end(slot), end)
	t.byEnd.add(slot, t.hashEnd)
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
	slot = t.setSeed(slot, false)
	t.count(slot, -1)
	last := t.len() - 1
	t.swap(slot, last)
	t.byEnd.remove(last, t.hashEnd)
	if t.meta[last].flags&stray == 0 {
		t.byID.remove(last, t.hashID)
	}
	t.meta = t.meta[:last]
	t.ends = t.ends[:last*t.size]
}

// swap exchanges two slots.
func (t *table) swap(a, b int) {
	if a == b {
		return
	}
	cellA, cellB := t.byEnd.cell(a, t.hashEnd(a)), t.byEnd.cell(b, t.hashEnd(b))
	t.byEnd.cells[cellA], t.byEnd.cells[cellB] = uint32(b+1), uint32(a+1)
	const none = ^uint64(0)
	idA, idB := none, none
	if t.meta[a].flags&stray == 0 {
		idA = t.byID.cell(a, t.hashID(a))
	}
	if t.meta[b].flags&stray == 0 {
		idB = t.byID.cell(b, t.hashID(b))
	}
	if idA != none {
		t.byID.cells[idA] = uint32(b + 1)
	}
	if idB != none {
		t.byID.cells[idB] = uint32(a + 1)
	}
	t.meta[a], t.meta[b] = t.meta[b], t.meta[a]
	var tmp [maxEnd]byte
	n := copy(tmp[:], t.end(a))
	copy(t.end(a), t.end(b))
	copy(t.end(b), tmp[:n])
}

// expire removes all peers last seen before the given second, and gives memory back.
func (t *table) expire(before uint32, gone func(id *[20]byte)) int {
	n := 0
	// Downwards: remove fills the gap from the border or the end, thus with peers that were looked at already.
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
		t.meta = slices.Clone(t.meta)
		t.ends = slices.Clone(t.ends)
		t.byEnd.shrink(t.hashEnd)
		t.byID.shrink(t.hashID)
	}
	return n
}
