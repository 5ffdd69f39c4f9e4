package plan

import (
	"fmt"
	"math"
	"time"

	"shoal"
	"shoal/internal/quantity"
)

// century bounds what is printed as a time: beyond it nobody waits.
const century = 100 * 365 * 24 * time.Hour

// time finds the longest of the bounds.
func (p *planner) time() {
	f := float64(p.in.Release.Bytes)
	longest := 0.0
	bound := func(seconds float64, format string, args ...any) {
		if seconds > longest && !math.IsInf(seconds, 0) { // NaN, unknown, is never greater
			longest, p.out.Bound = seconds, fmt.Sprintf(format, args...)
		}
	}
	receivers, uplinks := 0, 0.0
	for _, name := range p.names() {
		s := p.sites[name]
		uplinks += s.up
		if s.receivers == 0 {
			continue
		}
		receivers += s.receivers
		bound(f/s.down, "the downlink of host %s", s.slowest)
		bound(float64(s.receivers)*f/(s.in+s.up), "the uplinks of the %d hosts in %s together", s.receivers, name)
	}
	if receivers > 0 {
		source := rate(p.in.SourceUp, math.NaN())
		if p.out.Have == 0 {
			bound(f/source, "the uplink of the source")
		}
		bound(float64(len(p.out.Links))*f/(source+uplinks), "the uplinks into the WAN together")
	}
	for _, l := range p.out.Links {
		if p.sites[l.To].receivers > 0 {
			bound(f/rate(p.link(l.From, l.To).Rate, math.Inf(1)), "the link %s to %s", l.From, l.To)
		}
	}
	p.out.Time = time.Duration(min(longest, century.Seconds()) * float64(time.Second)).Round(time.Second)
	start := p.now
	if p.in.Rollout.StartAt.After(start) {
		start = p.in.Rollout.StartAt
	}
	p.out.End = start.Add(p.out.Time)
	if p.out.Bound == "" && receivers > 0 {
		p.out.Bound = "unknown: no rate of any link or host is known"
	}
}

// judge says what must not begin, and what deserves a second look.
func (p *planner) judge() {
	r, n := p.in.Rollout, p.out.Hosts
	if n == 0 {
		p.out.Refused = fmt.Sprintf("no host matches %s", r.To)
		return
	}
	warn := func(format string, args ...any) { p.out.Warn = append(p.out.Warn, fmt.Sprintf(format, args...)) }
	gate := max(1, r.Gate.Share.Or(shoal.Percent(100)).Up(n))
	if full := len(p.out.Full); full > 0 {
		first := p.out.Full[0]
		text := fmt.Sprintf("%d of %d hosts have no room: %s needs %s and has %s", full, n, first.Host, quantity.FormatBytes(first.Need), quantity.FormatBytes(first.Free))
		if n-full >= gate {
			warn("%s", text)
		} else if p.out.Refused == "" {
			p.out.Refused = text
		}
	}
	if off := len(p.out.Offline); n-off < gate {
		warn("%d hosts are offline, so the gate of %d waits for them: %s ...", off, gate, p.out.Offline[0])
	}
	if d := r.Gate.Deadline; d > 0 && p.out.Time > d {
		warn("staging takes at least %s, and its deadline is %s", p.out.Time, d)
	}
	if at := r.ActivateAt; !at.IsZero() && p.out.End.After(at) {
		warn("hosts are to switch at %s, and have staged at %s at the earliest", at.UTC().Format(time.RFC3339), p.out.End.UTC().Format(time.RFC3339))
	}
}
