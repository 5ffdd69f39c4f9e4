package plan

import (
	"time"

	"shoal"
)

// Simulation is what a simulation of a push has shown; see internal/simulate.
type Simulation struct {
	Time  time.Duration   // until the last host has everything
	Links []shoal.LinkUse // content each way, those that carry something
	Warn  []string
}

// Simulated puts what a simulation has shown in the place of the arithmetic's
// time and links. Hosts, disks and refusals stay, and so does the bound.
func Simulated(p shoal.Plan, s Simulation) shoal.Plan {
	p.By = shoal.BySimulation
	p.End = p.End.Add(s.Time - p.Time)
	p.Time, p.Links = s.Time, s.Links
	p.Warn = append(p.Warn[:len(p.Warn):len(p.Warn)], s.Warn...)
	return p
}
