package peerstore

import (
	"math"
	"net/netip"
	"slices"

	"shoal/internal/bt/announce"
	"shoal/internal/bt/tracker/handout"
)

// place is what is known of one data centre of a table beside its slots (see table.sites).
type place struct {
	dc      int16 // below zero: unknown
	changed bool  // its peers are not those of the list any more
	list    memberList
}

// memberList is what shoal peers are told of their data centre. It is made at most once a second, so that a crowd
// costs one walk over the slots.
type memberList struct {
	epoch uint32 // unix second of its making; 0: never
	ends  []byte // compact
	total int
}

// findSite gives the index of a data centre in the table, -1 when it has none.
func (t *table) findSite(dc int16) int {
	for i := range t.places {
		if t.places[i].dc == dc {
			return i
		}
	}
	return -1
}

// join puts a peer that is in no site into one.
func (t *table) join(slot int, dc int16) {
	i := t.findSite(dc)
	if i < 0 {
		i = len(t.sites)
		t.sites = append(t.sites, handout.Site{})
		t.places = append(t.places, place{dc: dc})
	}
	s, p := &t.sites[i], &t.places[i]
	p.changed = true
	m := &t.meta[slot]
	m.site, m.at = uint16(i), uint32(len(s.Slots))
	s.Slots = append(s.Slots, uint32(slot))
	if m.flags&seeding != 0 {
		t.exchange(s, m.at, uint32(s.Seeds))
		s.Seeds++
	}
}

// part takes a peer out of its site.
func (t *table) part(slot int) {
	m := &t.meta[slot]
	s, p := &t.sites[m.site], &t.places[m.site]
	p.changed = true
	if m.flags&told != 0 {
		m.flags &^= told
		s.Told--
	}
	if m.flags&seeding != 0 {
		s.Seeds--
		t.exchange(s, m.at, uint32(s.Seeds))
	}
	t.exchange(s, m.at, uint32(len(s.Slots)-1))
	s.Slots = s.Slots[:len(s.Slots)-1]
}

// exchange swaps two positions of a site.
func (t *table) exchange(s *handout.Site, i, j uint32) {
	a, b := s.Slots[i], s.Slots[j]
	s.Slots[i], s.Slots[j] = b, a
	t.meta[a].at, t.meta[b].at = j, i
}

// setPlace moves a peer to the data centre where it is now.
func (t *table) setPlace(slot int, dc int16) {
	if t.dc(slot) != dc {
		t.part(slot)
		t.join(slot, dc)
	}
}

func (t *table) dc(slot int) int16 { return t.places[t.meta[slot].site].dc }

// setSeed notes whether a peer wants no more bytes.
func (t *table) setSeed(slot int, on bool) {
	m := &t.meta[slot]
	if on == t.isSeed(slot) {
		return
	}
	t.count(slot, -1)
	m.flags ^= seeding
	t.count(slot, 1)
	s := &t.sites[m.site]
	if on {
		t.exchange(s, m.at, uint32(s.Seeds))
		s.Seeds++
		return
	}
	s.Seeds--
	t.exchange(s, m.at, uint32(s.Seeds))
}

// tell notes that a peer is told of seeds of other data centres, which has its place until it leaves.
func (t *table) tell(slot int) {
	if m := &t.meta[slot]; m.flags&told == 0 {
		m.flags |= told
		t.sites[m.site].Told++
	}
}

// tidySites gives memory back after many peers left.
func (t *table) tidySites() {
	if t.len() == 0 {
		t.sites, t.places = nil, nil
		return
	}
	for i := range t.sites {
		if s := &t.sites[i]; len(s.Slots)*4 < cap(s.Slots) {
			s.Slots = slices.Clone(s.Slots)
		}
	}
}

// members is the list of a data centre. Above announce.MaxMembers it has those whose hash is lowest: nearly as many,
// and the same ones each time, whoever comes and goes.
func (t *table) members(dc int16, now uint32) memberList {
	i := t.findSite(dc)
	if i < 0 {
		return memberList{}
	}
	p := &t.places[i]
	l := &p.list
	if l.epoch != 0 && (!p.changed || l.epoch == now) {
		return *l
	}
	slots := t.sites[i].Slots
	limit := uint64(math.MaxUint64)
	if n := len(slots); n > announce.MaxMembers {
		limit = limit / uint64(n) * (announce.MaxMembers - announce.MaxMembers/20)
	}
	// Fresh memory: the old list may be about to be copied into an answer.
	*l = memberList{epoch: now, ends: make([]byte, 0, min(len(slots), announce.MaxMembers)*t.size)}
	for _, slot := range slots {
		switch {
		case t.meta[slot].flags&twin != 0: // stands in the other family's list
			continue
		case len(l.ends) < announce.MaxMembers*t.size && (limit == math.MaxUint64 || t.hashEnd(int(slot)) <= limit):
			l.ends = append(l.ends, t.end(int(slot))...)
		}
		l.total++
	}
	p.changed = false
	return *l
}

// site fills in what a shoal peer is told of its data centre: who belongs to it, in both families, and where it
// stands there itself.
func (sw *swarm) site(a *Announce, now uint32, dc string, out *announce.Site) {
	v4, v6 := sw.v4.members(a.Place, now), sw.v6.members(a.Place, now)
	out.DC, out.Epoch, out.Total, out.Self = dc, int64(max(v4.epoch, v6.epoch)), v4.total+v6.total, sw.self(a)
	out.V4, out.V6 = append(out.V4[:0], v4.ends...), append(out.V6[:0], v6.ends...)
}

// self is the endpoint by which the asker stands in the list of members.
func (sw *swarm) self(a *Announce) netip.AddrPort {
	at := a.Ends[0]
	if !at.IsValid() || at.Port() == 0 {
		return netip.AddrPort{} // it is no member
	}
	if at.Addr().Unmap().Is4() {
		return at
	}
	var buf [maxEnd]byte
	slot := sw.v6.findEnd(announce.AppendCompact(buf[:0], at))
	if slot < 0 || sw.v6.meta[slot].flags&twin == 0 {
		return at
	}
	if first := sw.v4.findID(&a.ID); first >= 0 {
		return announce.Endpoint(sw.v4.end(first))
	}
	return at
}
