// Package plan works out what a rollout would cost before anything moves:
// bytes and copies a link, the rate that operators will see, when the last
// host has everything, and whether the disks hold it. It calculates with lower
// bounds, so a real push takes at least as long; it never asks anybody, sends
// anything or looks at a clock.
//
// # The arithmetic
//
// A release has F bytes. One copy goes into each data centre that has none; in
// it, hosts feed each other. A piece is passed on while others still arrive,
// so the stages overlap and the longest one is the time (Kumar and Ross,
// HotWeb 2006, for one swarm; here once for the WAN and once a data centre):
//
//	F / source's uplink            the source sends each byte once
//	F / link                       one copy over each link that is used
//	D F / (source + all uplinks)   D copies leave data centres
//	F / slowest downlink           of a host
//	n F / (link in + uplinks)      n hosts of a data centre
package plan

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"shoal"
	"shoal/internal/quantity"
)

// Link is the way from one data centre to another.
type Link struct {
	From   string
	To     string
	Rate   int64 // bytes a second that a push may use; 0 is unknown
	Budget int64 // bytes that it may carry for this push; 0 is no budget
}

// Input is what a plan is made of.
type Input struct {
	Release  shoal.Release
	Rollout  shoal.Rollout
	Hosts    []shoal.Host // the whole fleet
	Links    []Link
	Source   string // data centre of the source
	SourceUp int64  // bytes a second; 0 is unknown
	Reserve  int64  // bytes that have to stay free on each host
}

// Make makes the plan.
func Make(in Input, now time.Time) shoal.Plan {
	p := &planner{in: in, now: now, sites: map[string]*site{}}
	p.out = shoal.Plan{Release: in.Release.Name(), Bytes: in.Release.Bytes, By: shoal.ByArithmetic}
	p.host()
	p.route()
	p.time()
	p.judge()
	return p.out
}

type planner struct {
	in    Input
	now   time.Time
	out   shoal.Plan
	sites map[string]*site
}

// site is a data centre in the arithmetic.
type site struct {
	shoal.SiteShare
	receivers int     // online hosts that have to fetch
	up        float64 // of its online hosts together; NaN when one is unknown
	down      float64 // of its slowest receiver; +Inf when none is known
	slowest   string
	in        float64 // rate of the link that feeds it; +Inf when unknown
}

// host goes over the hosts that the rollout is for.
func (p *planner) host() {
	version := p.in.Release.Version
	for _, h := range p.in.Hosts {
		if !p.in.Rollout.To.Matches(h) {
			continue
		}
		s := p.site(h.Datacenter)
		p.out.Hosts++
		s.Hosts++
		a := h.Report.App(p.in.Release.App)
		need := p.in.Release.Bytes
		if w := a.Work; w != nil && w.Version == version {
			need -= min(need, w.Done)
		}
		online, have := h.Online(p.now), slices.Contains(a.Staged, version)
		switch {
		case have:
			p.out.Have++
			s.Have++
			need = 0
		case !h.Seen.IsZero():
			s.Need += need
			s.Free += h.Report.Free
			if h.Report.Free-need < p.in.Reserve {
				p.out.Full = append(p.out.Full, shoal.DiskNeed{Host: h.Name, Need: need + p.in.Reserve, Free: h.Report.Free})
			}
		}
		if !online {
			p.out.Offline = append(p.out.Offline, h.Name)
			s.Offline++
			continue
		}
		s.up += rate(h.Up, math.NaN())
		if !have {
			s.receivers++
			if down := rate(h.Down, math.Inf(1)); down < s.down {
				s.down, s.slowest = down, h.Name
			}
		}
	}
	slices.Sort(p.out.Offline)
	slices.SortFunc(p.out.Full, func(a, b shoal.DiskNeed) int { return cmp.Compare(a.Host, b.Host) })
	for _, name := range p.names() {
		p.out.Sites = append(p.out.Sites, p.sites[name].SiteShare)
	}
}

func (p *planner) site(name string) *site {
	s := p.sites[name]
	if s == nil {
		s = &site{SiteShare: shoal.SiteShare{Name: name}, down: math.Inf(1), in: math.Inf(1)}
		p.sites[name] = s
	}
	return s
}

func (p *planner) names() []string { return slices.Sorted(maps.Keys(p.sites)) }

// rate is a rate as a number, or unknown.
func rate(bytes int64, unknown float64) float64 {
	if bytes <= 0 {
		return unknown
	}
	return float64(bytes)
}

// route feeds each data centre over the widest link from one that is fed: from
// the source first, then from each other. One that holds a copy needs none.
func (p *planner) route() {
	fed := map[string]bool{p.in.Source: true}
	var hungry []string
	for _, name := range p.names() {
		switch s := p.sites[name]; {
		case name == p.in.Source:
			s.in = rate(p.in.SourceUp, math.Inf(1))
		case s.Have > 0:
			fed[name] = true
			s.in = 0 // its own copy is among the uplinks
		case s.Hosts > 0:
			hungry = append(hungry, name)
		}
	}
	for len(hungry) > 0 {
		var best Link
		width := -1.0
		for _, to := range hungry {
			for _, from := range slices.Sorted(maps.Keys(fed)) {
				l := p.link(from, to)
				w := rate(l.Rate, math.Inf(1))
				if w > width || w == width && from == p.in.Source && best.From != p.in.Source {
					best, width = l, w
				}
			}
		}
		hungry = slices.DeleteFunc(hungry, func(name string) bool { return name == best.To })
		fed[best.To] = true
		p.use(best)
	}
	slices.SortFunc(p.out.Links, func(a, b shoal.LinkUse) int { return cmp.Compare(a.To, b.To) })
}

// link finds a link; one that nobody listed is one of which nothing is known.
func (p *planner) link(from, to string) Link {
	for _, l := range p.in.Links {
		if l.From == from && l.To == to {
			return l
		}
	}
	return Link{From: from, To: to}
}

func (p *planner) use(l Link) {
	s := p.sites[l.To]
	s.in = rate(l.Rate, math.Inf(1))
	u := shoal.LinkUse{From: l.From, To: l.To, Bytes: p.in.Release.Bytes, Copies: 1, Peak: l.Rate}
	if l.From == p.in.Source && p.in.SourceUp > 0 && p.sites[p.in.Source] == nil {
		// Alone in its data centre, the source is all that feeds the link.
		u.Peak = cmp.Or(min(cmp.Or(u.Peak, p.in.SourceUp), p.in.SourceUp), u.Peak)
	}
	p.out.Links = append(p.out.Links, u)
	if l.Budget > 0 && l.Budget < u.Bytes && p.out.Refused == "" {
		p.out.Refused = fmt.Sprintf("the link %s to %s has a budget of %s and would carry %s", l.From, l.To, quantity.FormatBytes(l.Budget), quantity.FormatBytes(u.Bytes))
	}
}
