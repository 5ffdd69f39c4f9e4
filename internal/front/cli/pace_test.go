package cli

import (
	"testing"
	"time"
)

func TestPace(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	at := func(s float64) time.Time { return start.Add(time.Duration(s * float64(time.Second))) }
	type step struct {
		at   float64
		done int64
	}
	for _, c := range []struct {
		name  string
		steps []step
		rate  float64
		left  int64
		eta   time.Duration
		ok    bool
	}{
		{"nothing", nil, 0, 100, 0, false},
		{"one mark", []step{{0, 50}}, 0, 100, 0, false},
		{"steady", []step{{0, 0}, {1, 100}, {2, 200}}, 100, 300, 3 * time.Second, true},
		{"done", []step{{0, 0}, {1, 100}}, 100, 0, 0, true},
		{"stalled", []step{{0, 100}, {30, 100}, {60, 100}}, 0, 1, 0, false},
		{"old marks do not count", []step{{0, 0}, {100, 100_000}, {101, 100_100}, {111, 101_100}}, 100, 100, time.Second, true},
		{"a second pass starts anew", []step{{0, 0}, {5, 500}, {6, 0}, {8, 400}}, 200, 200, time.Second, true},
		{"too far away to be of use", []step{{0, 0}, {1, 1}}, 1, 1 << 40, 0, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := &pace{}
			for _, s := range c.steps {
				p.Add(at(s.at), s.done)
			}
			if got := p.Rate(); got != c.rate {
				t.Errorf("Rate() = %v, want %v", got, c.rate)
			}
			if got, ok := p.ETA(c.left); got != c.eta || ok != c.ok {
				t.Errorf("ETA(%d) = %v, %v, want %v, %v", c.left, got, ok, c.eta, c.ok)
			}
		})
	}
}

// TestPaceIsBounded asks very often for a long time.
func TestPaceIsBounded(t *testing.T) {
	p, now := &pace{}, time.Unix(0, 0)
	for i := range int64(100_000) {
		p.Add(now.Add(time.Duration(i)*time.Millisecond), i)
	}
	if len(p.marks) > 50 {
		t.Errorf("%d marks are kept", len(p.marks))
	}
	if got := p.Rate(); got < 990 || got > 1010 {
		t.Errorf("Rate() = %v, want about 1000", got)
	}
}

func TestTexts(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 999: "999 B", 1000: "1.0 kB", 999_949: "999.9 kB", 999_950: "1.0 MB",
		2_147_483_648: "2.1 GB", 1 << 62: "4.6 EB"} {
		if got := bytesText(n); got != want {
			t.Errorf("bytesText(%d) = %q, want %q", n, got, want)
		}
	}
	for n, want := range map[int64]string{1 << 14: "16 KiB", 4 << 20: "4 MiB", 1<<20 + 1<<10: "1025 KiB", 100: "100 B", 1 << 30: "1 GiB"} {
		if got := binaryText(n); got != want {
			t.Errorf("binaryText(%d) = %q, want %q", n, got, want)
		}
	}
}
