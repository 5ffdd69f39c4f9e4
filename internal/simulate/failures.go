package simulate

import (
	"context"
	"sync"
	"time"

	"shoal/internal/simnet/fleet"
)

// What a Failure is of.
const (
	LinkFails       = "link"
	DatacenterFails = "datacenter" // all its links
	TrackerFails    = "tracker"    // it answers nobody any more
	SourceFails     = "source"     // it is killed, and stays dead
)

// Failure is something that breaks midway.
type Failure struct {
	What string        // LinkFails, ...
	Name string        // of the link (or A-B), or of the data centre
	At   float64       // once the hosts together have this share of all bytes
	For  time.Duration // how long; 0: for good
}

// script is what goes on beside the fleet: failures, and looks at how far it is.
type script struct {
	o      *Options
	scale  Scale
	real   context.Context // ends the simulation; it must not be waited for in fake time
	cancel context.CancelFunc
	broken []Broken
}

const lookEvery = 50 * time.Millisecond

func (x *script) run(ctx context.Context, s *fleet.Stage) {
	start, happened := time.Now(), make([]bool, len(x.o.Failures))
	var healing sync.WaitGroup
	defer healing.Wait()
	for again := true; again; again = fleet.Pause(ctx, lookEvery) {
		have := s.Share()
		if x.o.Progress != nil {
			x.o.Progress(have)
		}
		if x.real.Err() != nil {
			x.cancel()
		}
		for i, f := range x.o.Failures {
			if have < f.At || happened[i] {
				continue
			}
			happened[i] = true
			x.broken = append(x.broken, Broken{f, x.scale.time(time.Since(start))})
			heal := x.o.breaks(s, f)
			if f.For > 0 {
				healing.Go(func() {
					if fleet.Pause(ctx, time.Duration(float64(f.For)/x.scale.Time)) {
						heal()
					}
				})
			}
		}
	}
}

// breaks makes a failure happen; heal ends it.
func (o *Options) breaks(s *fleet.Stage, f Failure) (heal func()) {
	switch f.What {
	case LinkFails:
		ends, _ := o.link(f.Name)
		l := s.Network().Link(ends.A, ends.B)
		l.Cut()
		return l.Heal
	case DatacenterFails:
		p := s.Network().Place(f.Name)
		p.Cut()
		return p.Heal
	case TrackerFails:
		s.KillTracker()
		return s.HealTracker
	}
	s.KillSource()
	return func() {}
}
