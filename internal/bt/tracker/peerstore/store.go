// Package peerstore keeps who is in which swarm. It is sharded by info-hash, so that no lock is global; the
// peers of a swarm stand in dense slots without pointers, IPv4 and IPv6 apart, at some 70 bytes each, which the
// garbage collector never looks at.
//
// It never reads a clock (the caller passes unix seconds), never opens files or sockets, and does not know
// what may be announced by whom.
package peerstore

import (
	"errors"
	"hash/maphash"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"

	"shoal/internal/bt/announce"
	"shoal/internal/bt/metainfo"
	"shoal/internal/bt/tracker/handout"
)

// Refusals of an announce for want of room.
var (
	ErrSwarmFull = errors.New("this swarm has as many peers as the tracker allows")
	ErrPeersFull = errors.New("the tracker has as many peers as it allows")
	ErrFull      = errors.New("the tracker has as many swarms as it allows")
)

// Options bound a store.
type Options struct {
	Swarms     int                          // most swarms
	SwarmPeers int                          // most peers in one swarm
	Peers      int                          // most peers in all
	Lifetime   uint32                       // seconds that a peer lives after an announce
	Keep       func(metainfo.InfoHash) bool // swarms that are never dropped to make room; nil: none
	Place      func(netip.Addr) int16       // data centre of a restored peer; nil: unknown
	Names      []string                     // of the data centres that there are
	Dear       func(a, b string) byte       // how dear the way between two of them is, 0 the cheapest; nil: all alike
}

// nameOf is the data centre of an index; empty when that is not known.
func nameOf(names []string, dc int16) string {
	if dc < 0 || int(dc) >= len(names) {
		return ""
	}
	return names[dc]
}

const shards = 256

// Store is safe for concurrent use.
type Store struct {
	o      Options
	seed   maphash.Seed
	swarms atomic.Int64
	peers  atomic.Int64
	homed  atomic.Int64 // peers with further addresses
	shard  [shards]shard
}

type shard struct {
	mu      sync.Mutex
	swarms  map[metainfo.InfoHash]*swarm
	rng     *rand.Rand
	slots   []uint32 // scratch of a handout
	selves  [3]uint32
	crowded bool // nothing can be dropped for a new swarm, until the next sweep

	revision Revision
	_        [64]byte // so that neighbours do not share a cache line
}

// New makes an empty store.
func New(o Options) *Store {
	s := &Store{o: o, seed: maphash.MakeSeed()}
	for i := range s.shard {
		s.shard[i].swarms = make(map[metainfo.InfoHash]*swarm)
		s.shard[i].rng = rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))
	}
	return s
}

func (s *Store) of(h metainfo.InfoHash) *shard {
	return &s.shard[maphash.Bytes(s.seed, h[:])%shards]
}

// Announce enters, refreshes or removes the asker, and fills in counts and peers of the response, appending to
// its lists. An error is one of ErrSwarmFull, ErrPeersFull and ErrFull.
func (s *Store) Announce(a *Announce, now uint32, out *announce.Response) error {
	sh := s.of(a.InfoHash)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sw := sh.swarms[a.InfoHash]
	if sw == nil {
		if a.Stopped {
			return nil
		}
		var err error
		if sw, err = s.open(sh, a.InfoHash); err != nil {
			return err
		}
	}
	sw.touched = now
	sh.revision.Any++
	finished := sw.completed
	for i := range a.Ends {
		if err := s.enter(sw, a, a.Ends[i], now); err != nil {
			return err
		}
	}
	if sw.completed != finished {
		sh.revision.History++
	}
	n := sw.tally()
	out.Seeds, out.Leeches, out.Downloaded = n.Seeds, n.Partial+n.Leeches, int(sw.completed)
	sh.pick(s.o.Names, sw, a, out)
	if a.Shoal && !a.Stopped {
		sw.site(a, now, nameOf(s.o.Names, a.Place), &out.Site)
		if s.o.Dear != nil {
			out.Site.SetWays(s.o.Dear)
		}
	}
	return nil
}

// enter does what an announce asks for in one family.
func (s *Store) enter(sw *swarm, a *Announce, at netip.AddrPort, now uint32) error {
	if !at.IsValid() || at.Port() == 0 {
		return nil
	}
	var buf [maxEnd]byte
	end := announce.AppendCompact(buf[:0], at)
	t := sw.table(at.Addr())
	if len(a.Homes) > 0 && s.homed.Load() >= maxHomed && t.homes[announce.Endpoint(end)] == nil {
		a.Homes = nil
	}
	before, homed := t.len(), len(t.homes)
	defer func() {
		s.peers.Add(int64(t.len() - before))
		s.homed.Add(int64(len(t.homes) - homed))
	}()
	if a.Stopped {
		sw.leave(t, end, a, now)
		return nil
	}
	_, err := sw.put(t, end, a, now, func() error {
		switch {
		case sw.len() >= s.o.SwarmPeers:
			return ErrSwarmFull
		case s.peers.Load() >= int64(s.o.Peers):
			return ErrPeersFull
		}
		return nil
	})
	return err
}

// open makes a swarm, if need be in place of the one that was idle longest in its shard.
func (s *Store) open(sh *shard, h metainfo.InfoHash) (*swarm, error) {
	if s.swarms.Add(1) > int64(s.o.Swarms) && !s.evict(sh) {
		s.swarms.Add(-1)
		return nil, ErrFull
	}
	sw := &swarm{hash: h}
	sw.v4 = table{seed: s.seed, size: announce.Size4}
	sw.v6 = table{seed: s.seed, size: announce.Size6}
	sh.swarms[h] = sw
	sh.revision.History++
	return sw, nil
}

// evict drops the swarm without peers that was announced last the longest ago, unless it is to be kept.
func (s *Store) evict(sh *shard) bool {
	if sh.crowded {
		return false
	}
	var victim *swarm
	for _, sw := range sh.swarms {
		if sw.len() == 0 && (victim == nil || sw.touched < victim.touched) && !s.kept(sw.hash) {
			victim = sw
		}
	}
	if victim == nil {
		sh.crowded = true
		return false
	}
	delete(sh.swarms, victim.hash)
	s.swarms.Add(-1)
	return true
}

func (s *Store) kept(h metainfo.InfoHash) bool { return s.o.Keep != nil && s.o.Keep(h) }

// pick hands out peers of the asker's own family, then of the other one if it asks for them.
func (sh *shard) pick(names []string, sw *swarm, a *Announce, out *announce.Response) {
	if a.Want <= 0 {
		return
	}
	own, other := &sw.v4, &sw.v6
	if a.V6 {
		own, other = other, own
	}
	asker := handout.Asker{Seed: a.Seed, Shoal: a.Shoal, Want: a.Want, Sites: len(names) + 1}
	asker.Want -= sh.pickFrom(own, a, asker, names, out)
	if a.Cross && asker.Want > 0 {
		sh.pickFrom(other, a, asker, names, out)
	}
}

func (sh *shard) pickFrom(t *table, a *Announce, asker handout.Asker, names []string, out *announce.Response) int {
	if t.len() == 0 {
		return 0
	}
	asker.Self, asker.Site = t.selves(sh.selves[:0], a), t.findSite(a.Place)
	own := slices.IndexFunc(asker.Self, func(slot uint32) bool { return int(t.meta[slot].site) == asker.Site })
	via := a.Shoal && len(a.Homes) > 0 && len(t.homes) > 0
	asker.Told = own >= 0 && t.meta[asker.Self[own]].flags&told != 0
	var far bool
	sh.slots, far = handout.Pick(sh.slots[:0], t.sites, t.handed, asker, sh.rng)
	if far && own >= 0 {
		t.tell(int(asker.Self[own]))
	}
	list, ids, at := &out.V4, &out.IDs4, &out.Site.At4
	if t.size == announce.Size6 {
		list, ids, at = &out.V6, &out.IDs6, &out.Site.At6
	}
	for _, slot := range sh.slots {
		t.handed[slot]++
		*list = append(*list, t.end(int(slot))...)
		if a.IDs {
			*ids = append(*ids, t.meta[slot].id[:]...)
		}
		if a.Shoal {
			out.Site.Place(at, nameOf(names, t.dc(int(slot))))
		}
		if via && t.dc(int(slot)) == a.Place {
			t.shared(a.Homes, int(slot), len(*list)/t.size-1, &out.Site.Via)
		}
	}
	return len(sh.slots)
}

// selves appends the slots that could be the asker itself.
func (t *table) selves(dst []uint32, a *Announce) []uint32 {
	if i := t.findID(&a.ID); i >= 0 {
		dst = append(dst, uint32(i))
	}
	for _, at := range a.Ends {
		var buf [maxEnd]byte
		if !at.IsValid() {
			continue
		}
		if end := announce.AppendCompact(buf[:0], at); len(end) == t.size {
			if i := t.findEnd(end); i >= 0 {
				dst = append(dst, uint32(i))
			}
		}
	}
	return dst
}

// Sweep removes expired peers, and swarms that nothing is known of any more.
func (s *Store) Sweep(now uint32) (peers, swarms int) {
	before := now - min(now, s.o.Lifetime)
	for i := range s.shard {
		sh := &s.shard[i]
		sh.mu.Lock()
		sh.crowded = false
		for h, sw := range sh.swarms {
			homed := len(sw.v4.homes) + len(sw.v6.homes)
			n := sw.expire(before)
			peers += n
			s.homed.Add(int64(len(sw.v4.homes) + len(sw.v6.homes) - homed))
			sh.revision.Any += uint64(n)
			if sw.idle(before) && !s.kept(h) {
				delete(sh.swarms, h)
				sh.revision.Any++
				swarms++
			}
		}
		sh.mu.Unlock()
	}
	s.peers.Add(-int64(peers))
	s.swarms.Add(-int64(swarms))
	return peers, swarms
}
