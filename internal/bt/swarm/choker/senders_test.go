package choker

import "testing"

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
