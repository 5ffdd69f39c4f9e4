package choker

import (
	"slices"
	"testing"
	"time"
)

func TestChoose(t *testing.T) {
	now := time.Unix(1000, 0)
	at := func(s int) time.Time { return now.Add(-time.Duration(s) * time.Second) }
	peers := []Peer{
		{ID: 1, Interested: true, Rate: 10, Unchoked: true, Since: at(40)},
		{ID: 2, Interested: true, Rate: 50, Unchoked: true, Since: at(5)},
		{ID: 3, Interested: true, Rate: 0, Since: at(100)},
		{ID: 4, Interested: false, Rate: 99, Since: at(500)},
		{ID: 5, Interested: true, Rate: 1, Since: at(60)},
		{ID: 6, Interested: true, Rate: 0.5, Unchoked: true, Since: at(10)},
	}
	tests := []struct {
		name       string
		slots, was int
		want       []int
		lucky      int
	}{
		{"room for all", 5, -1, []int{1, 2, 3, 5, 6}, -1},
		{"best by rate and who waits longest", 3, -1, []int{1, 2, 3}, 3},
		{"optimistic keeps its slot for 30 s", 3, 6, []int{1, 2, 6}, 6},
		{"only the optimistic slot", 1, 1, []int{3}, 3}, // 1 has had it for 40 s
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, lucky := Choose(peers, tt.slots, tt.was, now)
			slices.Sort(got)
			if !slices.Equal(got, tt.want) || lucky != tt.lucky {
				t.Errorf("Choose = %v, %d, want %v, %d", got, lucky, tt.want, tt.lucky)
			}
		})
	}
}

func TestNext(t *testing.T) {
	tests := []struct {
		name string
		ws   []Want
		want int
	}{
		{"none", nil, -1},
		{"started first", []Want{{Copies: 0}, {Started: true, Copies: 9}}, 1},
		{"fewest copies", []Want{{Copies: 2}, {Copies: 1}, {Copies: 3}}, 1},
		{"neediest peer", []Want{{Copies: 1, Has: 7}, {Copies: 1, Has: 2}}, 1},
		{"first come", []Want{{Order: 4}, {Order: 3}, {Order: 5}}, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := Next(tt.ws); got != tt.want {
				t.Errorf("Next = %d, want %d", got, tt.want)
			}
		})
	}
}
