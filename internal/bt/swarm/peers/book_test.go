package peers

import (
	"net/netip"
	"slices"
	"testing"
	"time"
)

func anyone(netip.AddrPort, bool) bool              { return true }
func fromTracker(_ netip.AddrPort, named bool) bool { return named }

func TestBook(t *testing.T) {
	now := time.Unix(0, 0)
	a, c := netip.MustParseAddrPort("10.0.0.1:6881"), netip.MustParseAddrPort("10.0.0.2:6881")
	b := NewBook(1)
	b.Add(a, true)
	b.Add(a, true)
	b.Add(netip.MustParseAddrPort("0.0.0.0:1"), true)
	b.Add(netip.MustParseAddrPort("10.0.0.3:0"), true)
	b.Add(netip.MustParseAddrPort("[::ffff:10.0.0.2]:6881"), true)
	if b.Len() != 2 {
		t.Fatalf("Len = %d, want 2: duplicates and undialable addresses are not kept", b.Len())
	}
	got := map[netip.AddrPort]bool{}
	for range 2 {
		x, _, ok := b.Next(now, anyone)
		if !ok {
			t.Fatal("Next has nothing to dial")
		}
		got[x] = true
	}
	if !got[a] || !got[c] {
		t.Fatalf("Next gave %v", got)
	}
	if _, _, ok := b.Next(now, anyone); ok {
		t.Fatal("Next gave an address that is in use")
	}
	b.Failed(a, now)
	if _, _, ok := b.Next(now, anyone); ok {
		t.Fatal("a failed address does not rest")
	}
	x, fails, ok := b.Next(now.Add(firstRetry), anyone)
	if !ok || x != a || fails != 1 {
		t.Fatalf("Next after the rest = %v, %d, %v", x, fails, ok)
	}
	b.Closed(c, now, time.Second)
	if _, _, ok := b.Next(now, anyone); ok {
		t.Fatal("a closed address does not rest")
	}
	b.Ban(c.Addr())
	b.Add(c, true)
	if _, _, ok := b.Next(now.Add(time.Hour), anyone); ok || !b.Banned(c.Addr()) {
		t.Fatal("a banned address is dialled")
	}
}

func TestBookBounds(t *testing.T) {
	b := NewBook(1)
	for i := range 2 * MaxKnown {
		b.Add(netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 1), true)
	}
	if b.Len() != MaxKnown {
		t.Errorf("Len = %d, want %d", b.Len(), MaxKnown)
	}
}

// TestBookNamed: whom a tracker names is dialled before those of whom peers tell.
func TestBookNamed(t *testing.T) {
	now := time.Unix(0, 0)
	at := func(i byte) netip.AddrPort { return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, i}), 1) }
	for seed := range uint64(20) {
		b := NewBook(seed)
		for i := range byte(8) {
			b.Add(at(i), i%4 == 0)
		}
		b.Add(at(1), true) // heard of before
		b.Add(at(0), false)
		var got []netip.AddrPort
		for range 3 {
			a, _, ok := b.Next(now, fromTracker)
			if !ok {
				t.Fatal("Next has nothing to dial")
			}
			got = append(got, a)
		}
		for _, want := range []netip.AddrPort{at(0), at(1), at(4)} {
			if !slices.Contains(got, want) {
				t.Fatalf("seed %d: first come %v", seed, got)
			}
		}
		if a, _, ok := b.Next(now, fromTracker); ok {
			t.Fatalf("seed %d: %v was not named", seed, a)
		}
		if a, _, ok := b.Next(now, anyone); !ok || slices.Contains(got, a) {
			t.Fatalf("seed %d: then comes %v, %v", seed, a, ok)
		}
	}
}

// TestRoute: a host is one entry, wherever it is dialled first.
func TestRoute(t *testing.T) {
	now := time.Unix(0, 0)
	plain, storage, other := netip.MustParseAddrPort("203.0.113.1:6881"), netip.MustParseAddrPort("10.0.0.1:6881"), netip.MustParseAddrPort("203.0.113.2:6881")
	b := NewBook(1)
	b.Add(storage, true) // a stock peer has told of it
	b.Route(plain, storage, true)
	b.Add(storage, true)
	if b.Len() != 1 || b.Via(plain) != storage {
		t.Fatalf("%d entries, by %v; want one by %v", b.Len(), b.Via(plain), storage)
	}
	b.Route(other, storage, true) // it is somebody's already
	if b.Via(other).IsValid() || b.Len() != 2 {
		t.Errorf("two hosts at one address: %v", b.Via(other))
	}
	for range 2 {
		if a, _, ok := b.Next(now, anyone); !ok || a == storage {
			t.Errorf("Next gave %v, %v", a, ok)
		}
	}
	b.Route(plain, netip.AddrPort{}, true)
	b.Route(plain, plain, true)
	if b.Via(plain).IsValid() {
		t.Errorf("still dialled at %v", b.Via(plain))
	}
	b.Route(other, storage, true)
	if b.Via(other) != storage {
		t.Error("an address that was given up cannot be another host's")
	}
	b.Ban(storage.Addr())
	if b.Len() != 1 || b.Via(other).IsValid() {
		t.Error("a host is dialled though one of its addresses is banned")
	}
	b.Ban(plain.Addr())
	if len(b.vias) != 0 {
		t.Errorf("remembers %v", b.vias)
	}
}
