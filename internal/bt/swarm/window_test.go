package swarm

import (
	"testing"
	"time"
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
