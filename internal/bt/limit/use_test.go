package limit

import (
	"testing"
	"time"

	"shoal/internal/topology"
)

func TestUse(t *testing.T) {
	day := time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC)
	budget := topology.Budget{Bytes: 100, Per: "day"}
	var u Use
	for _, c := range []struct {
		hour     int
		up, down int64
		passed   bool
		sumUp    int64
	}{
		{0, 60, 40, false, 60},
		{1, 40, 0, false, 100}, // spent is not passed
		{2, 0, 0, false, 100},
		{3, 0, 61, true, 100}, // either way
		{4, 900, 900, false, 1000},
		{24, 100, 0, false, 100}, // the next day
		{25, 1, 0, true, 101},
	} {
		if got := u.Add(budget, c.up, c.down, day.Add(time.Duration(c.hour)*time.Hour)); got != c.passed || u.Up != c.sumUp {
			t.Errorf("hour %d: passed %v with %+v, want %v with %d up", c.hour, got, u, c.passed, c.sumUp)
		}
	}
	if (&Use{}).Add(topology.Budget{}, 1<<60, 0, day) {
		t.Error("no budget was passed")
	}
}
