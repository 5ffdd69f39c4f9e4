package node

import (
	"testing"

	"shoal/internal/bt/announce"
)

// TestWhy is the table of what a host takes to hold it back.
func TestWhy(t *testing.T) {
	busy := facts{peers: 3, rate: 1 << 20}
	with := func(change func(*facts)) facts {
		f := busy
		change(&f)
		return f
	}
	for want, list := range map[announce.Slow][]facts{
		"":                       {busy, {complete: true}, {complete: true, limited: true, full: true}},
		announce.SlowDisk:        {with(func(f *facts) { f.io = 0.3 }), {full: true}, with(func(f *facts) { f.io, f.cpu = 0.5, 0.9 })},
		announce.SlowCPU:         {with(func(f *facts) { f.cpu = 0.5 }), with(func(f *facts) { f.cpu, f.rate = 0.5, 0 })},
		announce.SlowLimit:       {with(func(f *facts) { f.limited = true }), with(func(f *facts) { f.limited, f.io = true, 0.9 })},
		announce.SlowUnreachable: {{}, {io: 0.9, limited: true}},
		announce.SlowNobody:      {{peers: 1}, with(func(f *facts) { f.rate = 100 })},
	} {
		for _, f := range list {
			if got := f.why(); got != want {
				t.Errorf("%+v: %q, want %q", f, got, want)
			}
		}
	}
}
