package peerstore

import (
	"net/netip"

	"shoal/internal/bt/announce"
	"shoal/internal/bt/metainfo"
)

// Stats is what is known of one swarm.
type Stats struct {
	InfoHash metainfo.InfoHash
	Tally
	Completed int64
	Up, Down  int64  // bytes that peers reported to have sent and received, ever
	Touched   uint32 // unix seconds of the last announce
	Places    []int  // peers by data centre, those of unknown place last; nil unless asked for
}

func (sw *swarm) stats() Stats {
	return Stats{InfoHash: sw.hash, Tally: sw.tally(), Completed: sw.completed, Up: sw.up, Down: sw.down, Touched: sw.touched}
}

// Swarm tells about one swarm; ok is false when it is not known.
func (s *Store) Swarm(h metainfo.InfoHash) (st Stats, ok bool) {
	sh := s.of(h)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sw := sh.swarms[h]
	if sw == nil {
		return Stats{InfoHash: h}, false
	}
	return sw.stats(), true
}

// Has tells whether a peer of the swarm stands at an endpoint.
func (s *Store) Has(h metainfo.InfoHash, at netip.AddrPort) bool {
	sh := s.of(h)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sw := sh.swarms[h]
	if sw == nil {
		return false
	}
	var buf [maxEnd]byte
	return sw.table(at.Addr()).findEnd(announce.AppendCompact(buf[:0], at)) >= 0
}

// All tells about every swarm, in no order, one shard at a time. With places above zero it counts the peers in
// each of so many data centres.
func (s *Store) All(places int) []Stats {
	out := make([]Stats, 0, s.swarms.Load())
	for i := range s.shard {
		sh := &s.shard[i]
		sh.mu.Lock()
		for _, sw := range sh.swarms {
			st := sw.stats()
			if places > 0 {
				st.Places = make([]int, places+1)
				sw.v4.countPlaces(st.Places)
				sw.v6.countPlaces(st.Places)
			}
			out = append(out, st)
		}
		sh.mu.Unlock()
	}
	return out
}

func (t *table) countPlaces(n []int) {
	unknown := len(n) - 1
	for i := range t.meta {
		switch m := &t.meta[i]; {
		case m.flags&twin != 0:
		case t.dc(i) < 0 || int(t.dc(i)) >= unknown:
			n[unknown]++
		default:
			n[t.dc(i)]++
		}
	}
}

// Totals are counts of the whole store. Peers with both families stand in it twice.
type Totals struct {
	Swarms, Peers int
}

// Totals tells how much the store holds.
func (s *Store) Totals() Totals {
	return Totals{Swarms: int(s.swarms.Load()), Peers: int(s.peers.Load())}
}

// Revision tells two states of a store apart.
type Revision struct {
	History uint64 // counts new swarms and completed downloads
	Any     uint64 // counts announces and removals
}

// Revision is the present one.
func (s *Store) Revision() Revision {
	var r Revision
	for i := range s.shard {
		sh := &s.shard[i]
		sh.mu.Lock()
		r.History += sh.revision.History
		r.Any += sh.revision.Any
		sh.mu.Unlock()
	}
	return r
}
