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
