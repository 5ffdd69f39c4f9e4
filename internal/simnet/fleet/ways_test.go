package fleet

import (
	"testing"
	"time"

	"shoal/internal/topology"
)

// TestCheapWays: of two regions with two data centres each, a dear link between
// them, the one without the source gets one copy over that link, and not one for
// each of its data centres. Where all ways cost the same it does not matter who
// sends to whom, and the same bytes cross the dear links more often.
func TestCheapWays(t *testing.T) {
	region := map[string]string{"fra": "eu", "ams": "eu", "nyc": "us", "bos": "us"}
	dear := func(way func(a, b topology.Place) topology.Way) (copies float64, r *Report) {
		o := small()
		o.Hosts, o.Pieces, o.PieceLength, o.MaxPeers, o.Way = 16, 160, 64<<10, 0, way
		o.Up = int64(o.Pieces*o.PieceLength) / 8
		names := []string{"fra", "ams", "nyc", "bos"}
		o.Place = func(host int) string { return names[(host+1)%4] }
		o.Net.WAN = o.Up / 2
		o.Net.Latency = func(from, to string) time.Duration {
			if region[from] != region[to] {
				return 20 * time.Millisecond
			}
			return time.Millisecond
		}
		r = simulate(t, o)
		for w, n := range r.Flows {
			if region[w.From] == "eu" && region[w.To] == "us" {
				copies += float64(n) / float64(o.Pieces*o.PieceLength)
			}
		}
		return copies, r
	}
	with, r := dear(func(a, b topology.Place) topology.Way {
		return topology.Way{Cost: 1, Abroad: region[a.Datacenter] != region[b.Datacenter]}
	})
	if r.Done != r.Hosts {
		t.Errorf("%d of %d hosts have everything", r.Done, r.Hosts)
	}
	without, _ := dear(nil)
	t.Logf("copies over the dear links: %.3f, without ways %.3f", with, without)
	if with > 0.9*without {
		t.Errorf("%.3f copies went over the dear links, %.3f where nobody knew their cost", with, without)
	}
}
