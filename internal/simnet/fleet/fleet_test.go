package fleet

import (
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"shoal/internal/bt/metainfo"
	"shoal/internal/simnet"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// simulate runs a fleet in fake time.
func simulate(t *testing.T, o Options) *Report {
	t.Helper()
	var r *Report
	synctest.Test(t, func(t *testing.T) {
		var err error
		if r, err = Run(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	})
	t.Log(r)
	return r
}

// small is a fleet that runs in about a second with the race detector.
func small() Options {
	const pieces, pieceLength, line = 40, 16 << 10, 8
	return Options{Hosts: 18, Pieces: pieces, PieceLength: pieceLength, Up: pieces * pieceLength / line, MaxPeers: 12, Seed: 1}
}

// TestFleets runs a fleet through what happens to fleets. The limits are
// above what the engine needs, so that a policy that breaks is found and one
// that is tuned is not in the way; how fast it is show the large runs.
func TestFleets(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*Options)
		last   float64 // the most that the last healthy host may take, in bounds
	}{
		{"equal", func(o *Options) { o.Hosts = 30 }, 2.5},
		{"half rate and killed", halfRateAndKilled, 3},
		{"fast source", func(o *Options) { o.SourceUp = 4 * o.Up }, 2.5},
		{"staggered over two places", func(o *Options) {
			o.Stagger, o.Leave = 100*time.Millisecond, true
			o.Place = func(host int) string { return []string{"fra", "nyc"}[host&1] }
			o.Net.Latency = func(from, to string) time.Duration {
				if from != to {
					return 40 * time.Millisecond
				}
				return 100 * time.Microsecond
			}
		}, 2.5},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := small()
			tt.change(&o)
			r := simulate(t, o)
			if r.Done != o.Hosts {
				t.Errorf("%d of %d hosts have everything", r.Done, o.Hosts)
			}
			if got := r.Ratio(r.Last); got < 1 || got > tt.last {
				t.Errorf("the last host took %.3f of the bound, want at most %.3f", got, tt.last)
			}
		})
	}
}

// TestSlowFirst: a host that came first and takes everything at a crawl does not hold
// up the one that comes after it, to which the source has nothing left to offer.
func TestSlowFirst(t *testing.T) {
	o := small()
	o.Hosts, o.Stagger, o.Limit = 2, 2*time.Second, time.Minute
	o.Rates = func(host int) (up, down int64) {
		if host == 0 {
			return o.Up / 50, o.Up / 50
		}
		return o.Up, o.Up
	}
	r := simulate(t, o)
	if line := 8 * time.Second; r.Last == 0 || r.Last-o.Stagger > line*3/2 {
		t.Errorf("the fast host took %v, its line would have let it take %v", r.Last-o.Stagger, line)
	}
}

// TestSlowLine: over a line on which a piece is under way for seconds, with those that
// stand before it, nobody takes that for a stall and asks for it twice.
func TestSlowLine(t *testing.T) {
	o := small()
	o.Hosts, o.Pieces, o.MaxPeers, o.Up = 30, 80, 0, 70e3
	r := simulate(t, o)
	if r.Done != o.Hosts || r.Wasted > 0.08 {
		t.Errorf("%d of %d hosts have everything, and %.1f %% came twice", r.Done, o.Hosts, 100*r.Wasted)
	}
}

// TestLost has hosts that die for good.
func TestLost(t *testing.T) {
	o := small()
	for i := range 6 {
		o.Faults = append(o.Faults, Fault{At: time.Duration(2+i) * time.Second, Host: 3 * i})
	}
	r := simulate(t, o)
	if r.Done != o.Hosts-6 || r.Faulted != 6 {
		t.Errorf("%d of %d hosts have everything, %d were killed", r.Done, o.Hosts, r.Faulted)
	}
}

// sites is a fleet in three data centres with links at half the rate of a host.
func sites() Options {
	o := small()
	o.MaxPeers, o.Pieces = 0, 96
	o.Up = int64(o.Pieces*o.PieceLength) / 5
	o.Place = func(host int) string { return []string{"fra", "nyc", "sin"}[max(host, 0)*3/18] }
	o.Net.WAN = o.Up / 2
	o.Net.Latency = wanLatency
	return o
}

// TestOneCopy: of each piece one copy comes into each data centre, though the
// links are narrow, hosts start one after the other, and none of them knows
// more than the tracker tells it. A few pieces may come twice, while those who
// start find each other; and headers, haves and what has to be sent for another
// data centre are counted too.
func TestOneCopy(t *testing.T) {
	for _, tt := range []struct {
		name       string
		change     func(*Options)
		copies     float64
		last, lost float64
	}{
		{"undisturbed", func(*Options) {}, 1.15, 1.8, 0},
		{"staggered", func(o *Options) { o.Stagger = 300 * time.Millisecond }, 1.35, 2.2, 0},
		{"a fast source", func(o *Options) { o.SourceUp = 4 * o.Up }, 1.15, 1.8, 0},
		{"the source alone in its data centre", func(o *Options) {
			place := o.Place
			o.Place = func(host int) string {
				if host < 0 {
					return "build"
				}
				return place(host)
			}
		}, 1.15, 1.8, 0},
		{"owners killed", func(o *Options) {
			for _, host := range []int{7, 8, 13} {
				o.Faults = append(o.Faults, Fault{At: 3 * time.Second, Host: host})
			}
		}, 1.25, 2.2, 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := sites()
			tt.change(&o)
			r := simulate(t, o)
			if r.Done != o.Hosts-int(tt.lost) {
				t.Errorf("%d of %d hosts have everything", r.Done, o.Hosts)
			}
			for name, copies := range r.Into {
				if name != "fra" && copies > tt.copies {
					t.Errorf("%.3f copies came into %s, want at most %.2f", copies, name, tt.copies)
				}
			}
			if got := r.Ratio(r.Last); got < 1 || got > tt.last {
				t.Errorf("the last host took %.3f of the bound, want at most %.3f", got, tt.last)
			}
		})
	}
}

// TestOneCopyOfMany: where a data centre has more hosts than one is connected to,
// and the tracker has told each only of those who came before, they still agree who
// brings in what.
func TestOneCopyOfMany(t *testing.T) {
	o := sites()
	const each = 36
	o.Hosts = 2 * each
	o.Place = func(host int) string { return []string{"fra", "nyc"}[max(host, 0)/each] }
	r := simulate(t, o)
	if r.Done != o.Hosts {
		t.Errorf("%d of %d hosts have everything", r.Done, o.Hosts)
	}
	if copies := float64(r.Flows[Way{"fra", "nyc"}]) / float64(o.Pieces*o.PieceLength); copies < 1 || copies > 1.15 {
		t.Errorf("%.3f copies of the content came from fra to nyc, want at most 1.15", copies)
	}
}

// TestFlows: what went each way is what came, over lines that were set by name.
func TestFlows(t *testing.T) {
	o := small()
	o.Place = func(host int) string { return []string{"fra", "nyc"}[max(host, 0)*2/o.Hosts] }
	o.Lines = func(n *simnet.Network) { n.Link("nyc", "fra").SetRate(o.Up / 2) }
	r := simulate(t, o)
	size := int64(o.Pieces * o.PieceLength)
	var came int64
	for _, n := range r.Flows {
		came += n
	}
	if nyc := r.Sites["nyc"]; nyc.Hosts != 9 || nyc.Done != 9 || nyc.First > nyc.Median || nyc.Median > nyc.Last || nyc.Last > r.Last {
		t.Errorf("nyc: %+v, all: %+v", nyc, r.Site)
	}
	if in := r.Flows[Way{"fra", "nyc"}]; in < size || float64(in) > r.Last.Seconds()*float64(o.Up/2) || came < 18*size || r.SourceSent < size {
		t.Errorf("flows %v, the source sent %d", r.Flows, r.SourceSent)
	}
}

// TestStore: what a host verifies is the release.
func TestStore(t *testing.T) {
	r, err := newRelease(2, 16<<10, 1)
	if err != nil {
		t.Fatal(err)
	}
	failed := 0
	r.fail = func(error) { failed++ }
	s := newStore(r, false)
	for at, b := range [][]byte{r.content[:16<<10], []byte("no such bytes")} {
		if _, err := s.WriteAt(b, int64(at)<<14); err != nil {
			t.Fatal(err)
		}
		s.MarkHave(metainfo.Piece(at))
		if s.count() != at+1 || failed != at {
			t.Errorf("%d pieces, %d of them not the release's", s.count(), failed)
		}
	}
}

// TestLimit ends a run that cannot end by itself.
func TestLimit(t *testing.T) {
	o := small()
	o.Limit = 5 * time.Second
	if r := simulate(t, o); r.Done != 0 || len(r.Seconds) < 4 || len(r.Seconds) > 5 {
		t.Errorf("%d hosts have everything after %d s", r.Done, len(r.Seconds))
	}
}

func TestBound(t *testing.T) {
	const size = 40 * 16 << 10
	rate := func(seconds float64) int64 { return int64(size / seconds) }
	for _, tt := range []struct {
		name   string
		change func(*Options)
		want   float64 // seconds
	}{
		{"the source's uplink", func(o *Options) { o.SourceUp, o.Up, o.Down = rate(20), rate(10), rate(10) }, 20},
		{"the slowest downlink", func(o *Options) { o.SourceUp, o.Up, o.Down = rate(10), rate(10), rate(30) }, 30},
		{"all uplinks", func(o *Options) { o.SourceUp, o.Up, o.Down = rate(10), rate(40), rate(5) }, 18 / (1.0/10 + 18.0/40)},
		{"the last start", func(o *Options) {
			o.SourceUp, o.Up, o.Down, o.Stagger = rate(10), rate(10), rate(10), time.Second
		}, 27},
		{"healthy hosts", func(o *Options) {
			o.SourceUp, o.Up, o.Down = rate(10), rate(10), rate(10)
			o.Rates = func(int) (int64, int64) { return rate(10), rate(10) }
			o.Faults = []Fault{{At: time.Second, Host: 1}}
		}, 10},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := small()
			o.Limit = time.Millisecond
			tt.change(&o)
			got := simulate(t, o).Bound.Seconds()
			if got < tt.want-0.01 || got > tt.want+0.11 { // hosts start within a tenth of a second
				t.Errorf("the bound is %.3f s, want %.3f", got, tt.want)
			}
		})
	}
}

// halfRateAndKilled gives a tenth of the hosts half the rate, and kills
// another tenth midway; they come back after a tenth of the line time.
func halfRateAndKilled(o *Options) {
	line := time.Duration(float64(o.Pieces*o.PieceLength) / float64(o.Up) * 1e9)
	up := o.Up
	o.Rates = func(host int) (int64, int64) {
		if host%10 == 3 {
			return up / 2, up / 2
		}
		return up, up
	}
	for i := 7; i < o.Hosts; i += 10 {
		o.Faults = append(o.Faults, Fault{At: line / 2, Host: i, Back: line / 10})
	}
}
