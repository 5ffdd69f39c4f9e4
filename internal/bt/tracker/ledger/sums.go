package ledger

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"

	"shoal/internal/bt/announce"
	"shoal/internal/bt/metainfo"
)

// Sums are what the peers of one swarm have moved. Bytes are payload.
type Sums struct {
	Size   int64                 // of the content
	Source float64               // copies that sources have sent: peers that had everything from their start
	Sites  []Site                // by name, those of unknown place first
	Flows  []Flow                // between different data centres, the largest first
	Slow   []Host                // that lack something, the one that will be last first; at most MaxSlow
	Lack   map[announce.Slow]int // how many do, by why they are not faster
}

// MaxSlow bounds how many slow hosts are told.
const MaxSlow = 20

// silent is after how many seconds without a word a host counts as silent.
const silent = 600

// Site is one data centre; an empty name is hosts of unknown place.
type Site struct {
	Name   string
	Hosts  int // that are there, or were and have everything; sources too
	Done   int
	Copies float64 // that came in from others
}

// Flow is what went from one data centre to another. Each end has counted; the larger sum counts, since stock
// clients count nothing.
type Flow struct {
	From, To string
	Bytes    int64
}

// Host is one that lacks something.
type Host struct {
	At   netip.AddrPort
	DC   string
	Have float64       // share of the content
	Rate float64       // bytes a second, lately
	Slow announce.Slow // why, as it says itself
	Last uint32        // unix seconds of its last word
}

// Silent tells whether nothing was heard of a host for long.
func (h *Host) Silent(now uint32) bool { return now > h.Last+silent }

// way is the direction of a flow.
type way struct{ from, to string }

// Sums adds up one swarm; false when nobody has told anything of it.
func (b *Book) Sums(h metainfo.InfoHash) (Sums, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	sw := b.swarms[h]
	if sw == nil {
		return Sums{}, false
	}
	return sw.sums(), true
}

// All adds up every swarm.
func (b *Book) All() map[metainfo.InfoHash]Sums {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := make(map[metainfo.InfoHash]Sums, len(b.swarms))
	for h, sw := range b.swarms {
		out[h] = sw.sums()
	}
	return out
}

func (sw *swarm) sums() Sums {
	out := Sums{Size: sw.size, Lack: map[announce.Slow]int{}}
	sites := map[string]*Site{}
	sent, came := map[way]int64{}, map[way]int64{}
	var bySources int64
	for _, p := range sw.peers {
		s := sites[p.dc]
		if s == nil {
			s = &Site{Name: p.dc}
			sites[p.dc] = s
		}
		done := p.have >= sw.size
		if done {
			s.Done++
		} else if !p.gone {
			out.Slow = append(out.Slow, Host{p.at, p.dc, float64(p.have) / float64(sw.size), p.rate, p.slow, p.seen})
			out.Lack[p.slow]++
		}
		if done || !p.gone {
			s.Hosts++
		}
		for _, m := range p.moved {
			out, in := way{p.dc, m.DC}, way{m.DC, p.dc}
			sent[out], came[in] = plus(sent[out], m.Up), plus(came[in], m.Down)
			if p.source {
				bySources = plus(bySources, m.Up)
			}
		}
	}
	out.Source = float64(bySources) / float64(sw.size)
	out.flow(sent, came, sites)
	for _, name := range slices.Sorted(maps.Keys(sites)) {
		out.Sites = append(out.Sites, *sites[name])
	}
	out.rank()
	return out
}

// flow joins what both ends say, and sums up what came into each data centre.
func (s *Sums) flow(sent, came map[way]int64, sites map[string]*Site) {
	ways := maps.Clone(sent)
	maps.Copy(ways, came)
	into := map[string]int64{}
	for w := range ways {
		n := max(sent[w], came[w])
		if w.from == w.to || n == 0 {
			continue
		}
		s.Flows = append(s.Flows, Flow{w.from, w.to, n})
		into[w.to] = plus(into[w.to], n)
	}
	for name, n := range into {
		if at := sites[name]; at != nil {
			at.Copies = float64(n) / float64(s.Size)
		}
	}
	slices.SortFunc(s.Flows, func(a, b Flow) int {
		return cmp.Or(cmp.Compare(b.Bytes, a.Bytes), cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To))
	})
}

// rank puts first who will be last.
func (s *Sums) rank() {
	need := func(h Host) float64 { return (1 - h.Have) / max(h.Rate, 1e-3) }
	slices.SortFunc(s.Slow, func(a, b Host) int {
		return cmp.Or(cmp.Compare(need(b), need(a)), a.At.Compare(b.At))
	})
	s.Slow = s.Slow[:min(len(s.Slow), MaxSlow)]
}
