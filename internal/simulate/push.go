package simulate

import (
	"fmt"
	"math"
	"slices"
	"time"

	"shoal"
	"shoal/internal/deploy/plan"
	"shoal/internal/topology"
)

// ForPush makes Options of what a plan is made of: the hosts that are online, take
// part and do not have the release. Hosts that have it send nothing here, and all
// have the file's rate. An error tells what a simulation cannot know.
func ForPush(in plan.Input, m *topology.Map, now time.Time) (Options, error) {
	o := Options{Topology: m, Size: in.Release.Bytes, Source: in.Source, SourceRate: in.SourceUp, Now: now, Seed: 1}
	count := map[string]int{}
	var names []string
	for _, h := range in.Hosts {
		have := slices.Contains(h.Report.App(in.Release.App).Staged, in.Release.Version)
		if have || !in.Rollout.To.Matches(h) || !h.Online(now) {
			continue
		}
		if count[h.Datacenter] == 0 {
			names = append(names, h.Datacenter)
		}
		count[h.Datacenter]++
	}
	slices.Sort(names)
	for _, name := range names {
		o.Sites = append(o.Sites, Site{name, count[name]})
	}
	err := o.check()
	return o, err
}

// Plan is the result as a plan takes it.
func (r *Result) Plan() plan.Simulation {
	s := plan.Simulation{Time: r.Last.Round(time.Second), Warn: r.Notes}
	if r.Done < r.Hosts {
		s.Warn = append(s.Warn[:len(s.Warn):len(s.Warn)], fmt.Sprintf("in the simulation %d of %d hosts get everything", r.Done, r.Hosts))
	}
	use := func(from, to string, bytes, rate int64) {
		if bytes > 0 {
			copies := int(math.Round(float64(bytes) / float64(r.Size)))
			s.Links = append(s.Links, shoal.LinkUse{From: from, To: to, Bytes: bytes, Copies: copies, Peak: rate})
		}
	}
	for _, l := range r.Links {
		use(l.A, l.B, l.AB, l.Rate)
		use(l.B, l.A, l.BA, l.Rate)
	}
	return s
}
