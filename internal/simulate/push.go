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

// What a simulation for a plan is like, which somebody waits for: a few seconds of
// one core, and times that are longer by a few parts of a hundred than with more.
const (
	planHosts   = 32
	planPieces  = 128
	planSeconds = 20.0
)

// ForPush makes Options of what a plan is made of: the hosts that are online, take
// part and do not have the release. Of many hosts some stand for all. Hosts that
// have the release send nothing here, and all have the file's rate. An error tells
// what a simulation cannot know.
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
	total := 0
	for _, n := range count {
		total += n
	}
	for _, name := range names {
		n := count[name]
		o.Sites = append(o.Sites, Site{name, max(min(n, 2), n*planHosts/max(total, planHosts))})
	}
	if err := o.check(); err != nil {
		return o, err
	}
	o.Scale = Scale{Pieces: planPieces, Time: max(1, o.bound().Seconds()/planSeconds)}
	return o, nil
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
