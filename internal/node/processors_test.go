package node

import "testing"

func TestProcessors(t *testing.T) {
	p := processors{all: 8, now: 8}
	feed := func(usage float64, times, want int) {
		t.Helper()
		for range times {
			p.step(usage)
		}
		if p.now != want {
			t.Fatalf("after %d times %.1f: %d processors, want %d", times, usage, p.now, want)
		}
	}
	feed(0.1, usageCalm-1, 8) // not yet sure
	feed(0.4, 1, 8)           // a busy moment in between starts anew
	feed(0.1, usageCalm-1, 8)
	feed(0.1, 1, 1)
	feed(0.5, 100, 1) // one is enough
	feed(0.7, 1, 8)   // at once
	feed(3, 100, 8)
	feed(0.5, 100, 8) // in between nothing changes
	feed(0.2, usageCalm, 1)
}

func TestCPUTime(t *testing.T) {
	before := ownCPU()
	x := 0
	for ownCPU() == before {
		x++
	}
	if before <= 0 && x == 0 {
		t.Fatal("the process has used no CPU time")
	}
}
