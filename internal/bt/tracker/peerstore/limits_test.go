package peerstore

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"testing"

	"shoal/internal/bt/announce"
	"shoal/internal/bt/metainfo"
)

func TestLimits(t *testing.T) {
	o := options()
	o.Swarms, o.SwarmPeers, o.Peers = 4, 3, 8
	o.Keep = func(h metainfo.InfoHash) bool { return h == metainfo.InfoHash{1} }
	s := New(o)
	n := byte(0)
	try := func(swarm byte) error {
		n++
		a := who(n, fmt.Sprintf("10.0.0.%d:1", n))
		a.InfoHash = metainfo.InfoHash{swarm}
		err := s.Announce(&a, t0, new(announce.Response))
		s.check(t)
		return err
	}
	for i := range 3 {
		if err := try(1); err != nil {
			t.Fatal(i, err)
		}
	}
	if err := try(1); !errors.Is(err, ErrSwarmFull) {
		t.Errorf("fourth peer of a swarm: %v", err)
	}
	// Who is there already goes on.
	a := who(1, "10.0.0.1:1")
	must(t, s, a, t0)
	for i := range 5 {
		if err := try(2 + byte(i)/2); err != nil {
			t.Fatal(i, err)
		}
	}
	if err := try(4); !errors.Is(err, ErrPeersFull) {
		t.Errorf("ninth peer: %v", err)
	}
	if err := try(9); !errors.Is(err, ErrFull) {
		t.Errorf("fifth swarm: %v", err)
	}
}

// TestEvict drops the longest idle empty swarm of a shard for a new one, never one that is to be kept.
func TestEvict(t *testing.T) {
	o := options()
	o.Swarms = 2
	first := metainfo.InfoHash{1}
	o.Keep = func(h metainfo.InfoHash) bool { return h == first }
	s := New(o)
	a := who('a', "10.0.0.1:1")
	for _, h := range []metainfo.InfoHash{first, s.inShardOf(first, 1)} {
		a.InfoHash, a.Seed, a.Completed, a.Stopped = h, true, true, false
		must(t, s, a, t0)
		a.Stopped = true
		must(t, s, a, t0)
	}
	a.InfoHash, a.Stopped = s.inShardOf(first, 2), false
	must(t, s, a, t0)
	if _, ok := s.Swarm(first); !ok {
		t.Error("the kept swarm was dropped")
	}
	a.InfoHash = s.inShardOf(first, 3)
	if err := s.Announce(&a, t0, new(announce.Response)); !errors.Is(err, ErrFull) {
		t.Errorf("nothing to drop: %v", err)
	}
	if err := s.Announce(&a, t0, new(announce.Response)); !errors.Is(err, ErrFull) {
		t.Errorf("nothing to drop, again: %v", err)
	}
	s.check(t)
}

// inShardOf makes the nth other info-hash of the same shard.
func (s *Store) inShardOf(h metainfo.InfoHash, nth int) metainfo.InfoHash {
	sh := s.of(h)
	for {
		h[19]++
		if h[19] == 0 {
			h[18]++
		}
		if s.of(h) == sh {
			if nth--; nth == 0 {
				return h
			}
		}
	}
}

// TestMemory holds the promise of 1,000 swarms and a million peers under 512 MB, with room for all else: here
// a tenth of them.
func TestMemory(t *testing.T) {
	o := Options{Swarms: 1000, SwarmPeers: 1 << 20, Peers: 1 << 20, Lifetime: 100}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	s := New(o)
	fill(s, 100, 1000)
	runtime.GC()
	runtime.ReadMemStats(&after)
	used := int64(after.HeapAlloc) - int64(before.HeapAlloc)
	if each := used / 100_000; each > 160 {
		t.Errorf("a peer takes %d bytes", each)
	}
	runtime.KeepAlive(s)
}

func fill(s *Store, swarms, peers int) {
	var out announce.Response
	for i := range swarms {
		for j := range peers {
			n := uint32(i*peers + j)
			a := Announce{InfoHash: metainfo.InfoHash{byte(i), byte(i >> 8)}, Place: -1}
			a.ID = [20]byte{byte(n), byte(n >> 8), byte(n >> 16)}
			a.Ends[0] = netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)}), 6881)
			if err := s.Announce(&a, t0, &out); err != nil {
				panic(err)
			}
		}
	}
}

func BenchmarkAnnounce(b *testing.B) {
	s := New(Options{Swarms: 1000, SwarmPeers: 1 << 20, Peers: 1 << 20, Lifetime: 100})
	fill(s, 100, 1000)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		rng := rand.New(rand.NewPCG(rand.Uint64(), 1))
		var out announce.Response
		for pb.Next() {
			n := uint32(rng.IntN(100_000))
			i := n / 1000
			a := Announce{InfoHash: metainfo.InfoHash{byte(i), byte(i >> 8)}, Place: -1, Want: 50}
			a.ID = [20]byte{byte(n), byte(n >> 8), byte(n >> 16)}
			a.Ends[0] = netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)}), 6881)
			out.V4 = out.V4[:0]
			if err := s.Announce(&a, t0, &out); err != nil {
				b.Fatal(err)
			}
		}
	})
}
