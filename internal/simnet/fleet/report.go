package fleet

import (
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"time"
)

// Report is what a run has shown. Times are from the start of the run.
type Report struct {
	Site                            // the whole fleet
	Sites        map[string]Site    // by data centre
	Bound        time.Duration      // of healthy hosts
	All          time.Duration      // the last of all hosts, faulted ones too
	Faulted      int                // hosts that were killed at some time
	SourceSent   int64              // bytes of content
	SourceCopies float64            // bytes that the source sent, headers and all, in contents
	Flows        map[Way]int64      // bytes of content between data centres, and inside of each, as receivers count
	Into         map[string]float64 // data centre: bytes that came over its WAN link, headers and all, in contents
	Wasted       float64            // payload that was of no use: came twice, unasked or bad, in contents a host
	Overhead     float64            // bytes received beside the content, in contents a host
	Seconds      []Second
}

// Way is a direction between two data centres.
type Way struct{ From, To string }

// Site is how some hosts have fared. Times are those of healthy hosts (they are
// equal, and were never harmed), 0 if none of them has everything.
type Site struct {
	Hosts, Done         int
	First, Median, Last time.Duration
}

func fared(hosts []*host) Site {
	s := Site{Hosts: len(hosts)}
	var at []time.Duration
	for _, h := range hosts {
		if d := h.finished.Load(); d > 0 && h.odd() == "" {
			s.Done++
			if h.healthy() {
				at = append(at, time.Duration(d))
			}
		}
	}
	if n := len(at); n > 0 {
		slices.Sort(at)
		s.First, s.Median, s.Last = at[0], at[n/2], at[n-1]
	}
	return s
}

// Second tells how busy the links were in one second of the run, between 0
// and 1.
type Second struct {
	Source float64 // the source's uplink
	Up     float64 // uplinks of the hosts
	Down   float64 // downlinks of the hosts that were not complete at its start
	Have   float64 // share of all pieces of all hosts, at its end
	Least  float64 // share of its pieces that the host with the fewest has
	Done   int     // hosts that were complete at its end
	Peers  float64 // connections a host
	// Links are the WAN links of the data centres in the order of their names,
	// out and in; none when all hosts are in one, or they have no limit.
	Links [][2]float64
}

// bound is the fluid bound: the earliest time at which all hosts of which
// counts (nil: all) could have everything. One full copy must leave the
// source, one must enter each host, and all uplinks together, each from its
// host's start, must carry all copies (Kumar & Ross 2006).
func (f *fleet) bound(counts func(*host) bool) time.Duration {
	size := float64(len(f.release.content))
	bound := size / float64(f.o.SourceUp)
	n := 0.0
	starts := make([]*host, 0, len(f.hosts))
	for _, h := range f.hosts {
		starts = append(starts, h)
		if counts == nil || counts(h) {
			n++
			bound = max(bound, h.start.Seconds()+size/float64(h.down))
		}
	}
	slices.SortFunc(starts, func(a, b *host) int { return int(a.start - b.start) })
	// sent(t) = sum of up*(t-start) grows with t: find where it reaches n sizes.
	rate, debt := float64(f.o.SourceUp), n*size
	at := debt / rate
	for _, h := range starts {
		if h.start.Seconds() >= at {
			break
		}
		rate += float64(h.up)
		debt += float64(h.up) * h.start.Seconds()
		at = debt / rate
	}
	if f.o.Net.WAN > 0 && f.o.Place != nil {
		bound = max(bound, size/float64(f.o.Net.WAN))
	}
	return time.Duration(max(bound, at) * 1e9)
}

// Healthy tells whether a host counts for First, Median, Last and Bound: it
// was never killed, and its link is not slower than the others'.
func (h *host) healthy() bool {
	return h.odd() == "" && len(h.faults) == 0 && h.up >= h.fleet.o.Up && h.down >= h.fleet.o.Down
}

func (f *fleet) report(seconds []Second) *Report {
	r := &Report{
		Site: fared(f.hosts), Sites: map[string]Site{}, Bound: f.bound((*host).healthy), SourceSent: f.source.total.Uploaded,
		Flows: map[Way]int64{}, Seconds: seconds,
	}
	size := float64(len(f.release.content))
	sites := map[string][]*host{}
	var wasted, received float64
	for _, h := range f.hosts {
		at := h.place.Datacenter
		sites[at] = append(sites[at], h)
		for from, t := range h.total.Traffic {
			r.Flows[Way{from, at}] += t.Down
		}
		if len(h.faults) > 0 {
			r.Faulted++
		}
		_, down := h.sim.Traffic()
		received += float64(down) - float64(h.total.Downloaded)
		if h.odd() != "" {
			continue
		}
		wasted += float64(h.total.Downloaded) - float64(h.store.bytes())
		r.All = max(r.All, time.Duration(h.finished.Load()))
	}
	sent, _ := f.source.sim.Traffic()
	r.SourceCopies = float64(sent) / size
	if f.o.Place != nil {
		r.Into = map[string]float64{}
	}
	for name, hosts := range sites {
		r.Sites[name] = fared(hosts)
		if r.Into != nil {
			_, in := f.net.Place(name).Traffic()
			r.Into[name] = float64(in) / size
		}
	}
	r.Wasted = wasted / size / float64(len(f.hosts))
	r.Overhead = received / size / float64(len(f.hosts))
	return r
}

// Ratio is a time over the bound.
func (r *Report) Ratio(t time.Duration) float64 { return t.Seconds() / r.Bound.Seconds() }

// String is the report in one line.
func (r *Report) String() string {
	text := fmt.Sprintf("%d of %d done, bound %.2fs: first %.3f median %.3f last %.3f all %.3f, source %.2f copies, wasted %.2f%%, overhead %.2f%%",
		r.Done, r.Hosts, r.Bound.Seconds(), r.Ratio(r.First), r.Ratio(r.Median), r.Ratio(r.Last), r.Ratio(r.All),
		r.SourceCopies, 100*r.Wasted, 100*r.Overhead)
	for _, name := range slices.Sorted(maps.Keys(r.Into)) {
		text += fmt.Sprintf(", into %s %.3f", name, r.Into[name])
	}
	return text
}

// Print writes a table with a line a second.
func (r *Report) Print(w io.Writer) {
	fmt.Fprintln(w, "second  source  up    down  have   least  peers  done")
	for i, s := range r.Seconds {
		fmt.Fprintf(w, "%6d  %4.0f%%  %4.0f%%  %4.0f%%  %5.1f%%  %5.1f%%  %5.1f  %4d",
			i+1, 100*s.Source, 100*s.Up, 100*s.Down, 100*s.Have, 100*s.Least, s.Peers, s.Done)
		for _, l := range s.Links {
			fmt.Fprintf(w, "  %3.0f>%3.0f", 100*l[0], 100*l[1])
		}
		fmt.Fprintln(w)
	}
}

// sample is the counters of all links at a time.
type sample struct {
	source   int64
	up, down []int64
	done     []bool
	links    [][2]int64
}

func (f *fleet) sample() sample {
	s := sample{}
	s.source, _ = f.source.sim.Traffic()
	for _, h := range f.hosts {
		up, down := h.sim.Traffic()
		s.up, s.down = append(s.up, up), append(s.down, down)
		s.done = append(s.done, h.finished.Load() > 0)
	}
	for _, name := range f.sites {
		out, in := f.net.Place(name).Traffic()
		s.links = append(s.links, [2]int64{out, in})
	}
	return s
}

func (f *fleet) second(a, b sample) Second {
	x := Second{Source: float64(b.source-a.source) / float64(f.o.SourceUp), Least: 1}
	var up, upMax, down, downMax, have, peers float64
	for i, h := range f.hosts {
		up += float64(b.up[i] - a.up[i])
		upMax += float64(h.up)
		if !a.done[i] {
			down += float64(b.down[i] - a.down[i])
			downMax += float64(h.down)
		}
		if b.done[i] {
			x.Done++
		}
		share := float64(h.store.count()) / float64(f.o.Pieces)
		have += share
		x.Least = math.Min(x.Least, share)
		if e := h.engine.Load(); e != nil {
			peers += float64(e.Stats().Peers)
		}
	}
	x.Up = up / upMax
	for i := range b.links {
		wan := float64(f.o.Net.WAN)
		x.Links = append(x.Links, [2]float64{float64(b.links[i][0]-a.links[i][0]) / wan, float64(b.links[i][1]-a.links[i][1]) / wan})
	}
	if downMax > 0 {
		x.Down = down / downMax
	}
	x.Have, x.Peers = have/float64(len(f.hosts)), peers/float64(len(f.hosts))
	return x
}
