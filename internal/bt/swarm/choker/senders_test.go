package choker

import (
	"testing"
	"time"
)

// TestSenders finds how many equal senders fill a link.
func TestSenders(t *testing.T) {
	for _, tt := range []struct {
		name     string
		sender   float64 // MB/s of each
		link     float64
		want     int // at least
		wantMost int
	}{
		{"one fills it", 10, 10, 6, 7},
		{"six fill it", 10, 60, 6, 7},
		{"forty fill it", 1, 40, 36, 50},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var s Senders
			least, most := 1<<30, 0
			for i := range 120 {
				s.Step(min(tt.link, tt.sender*float64(s.Most())), true)
				if i >= 60 {
					least, most = min(least, s.Most()), max(most, s.Most())
				}
			}
			if least < tt.want || most > tt.wantMost {
				t.Errorf("between %d and %d senders, want %d to %d", least, most, tt.want, tt.wantMost)
			}
		})
	}
	var s Senders
	for range 10 {
		s.Step(100, false)
	}
	if s.Most() != leastSenders {
		t.Errorf("%d senders where nobody was held back, want %d", s.Most(), leastSenders)
	}
}

func TestBehind(t *testing.T) {
	for _, tt := range []struct {
		name   string
		has    int
		others []int
		want   bool
	}{
		{"alone", 10, nil, false},
		{"as the others", 100, []int{101, 99, 100}, false},
		{"in front", 300, []int{101, 99, 100}, false},
		{"by chance", 99, []int{100, 100, 100}, false},
		{"behind", 97, []int{90, 100, 100}, true},
		{"behind all but one", 97, []int{400, 100, 90}, true},
		{"too far", 80, []int{100, 100, 100}, false},
		{"just started", 0, []int{0, 1, 1}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := Behind(tt.has, tt.others); got != tt.want {
				t.Errorf("Behind(%d, %v) = %v", tt.has, tt.others, got)
			}
		})
	}
	s := Senders{Behind: true}
	if s.Most() != leastSenders+moreBehind {
		t.Errorf("%d may send to a host that is behind, want %d", s.Most(), leastSenders+moreBehind)
	}
}

// TestAbroad: hosts that share a way to another site, each of which waits for a
// round trip and then for its share of the line, let as many send as fill it.
func TestAbroad(t *testing.T) {
	const trip = 40 * time.Millisecond
	for _, tt := range []struct {
		name        string
		hosts       int
		piece       time.Duration // on the line, alone
		held        bool
		least, most int
	}{
		{"one host, a slow line", 1, 200 * time.Millisecond, true, 1, 3},
		{"one host, a fast line", 1, 5 * time.Millisecond, true, 9, 24},
		{"six hosts fill it", 6, 200 * time.Millisecond, true, 1, 1},
		{"nobody is held back", 1, time.Millisecond, false, 1, 1},
	} {
		hosts, now := make([]Abroad, tt.hosts), time.Unix(0, 0)
		for i := range hosts {
			hosts[i].Came(now, trip+tt.piece)
		}
		for range 200 {
			flows := 0
			for i := range hosts {
				flows += hosts[i].Most()
			}
			took := max(trip+tt.piece, time.Duration(flows)*tt.piece)
			now = now.Add(took)
			for i := range hosts {
				for range hosts[i].Most() {
					hosts[i].Came(now, took)
				}
				hosts[i].Step(now, tt.held)
			}
		}
		for i := range hosts {
			if n := hosts[i].Most(); n < tt.least || n > tt.most {
				t.Errorf("%s: host %d lets %d send, want %d to %d", tt.name, i, n, tt.least, tt.most)
			}
		}
	}
}

// TestExports: hosts that share the link out of their site serve few at a time where
// pieces take long, and more where they do not.
func TestExports(t *testing.T) {
	for _, tt := range []struct {
		name    string
		hosts   int
		piece   time.Duration // on the link, alone
		crowded bool
		want    int
	}{
		{"a narrow link", 6, 210 * time.Millisecond, true, 1},
		{"a wider one", 4, 84 * time.Millisecond, true, 3},
		{"a wide one", 6, 5 * time.Millisecond, true, 5},
		{"nobody waits", 6, 5 * time.Millisecond, false, 1},
	} {
		hosts, now := make([]Exports, tt.hosts), time.Unix(0, 0)
		pass := func(rounds int, piece time.Duration, crowded bool) {
			for range rounds {
				flows := 0
				for i := range hosts {
					flows += hosts[i].Most()
				}
				took := time.Duration(flows) * piece
				now = now.Add(took)
				for i := range hosts {
					for range hosts[i].Most() {
						hosts[i].Came(now, took)
					}
					hosts[i].Step(now, crowded, 5)
				}
			}
		}
		pass(100, tt.piece, tt.crowded)
		for i := range hosts {
			if n := hosts[i].Most(); n != tt.want {
				t.Errorf("%s: host %d serves %d, want %d", tt.name, i, n, tt.want)
			}
		}
		pass(100, 3*time.Second, tt.crowded)
		if n := hosts[0].Most(); n != 1 {
			t.Errorf("%s, then a narrow one: it serves %d", tt.name, n)
		}
	}
}

// TestExportsLag: what was under way when the limit was changed is no reason to change it
// again.
func TestExportsLag(t *testing.T) {
	const slow = 4 * time.Second
	var e Exports
	now := time.Unix(0, 0)
	come := func(pieces int, took time.Duration) {
		for range pieces {
			now = now.Add(10 * time.Millisecond)
			e.Came(now, took)
			e.Step(now, true, 5)
		}
	}
	for e.Most() < 5 {
		come(1, time.Millisecond)
	}
	now = now.Add(slow)
	come(20, slow) // all begun while five were served
	if e.Most() != 4 {
		t.Errorf("after pieces that took long it serves %d, want 4", e.Most())
	}
	now = now.Add(slow)
	come(4, slow)
	if e.Most() != 3 {
		t.Errorf("after four pieces begun since then it serves %d, want 3", e.Most())
	}
}
