package simulate

import (
	"fmt"
	"time"

	"shoal/internal/simnet/fleet"
	"shoal/internal/topology"
)

// Result is what a simulation has shown, in terms of the real release. Bytes are
// content; headers add 2 to 5 % on the wire.
type Result struct {
	Size                int64         // of the release
	Bound               time.Duration // that nothing on these lines can beat
	First, Median, Last time.Duration // hosts that have everything, from the start
	Hosts, Done         int
	SourceCopies        float64 // that the source sent
	Sites               []SiteResult
	Links               []LinkResult
	Broken              []Broken // failures that happened, in order
	Scale               Scale
	Notes               []string // what was assumed, and what to look at
	Took                time.Duration
}

// SiteResult is one data centre.
type SiteResult struct {
	Site
	Done                int
	Copies              float64 // that came in from others
	First, Median, Last time.Duration
}

// LinkResult is one link.
type LinkResult struct {
	topology.Link
	Rate   int64 // that transfers may use; 0: no limit
	AB, BA int64 // bytes each way
}

// Share is how much of the link's budget the busier direction takes, 0 if it has none.
func (l LinkResult) Share() float64 {
	if l.Budget.Bytes == 0 {
		return 0
	}
	return float64(max(l.AB, l.BA)) / float64(l.Budget.Bytes)
}

// Broken is a failure that has happened.
type Broken struct {
	Failure
	Since time.Duration // after the start
}

func (o *Options) result(r *fleet.Report, broken []Broken, s Scale, bound time.Duration) *Result {
	out := &Result{
		Size: o.Size, Bound: bound, First: s.time(r.First), Median: s.time(r.Median), Last: s.time(r.Last),
		Hosts: r.Hosts, Done: r.Done, Scale: s, Broken: broken, Notes: o.notes(s.time(r.Last)),
	}
	for _, site := range o.Sites {
		x := r.Sites[site.Name]
		sr := SiteResult{Site: site, Done: x.Done, First: s.time(x.First), Median: s.time(x.Median), Last: s.time(x.Last)}
		var in int64
		for way, n := range r.Flows {
			if way.To == site.Name && way.From != way.To {
				in += n
			}
		}
		sr.Copies = float64(s.real(in)) / float64(o.Size)
		out.Sites = append(out.Sites, sr)
	}
	for _, l := range o.links() {
		out.Links = append(out.Links, LinkResult{l, o.rate(l), s.real(r.Flows[fleet.Way{From: l.A, To: l.B}]), s.real(r.Flows[fleet.Way{From: l.B, To: l.A}])})
	}
	out.SourceCopies = float64(s.real(r.SourceSent)) / float64(o.Size)
	return out
}

// notes say what the file left open, and what may come otherwise.
func (o *Options) notes(last time.Duration) (out []string) {
	if o.Topology.HostRate() == 0 && o.HostRate == DefaultHostRate {
		out = append(out, "the file says no defaults.host: hosts are taken to carry 10 Gbit/s")
	}
	for _, l := range o.links() {
		if o.rate(l) == 0 && o.uplink(l.A) == 0 && o.uplink(l.B) == 0 {
			out = append(out, fmt.Sprintf("link %s has neither a capacity nor a limit, nor have its ends an uplink: only hosts hold it back here", l.Name))
		}
		if next, ok := l.Limit.Next(o.Now); ok && next.Before(o.Now.Add(last)) {
			out = append(out, fmt.Sprintf("the limit of link %s changes at %s, before the end: here it does not", l.Name, next.UTC().Format("Mon 15:04 MST")))
		}
	}
	return out
}
