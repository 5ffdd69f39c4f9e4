package owner

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"
)

// TestHearsay: whom two tell of is believed in, once, whoever they are.
func TestHearsay(t *testing.T) {
	at := func(n int) netip.AddrPort { return netip.MustParseAddrPort(fmt.Sprintf("10.0.0.%d:6881", n)) }
	x, y := at(1), at(2)
	now := time.Unix(1000, 0)
	var h Hearsay
	for i, told := range []struct {
		by   int
		of   netip.AddrPort
		news bool
		now  []netip.AddrPort // believed in from then on
	}{
		{8, x, false, nil},
		{8, x, false, nil}, // a liar who says it twice is one liar
		{8, y, false, nil},
		{9, x, true, []netip.AddrPort{x}},
		{9, x, false, []netip.AddrPort{x}},
		{7, x, false, []netip.AddrPort{x}},
		{7, y, true, []netip.AddrPort{x, y}},
	} {
		if news := h.Tell(at(told.by).Addr(), told.of, now.Add(time.Duration(i)*time.Second)); news != told.news {
			t.Errorf("%d: host %d tells of %v: news %v, want %v", i, told.by, told.of, news, told.news)
		}
		if got := slices.SortedFunc(h.Believed(), netip.AddrPort.Compare); !slices.Equal(got, told.now) {
			t.Errorf("%d: believed in %v, want %v", i, got, told.now)
		}
	}
	h.Forget(now.Add(2 * time.Second))
	if got := slices.Collect(h.Believed()); !slices.Equal(got, []netip.AddrPort{y}) {
		t.Errorf("what was told of first is to be forgotten: %v are left", got)
	}
}

// TestHearsayIsBounded: anybody can make up addresses.
func TestHearsayIsBounded(t *testing.T) {
	var h Hearsay
	for n := range 2 * maxRumours {
		a := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 1, byte(n >> 8), byte(n)}), 6881)
		h.Tell(netip.MustParseAddr("10.0.0.1"), a, time.Time{})
		h.Tell(netip.MustParseAddr("10.0.0.2"), a, time.Time{})
	}
	if n := len(slices.Collect(h.Believed())); n != maxRumours {
		t.Errorf("%d members are kept, want %d", n, maxRumours)
	}
}
