package peerstore

import (
	"net/netip"
	"slices"

	"shoal/internal/bt/announce"
	"shoal/internal/bt/metainfo"
	"shoal/internal/bt/multihome"
)

// maxHomed bounds the peers whose further addresses are kept: some 100 MB if each says as much as it may.
const maxHomed = 100_000

// homes are the further addresses of peers that have any, by endpoint. All others cost a bit of their flags.
type homes map[netip.AddrPort][]multihome.Address

// setHomes notes the further addresses of a peer, in place of those before.
func (t *table) setHomes(slot int, list []multihome.Address) {
	m := &t.meta[slot]
	if len(list) == 0 {
		t.takeHomes(slot)
		return
	}
	if t.homes == nil {
		t.homes = homes{}
	}
	at := announce.Endpoint(t.end(slot))
	if m.flags&homed == 0 || !slices.Equal(t.homes[at], list) {
		t.homes[at] = list
	}
	m.flags |= homed
}

// takeHomes forgets them, and gives what they were.
func (t *table) takeHomes(slot int) (list []multihome.Address) {
	m := &t.meta[slot]
	if m.flags&homed == 0 {
		return nil
	}
	at := announce.Endpoint(t.end(slot))
	list = t.homes[at]
	if delete(t.homes, at); len(t.homes) == 0 {
		t.homes = nil
	}
	m.flags &^= homed
	return list
}

// shared says at which other address the asker should connect to a peer that is handed out, by its number in the list.
func (t *table) shared(asker []multihome.Address, slot, number int, via *multihome.Via) {
	if t.meta[slot].flags&homed == 0 {
		return
	}
	at := announce.Endpoint(t.end(slot))
	if there, ok := multihome.Shared(asker, t.homes[at]); ok && there != at {
		via.Add(number, t.size == announce.Size6, there)
	}
}

// Homed is a peer with further addresses.
type Homed struct {
	At    netip.AddrPort
	Homes []multihome.Address // not to be changed
}

// Homed are up to limit peers of a swarm with further addresses, by endpoint.
func (s *Store) Homed(h metainfo.InfoHash, limit int) []Homed {
	sh := s.of(h)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sw := sh.swarms[h]
	if sw == nil {
		return nil
	}
	var out []Homed
	for _, t := range []*table{&sw.v4, &sw.v6} {
		for at, list := range t.homes {
			out = append(out, Homed{at, list})
		}
	}
	slices.SortFunc(out, func(a, b Homed) int { return a.At.Compare(b.At) })
	return out[:min(len(out), limit)]
}
