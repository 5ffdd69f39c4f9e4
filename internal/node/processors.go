package node

import (
	"context"
	"os"
	"runtime"
	"time"
)

// A process that moves a few MB/s beside a service is cheaper on one processor:
// with more, each packet wakes threads that look for work, find none and go to
// sleep again (a fifth of all CPU time in a swarm of 16 hosts at 50 Mbit/s). So
// it uses one until that one has hardly room left, and one again when it has.
const (
	usageEvery = 250 * time.Millisecond
	usageMost  = 0.6 // of one processor; above it all are used
	usageLeast = 0.3 // of one processor; below it for
	usageCalm  = 12  // measurements in a row, one is enough
)

// fitProcessors sets how many processors the Go scheduler uses, until ctx ends.
// It leaves alone what the operator has set (GOMAXPROCS).
func fitProcessors(ctx context.Context) {
	all := runtime.GOMAXPROCS(0)
	if all == 1 || os.Getenv("GOMAXPROCS") != "" {
		return
	}
	defer runtime.GOMAXPROCS(all)
	tick := time.NewTicker(usageEvery)
	defer tick.Stop()
	fit := processors{all: all, now: all}
	last, at := ownCPU(), time.Now()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		used, now := ownCPU(), time.Now()
		if n, changed := fit.step((used - last).Seconds() / now.Sub(at).Seconds()); changed {
			runtime.GOMAXPROCS(n)
		}
		last, at = used, now
	}
}

// processors decides how many processors to use.
type processors struct {
	all, now int
	calm     int // measurements below usageLeast in a row
}

// step takes how many processors were busy lately.
func (p *processors) step(usage float64) (n int, changed bool) {
	before := p.now
	switch {
	case usage > usageMost:
		p.calm, p.now = 0, p.all
	case usage > usageLeast:
		p.calm = 0
	default:
		if p.calm++; p.calm >= usageCalm {
			p.now = 1
		}
	}
	return p.now, p.now != before
}
