package peerstore

import (
	"math"
	"net/netip"

	"shoal/internal/bt/announce"
	"shoal/internal/bt/metainfo"
	"shoal/internal/bt/multihome"
)

const (
	maxEnd = announce.Size6

	// maxRate is the most bytes a second that a peer is believed to move: 100 Gbit/s. Liars add no more.
	maxRate = 12_500_000_000
)

// Announce is one announce, as far as the store cares.
type Announce struct {
	InfoHash   metainfo.InfoHash
	ID         [20]byte
	Ends       [2]netip.AddrPort // where the peer listens; port 0: nowhere; the second may be zero
	V6         bool              // it asks over IPv6, and is handed out peers of that first
	Place      int16             // data centre of the first end; below zero: unknown
	Key        uint32            // valid with HasKey
	HasKey     bool
	Seed       bool // wants no more bytes
	Partial    bool // a Seed that has not all (BEP 21)
	Stopped    bool
	Completed  bool
	Uploaded   int64
	Downloaded int64
	Want       int                 // peers to hand out
	Cross      bool                // fill up with peers of the other family
	IDs        bool                // give their ids, too
	Homes      []multihome.Address // further ones, to be believed
	Shoal      bool                // content with fewer of its own data centre, and told who belongs to that
}

// swarm is all that is known under one info-hash.
type swarm struct {
	hash      metainfo.InfoHash
	v4, v6    table
	completed int64
	up, down  int64  // bytes reported, ever
	touched   uint32 // unix seconds of the last announce
}

func (sw *swarm) table(a netip.Addr) *table {
	if a.Unmap().Is4() {
		return &sw.v4
	}
	return &sw.v6
}

func (sw *swarm) len() int { return sw.v4.len() + sw.v6.len() }

// leave takes a stopped peer out, if it can be believed that it is the one it says: it stands at the endpoint
// that it asks from, or knows the key.
func (sw *swarm) leave(t *table, end []byte, a *Announce, now uint32) {
	slot := t.findID(&a.ID)
	if slot < 0 || !t.proves(slot, a) {
		slot = t.findEnd(end)
		if slot < 0 || t.meta[slot].id != a.ID || t.disproves(slot, a) {
			return
		}
	}
	sw.account(t, slot, a, now)
	sw.countCompleted(t, slot, a, true)
	id := t.meta[slot].id
	t.remove(slot)
	sw.pair(&id)
}

// proves tells that the asker knows the key of the peer in the slot.
func (t *table) proves(slot int, a *Announce) bool {
	m := &t.meta[slot]
	return m.flags&hasKey != 0 && a.HasKey && m.key == a.Key
}

// disproves tells that both have keys, and not the same.
func (t *table) disproves(slot int, a *Announce) bool {
	m := &t.meta[slot]
	return m.flags&hasKey != 0 && a.HasKey && m.key != a.Key
}

// put enters a peer or refreshes it, and gives its slot. The endpoint belongs to whoever asks from it. A peer
// id belongs to the one that had it first: who shows the same key moves to the new address, anybody else with
// that id is a peer of its own. room tells whether one more peer may be stored; slot is -1 when not.
func (sw *swarm) put(t *table, end []byte, a *Announce, now uint32, room func() error) (slot int, err error) {
	atEnd, owner := t.findEnd(end), t.findID(&a.ID)
	known := true
	switch {
	case owner >= 0 && owner != atEnd && t.proves(owner, a):
		if atEnd >= 0 {
			old := t.meta[atEnd].id
			t.remove(atEnd)
			sw.pair(&old)
		}
		slot = t.findID(&a.ID)
		t.move(slot, end)
	case atEnd >= 0:
		slot = atEnd
		if old := t.meta[slot].id; old != a.ID {
			// Another client was started there; what the old one reported is no base for its counters.
			t.rename(slot, &a.ID)
			t.meta[slot].up, t.meta[slot].down = a.Uploaded, a.Downloaded
			t.meta[slot].flags &^= hasKey | completed
			sw.pair(&old)
			known = false
		} else {
			t.rename(slot, &a.ID)
		}
	default:
		if err := room(); err != nil {
			return -1, err
		}
		known = false
		slot = t.insert(end, meta{id: a.ID, up: a.Uploaded, down: a.Downloaded, seen: now}, a.Place)
	}
	return sw.refresh(t, slot, a, now, known), nil
}

// refresh takes over what an announce says about a stored peer. known tells that the slot was this peer's before.
func (sw *swarm) refresh(t *table, slot int, a *Announce, now uint32, known bool) int {
	m := &t.meta[slot]
	if a.HasKey && m.flags&hasKey == 0 {
		m.key, m.flags = a.Key, m.flags|hasKey
	}
	t.setPlace(slot, a.Place)
	t.setHomes(slot, a.Homes)
	sw.pair(&a.ID)
	sw.account(t, slot, a, now)
	m.seen = now
	sw.countCompleted(t, slot, a, known)
	t.setSeed(slot, a.Seed)
	t.setFlag(slot, partial, a.Partial)
	return slot
}

// countCompleted counts the download of a peer that says it completed, or that was known to lack something and
// lacks nothing now: some clients leave without the event. Once a peer.
func (sw *swarm) countCompleted(t *table, slot int, a *Announce, known bool) {
	m := &t.meta[slot]
	if !a.Seed || a.Partial || m.flags&completed != 0 || sw.wasCompleted(&a.ID) {
		return
	}
	lacked := known && (!t.isSeed(slot) || m.flags&partial != 0)
	if a.Completed || lacked {
		sw.completed++
		m.flags |= completed
	}
}

// wasCompleted tells whether the completed event of a peer is counted in either table: one that has both
// families sends it twice (BEP 7).
func (sw *swarm) wasCompleted(id *[20]byte) bool {
	for _, t := range []*table{&sw.v4, &sw.v6} {
		if i := t.findID(id); i >= 0 && t.meta[i].flags&completed != 0 {
			return true
		}
	}
	return false
}

// pair finds out whether an id's peers in both tables are the same one, so that it counts once.
func (sw *swarm) pair(id *[20]byte) {
	if sw.v6.len() == 0 {
		return
	}
	j := sw.v6.findID(id)
	if j < 0 {
		return
	}
	i := sw.v4.findID(id)
	same := false
	if i >= 0 {
		a, b := &sw.v4.meta[i], &sw.v6.meta[j]
		same = a.flags&hasKey == b.flags&hasKey && a.key == b.key
	}
	sw.v6.setFlag(j, twin, same)
}

// account adds the bytes that a peer moved since its last announce.
func (sw *swarm) account(t *table, slot int, a *Announce, now uint32) {
	m := &t.meta[slot]
	limit := (int64(now) - int64(m.seen) + 1) * maxRate
	if m.flags&twin == 0 {
		sw.up = addMoved(sw.up, a.Uploaded-m.up, limit)
		sw.down = addMoved(sw.down, a.Downloaded-m.down, limit)
	}
	m.up, m.down = a.Uploaded, a.Downloaded
}

// addMoved adds what is plausible of a difference; counters that went back were reset.
func addMoved(sum, diff, limit int64) int64 {
	diff = max(0, min(diff, limit))
	if sum > math.MaxInt64-diff {
		return math.MaxInt64
	}
	return sum + diff
}

func (sw *swarm) tally() Tally {
	a, b := sw.v4.tally, sw.v6.tally
	return Tally{a.Seeds + b.Seeds, a.Partial + b.Partial, a.Leeches + b.Leeches}
}

// expire removes peers not seen since the given second.
func (sw *swarm) expire(before uint32) int {
	return sw.v4.expire(before, sw.pair) + sw.v6.expire(before, func(*[20]byte) {})
}

// idle tells that nothing would be forgotten with the swarm.
func (sw *swarm) idle(before uint32) bool {
	return sw.len() == 0 && sw.touched < before && sw.completed == 0 && sw.up == 0 && sw.down == 0
}
