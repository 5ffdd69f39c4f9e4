package node

import (
	"os"
	"testing"
	"time"
)

// TestWatcher looks at this very machine: shares are shares, and the first look
// tells nothing.
func TestWatcher(t *testing.T) {
	var w watcher
	now := time.Now()
	if s := w.look(now); s.CPU != 0 || s.IO != 0 || s.Others != 0 {
		t.Errorf("first look: %+v", s)
	}
	for time.Since(now) < 50*time.Millisecond { // own work
	}
	s := w.look(time.Now())
	for _, v := range []float64{s.CPU, s.IO, s.Memory, s.Others} {
		if v < 0 || v > 1 {
			t.Errorf("no share: %+v", s)
		}
	}
	if _, err := os.Stat("/proc/pressure/cpu"); err == nil && w.blind != nil {
		t.Errorf("/proc/pressure is there and not understood: %v", w.blind)
	}
}

func TestOthers(t *testing.T) {
	for _, c := range []struct {
		work, all uint64
		own       time.Duration
		want      float64
	}{
		{0, 0, 0, 0}, {100, 200, 0, 0.5}, {100, 200, 500 * time.Millisecond, 0.25}, {10, 200, time.Second, 0}, {1 << 50, 1 << 51, 0, 0},
	} {
		if got := others(c.work, c.all, c.own); got != c.want {
			t.Errorf("others(%d, %d, %v) = %v, want %v", c.work, c.all, c.own, got, c.want)
		}
	}
}
