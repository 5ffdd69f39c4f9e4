package throttle

import (
	"net/netip"
	"sync"
	"testing"
	"time"
)

func TestAllow(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	tb := New(10, 5)
	count := func(addr string, n int) (ok int) {
		for range n {
			if tb.Allow(netip.MustParseAddr(addr), now) {
				ok++
			}
		}
		return ok
	}
	if got := count("10.0.0.1", 100); got != 5 {
		t.Errorf("burst: %d pass, want 5", got)
	}
	if got := count("::ffff:10.0.0.1", 1); got != 0 {
		t.Error("the same address in IPv6 clothes has a bucket of its own")
	}
	if got := count("10.0.0.2", 100); got != 5 {
		t.Errorf("another address: %d pass, want 5", got)
	}
	now = now.Add(300 * time.Millisecond)
	if got := count("10.0.0.1", 100); got != 3 {
		t.Errorf("after 0.3 s: %d pass, want 3", got)
	}
	now = now.Add(-time.Hour) // a clock that was set back takes nothing away
	if got := count("10.0.0.1", 100); got != 0 {
		t.Errorf("clock set back: %d pass, want 0", got)
	}
	now = now.Add(time.Hour + 100*time.Millisecond)
	if got := count("10.0.0.1", 100); got != 1 {
		t.Errorf("and forward again: %d pass, want 1", got)
	}
	if got := count("fd00::1", 3) + count("fd00::2", 3); got != 5 {
		t.Errorf("two addresses of one /64: %d pass, want 5", got)
	}
	if got := count("fd00:0:0:1::1", 3); got != 3 {
		t.Errorf("another /64: %d pass, want 3", got)
	}
}

func TestNone(t *testing.T) {
	tb := New(0, 5)
	for range 1000 {
		if !tb.Allow(netip.MustParseAddr("10.0.0.1"), time.Time{}) {
			t.Fatal("no bound, but refused")
		}
	}
}

// TestMany uses more addresses than the table holds, from several goroutines: everybody new gets in.
func TestMany(t *testing.T) {
	tb := New(1, 2)
	now := time.Unix(1_000_000, 0)
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 50_000 {
				a := netip.AddrFrom4([4]byte{byte(g), byte(i >> 16), byte(i >> 8), byte(i)})
				if !tb.Allow(a, now.Add(time.Duration(i))) {
					t.Errorf("%s was refused its first request", a)
					return
				}
			}
		})
	}
	wg.Wait()
}

func BenchmarkAllow(b *testing.B) {
	tb := New(1, 2)
	now := time.Unix(1_000_000, 0)
	a := netip.MustParseAddr("10.0.0.1")
	for b.Loop() {
		tb.Allow(a, now)
	}
}
