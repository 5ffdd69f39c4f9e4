package swarm

import (
	"testing"
	"time"

	"shoal/internal/bt/rate"
)

// TestWindowOfOne holds that only a host with a single giver asks ahead as on a
// long line: near the end all givers are free, and whoever is asked for all that
// is left sends it alone.
func TestWindowOfOne(t *testing.T) {
	p := shoalPeer(10 * time.Millisecond)
	p.alone = true
	asked, licensed, idle := shoalPeer(0), shoalPeer(0), shoalPeer(0)
	asked.pieces, licensed.licence = 1, 2
	for _, tt := range []struct {
		name   string
		others []*peer
		want   int64
	}{
		{"nobody else", nil, 2500000}, // two round trips of 125 MB/s
		{"one with nothing for us", []*peer{idle}, 2500000},
		{"one who was asked", []*peer{asked}, 150000}, // 3 MB/s for them and 30 ms more
		{"one who has given leave", []*peer{licensed}, 150000},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := &state{peers: map[*peer]struct{}{p: {}}}
			for _, q := range tt.others {
				s.peers[q] = struct{}{}
			}
			p.down.rate = 3e6
			s.retune(p)
			if got, _ := p.link.fetch.windowSize(); got != tt.want {
				t.Errorf("a window of %d bytes, want about %d", got, tt.want)
			}
		})
	}
}

func shoalPeer(rtt time.Duration) *peer {
	return &peer{
		identity: identity{shoal: true}, towardsUs: towardsUs{unit: maxLarge}, serving: serving{rtt: rtt},
		link: &link{fetch: newFetcher(startWindow, slowUnit, false)},
	}
}

// TestWindowUnderLimit holds that no more is asked for than a limit lets pass on
// the way: what lies in the socket when we are killed comes again.
func TestWindowUnderLimit(t *testing.T) {
	const ms = time.Millisecond
	for _, tt := range []struct {
		name         string
		limit        int64
		stock        bool
		rate         float64 // as measured
		rtt, latency time.Duration
		window, unit int64
	}{
		{"no limit, an answer that took long", 0, false, 6e6, 0, 50 * ms, 7812500, slowUnit},
		{"a limit, the same", 6e6, false, 6e6, 0, 50 * ms, 555000, 48 << 10},
		{"a limit, a near peer", 6e6, false, 6e6, 0, 1 * ms, 187500, 48 << 10},
		{"a limit, a far peer", 6e6, false, 6e6, 80 * ms, 81 * ms, 1140000, 48 << 10},
		{"a burst above the limit", 6e6, false, 60e6, 0, 1 * ms, 187500, 48 << 10},
		{"a limit above the line", 1e9, false, 6e6, 0, 50 * ms, 7812500, slowUnit},
		{"a stock peer, nothing measured, no limit", 0, true, 0, 0, 0, startWindow, stockUnit},
		{"a stock peer, nothing measured, a limit", 1e6, true, 0, 0, 0, 30000, stockUnit},
		{"a stock peer, a limit of less than a block", 100, true, 0, 0, 0, stockUnit, stockUnit},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := shoalPeer(tt.rtt)
			p.alone, p.shoal, p.down.rate = true, !tt.stock, tt.rate
			p.link.down.Set(rate.Chain{rate.New(tt.limit)})
			p.link.fetch.latency = tt.latency
			(&state{peers: map[*peer]struct{}{p: {}}}).retune(p)
			if got, _ := p.link.fetch.windowSize(); got != tt.window || p.link.fetch.unit != tt.unit {
				t.Errorf("a window of %d bytes in requests of %d, want %d and %d", got, p.link.fetch.unit, tt.window, tt.unit)
			}
		})
	}
}
