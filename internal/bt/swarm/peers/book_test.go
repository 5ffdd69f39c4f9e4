package peers

import (
	"net/netip"
	"testing"
	"time"
)

func TestBook(t *testing.T) {
	now := time.Unix(0, 0)
	a, c := netip.MustParseAddrPort("10.0.0.1:6881"), netip.MustParseAddrPort("10.0.0.2:6881")
	b := NewBook(1)
	b.Add(a)
	b.Add(a)
	b.Add(netip.MustParseAddrPort("0.0.0.0:1"))
	b.Add(netip.MustParseAddrPort("10.0.0.3:0"))
	b.Add(netip.MustParseAddrPort("[::ffff:10.0.0.2]:6881"))
	if b.Len() != 2 {
		t.Fatalf("Len = %d, want 2: duplicates and undialable addresses are not kept", b.Len())
	}
	got := map[netip.AddrPort]bool{}
	for range 2 {
		x, _, ok := b.Next(now)
		if !ok {
			t.Fatal("Next has nothing to dial")
		}
		got[x] = true
	}
	if !got[a] || !got[c] {
		t.Fatalf("Next gave %v", got)
	}
	if _, _, ok := b.Next(now); ok {
		t.Fatal("Next gave an address that is in use")
	}
	b.Failed(a, now)
	if _, _, ok := b.Next(now); ok {
		t.Fatal("a failed address does not rest")
	}
	x, fails, ok := b.Next(now.Add(firstRetry))
	if !ok || x != a || fails != 1 {
		t.Fatalf("Next after the rest = %v, %d, %v", x, fails, ok)
	}
	b.Closed(c, now, time.Second)
	if _, _, ok := b.Next(now); ok {
		t.Fatal("a closed address does not rest")
	}
	b.Ban(c.Addr())
	b.Add(c)
	if _, _, ok := b.Next(now.Add(time.Hour)); ok || !b.Banned(c.Addr()) {
		t.Fatal("a banned address is dialled")
	}
}

func TestBookBounds(t *testing.T) {
	b := NewBook(1)
	for i := range 2 * MaxKnown {
		b.Add(netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 1))
	}
	if b.Len() != MaxKnown {
		t.Errorf("Len = %d, want %d", b.Len(), MaxKnown)
	}
}
