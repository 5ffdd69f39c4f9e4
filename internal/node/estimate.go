package node

import (
	"context"
	"fmt"
	"time"

	"shoal"
	"shoal/internal/deploy/plan"
	"shoal/internal/simulate"
	"shoal/internal/topology"
)

// estimator makes the plans of a server: it simulates the push if the topology is
// known, and calculates where it cannot or that takes too long.
type estimator struct {
	topology *topology.Map
	patience time.Duration
	turn     chan *estimate // one simulation at a time; holds the last one
}

// estimate is what a simulation of a push has shown.
type estimate struct {
	of   string
	at   time.Time
	seen plan.Simulation
}

const (
	planPatience = 8 * time.Second
	// planFresh is how long an estimate serves again: a push is planned when it is
	// shown, and when it begins.
	planFresh = time.Minute
)

func newEstimator(m *topology.Map) *estimator {
	e := &estimator{topology: m, patience: planPatience, turn: make(chan *estimate, 1)}
	e.turn <- &estimate{}
	return e
}

// plan is controller.Options.Estimate.
func (e *estimator) plan(ctx context.Context, in plan.Input, now time.Time) shoal.Plan {
	p := plan.Make(in, now)
	if e.topology == nil || p.Refused != "" || p.Have == p.Hosts {
		return p
	}
	seen, err := e.simulate(ctx, in, now)
	if err != nil {
		p.Warn = append(p.Warn, fmt.Sprintf("not simulated: %v", err))
		return p
	}
	return plan.Simulated(p, seen)
}

func (e *estimator) simulate(ctx context.Context, in plan.Input, now time.Time) (none plan.Simulation, err error) {
	o, err := simulate.ForPush(in, e.topology, now)
	if err != nil {
		return none, err
	}
	if in.Rollout.StartAt.After(now) {
		o.Now = in.Rollout.StartAt // which schedules hold; who is online is known of now only
	}
	late := fmt.Errorf("it was not done after %v; `shoal simulate` takes the time that it needs", e.patience)
	ctx, cancel := context.WithTimeoutCause(ctx, e.patience, late)
	defer cancel()
	var last *estimate
	select {
	case last = <-e.turn:
	case <-ctx.Done():
		return none, context.Cause(ctx)
	}
	defer func() { e.turn <- last }()
	of := fmt.Sprint(o.Size, o.Sites, o.Source, o.SourceRate, in.Rollout.StartAt)
	if d := now.Sub(last.at); of == last.of && d >= 0 && d < planFresh {
		return last.seen, nil
	}
	r, err := simulate.Run(ctx, o)
	if err != nil {
		return none, err
	}
	last = &estimate{of, now, r.Plan()}
	return last.seen, nil
}
