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

// TestTurnsPerWay: of two slots no more than one goes by one way.
func TestTurnsPerWay(t *testing.T) {
	for _, tt := range []struct {
		name    string
		ts      []Turn
		want    []int
		crowded bool
	}{
		{"one of each", []Turn{{Wants: true, Way: 1}, {Wants: true, Way: 1}, {Wants: true, Way: 2}}, []int{0, 2}, true},
		{"it is taken", []Turn{{Busy: true, Way: 1}, {Wants: true, Way: 1}}, nil, true},
		{"another is not", []Turn{{Busy: true, Way: 1}, {Wants: true, Way: 20}}, []int{1}, false},
		{"all slots are", []Turn{{Busy: true, Way: 1}, {Busy: true, Way: 2}, {Wants: true, Way: 3}}, nil, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, crowded := Turns(tt.ts, 2, 1, 4)
			if !slices.Equal(got, tt.want) || crowded != tt.crowded {
				t.Errorf("Turns = %v, %v, want %v, %v", got, crowded, tt.want, tt.crowded)
			}
		})
	}
}

func TestTurns(t *testing.T) {
	at := func(s int64) time.Time { return time.Unix(s, 0) }
	for _, tt := range []struct {
		name    string
		ts      []Turn
		want    []int
		crowded bool
	}{
		{"nobody", nil, nil, false},
		{"nobody wants", []Turn{{}, {Busy: true}}, nil, false},
		{"room for all", []Turn{{Wants: true}, {Wants: true, Last: at(1)}}, []int{0, 1}, false},
		{"least recently served", []Turn{{Wants: true, Last: at(3)}, {Wants: true, Last: at(1)}, {Wants: true, Last: at(2)}}, []int{1, 2}, true},
		{"who has least", []Turn{{Wants: true, Has: 9}, {Wants: true, Has: 4}, {Wants: true, Has: 5}}, []int{1, 2}, true},
		{"the busy hold their slots", []Turn{{Wants: true}, {Busy: true, Wants: true}, {Busy: true}}, nil, true},
		{"the ending make room, and come last", []Turn{{Busy: true, Ending: true, Wants: true}, {Wants: true, Last: at(9)}}, []int{1, 0}, false},
		{"the slow hold none", []Turn{{Busy: true, Slow: true}, {Busy: true, Slow: true}, {Wants: true}}, []int{2}, false},
		{"not even the slow without end", []Turn{{Busy: true, Slow: true}, {Busy: true, Slow: true}, {Busy: true, Slow: true}, {Busy: true, Slow: true}, {Wants: true}}, nil, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, crowded := Turns(tt.ts, 2, 2, 4)
			if !slices.Equal(got, tt.want) || crowded != tt.crowded {
				t.Errorf("Turns = %v, %v, want %v, %v", got, crowded, tt.want, tt.crowded)
			}
		})
	}
}
