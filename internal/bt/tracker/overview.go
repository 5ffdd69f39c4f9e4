package tracker

import (
	"cmp"
	"io/fs"
	"os"
	"slices"
	"sync"
	"time"

	"shoal/internal/bt/metainfo"
	"shoal/internal/bt/tracker/httpfront"
	"shoal/internal/bt/tracker/ledger"
	"shoal/internal/bt/tracker/peerstore"
	"shoal/internal/topology"
)

// overviewAge is how long one overview is shown: it walks over all peers.
const overviewAge = time.Second

func (t *Tracker) frontOptions() httpfront.Options {
	o := httpfront.Options{
		Logic:    door{t, protoHTTP},
		Overview: t.cachedOverview,
		Metafile: noMetafile,
		Metrics:  t.metrics.handler(),
		Healthy:  t.state.trouble,
		Trusted:  t.o.TrustedProxies,
		Log:      t.o.Log,
	}
	if t.catalog != nil {
		o.Metafile = t.catalog.File
	}
	return o
}

func (t *Tracker) cachedOverview(now time.Time) *httpfront.Overview {
	c := &t.overview
	c.Lock()
	defer c.Unlock()
	if age := now.Sub(c.at); c.value == nil || age < 0 || age >= overviewAge {
		c.value, c.at = t.makeOverview(now), now
	}
	return c.value
}

func (t *Tracker) makeOverview(now time.Time) *httpfront.Overview {
	announces := t.metrics.total.Load()
	o := &httpfront.Overview{
		Title: "shoal tracker", Up: now.Sub(t.started), Open: t.catalog == nil, Interval: t.o.Interval,
		Announces: announces, Rate: t.rate.of(announces, now), Places: t.o.Topology != nil,
	}
	known := make(map[metainfo.InfoHash]bool)
	for _, st := range t.store.All(len(t.o.Topology.Datacenters())) {
		if !t.serves(st.InfoHash) {
			continue
		}
		known[st.InfoHash] = true
		o.Swarms = append(o.Swarms, t.row(st, now))
	}
	if t.catalog != nil {
		for _, h := range t.catalog.Swarms() {
			if !known[h] {
				o.Swarms = append(o.Swarms, t.row(peerstore.Stats{InfoHash: h}, now))
			}
		}
	}
	slices.SortFunc(o.Swarms, func(a, b httpfront.Swarm) int {
		return cmp.Or(cmp.Compare(b.Seeds+b.Partial+b.Leeches, a.Seeds+a.Partial+a.Leeches),
			cmp.Compare(b.Completed, a.Completed), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Hash, b.Hash))
	})
	return o
}

func (t *Tracker) row(st peerstore.Stats, now time.Time) httpfront.Swarm {
	s := httpfront.Swarm{Hash: st.InfoHash.String(), Size: -1, Seeds: st.Seeds, Partial: st.Partial, Leeches: st.Leeches,
		Completed: st.Completed, Down: st.Down, Up: st.Up, Idle: -1}
	if st.Touched > 0 {
		s.Idle = max(0, now.Sub(time.Unix(int64(st.Touched), 0)))
	}
	if t.catalog != nil {
		if e, ok := t.catalog.Entry(st.InfoHash); ok {
			s.Name, s.Size, s.File, s.Version = e.Name, e.Size, e.File, versionOf(e.Version, e.Swarms, st.InfoHash)
		}
	}
	if sums, ok := t.book.Sums(st.InfoHash); ok {
		s.Ledger = t.ledgerOf(sums, now)
	}
	if t.reach != nil {
		for _, d := range t.reach.Deaf(st.InfoHash) {
			s.Deaf = append(s.Deaf, httpfront.DeafPeer{Peer: d.At.String(), Seconds: int64(max(0, now.Sub(d.Since)).Seconds()), Why: d.Why})
		}
	}
	s.Homes = t.homesOf(st.InfoHash)
	dcs := t.o.Topology.Datacenters()
	for i, n := range st.Places {
		if n == 0 {
			continue
		}
		p := httpfront.PlaceCount{Name: topology.Unknown, Peers: n}
		if i < len(dcs) {
			p.Name = dcs[i].Name
		}
		s.Places = append(s.Places, p)
	}
	return s
}

// ledgerOf is what the page shows of what was moved.
func (t *Tracker) ledgerOf(sums ledger.Sums, now time.Time) *httpfront.Ledger {
	l := &httpfront.Ledger{Size: sums.Size, Source: sums.Source}
	for _, s := range sums.Sites {
		l.Sites = append(l.Sites, httpfront.Site{Name: placed(s.Name), Hosts: s.Hosts, Done: s.Done, Copies: s.Copies})
	}
	for _, f := range sums.Flows {
		link, _ := t.o.Topology.Link(f.From, f.To)
		l.Flows = append(l.Flows, httpfront.Flow{Link: link.Name, From: placed(f.From), To: placed(f.To), Bytes: f.Bytes, Copies: float64(f.Bytes) / float64(sums.Size)})
	}
	for _, h := range sums.Slow {
		row := httpfront.SlowHost{Host: h.At.String(), Datacenter: placed(h.DC), Have: h.Have, Rate: int64(h.Rate), Why: string(h.Slow)}
		if h.Silent(uint32(now.Unix())) {
			row.Why = "silent"
		}
		l.Slow = append(l.Slow, row)
	}
	return l
}

func placed(name string) string { return cmp.Or(name, topology.Unknown) }

// versionOf tells which swarm of a metafile this is: a hybrid has one for v1 and one for v2 clients.
func versionOf(v metainfo.Version, swarms []metainfo.InfoHash, h metainfo.InfoHash) string {
	if v != metainfo.Hybrid || len(swarms) != 2 {
		return v.String()
	}
	if h == swarms[0] {
		return "hybrid, v1 swarm"
	}
	return "hybrid, v2 swarm"
}

// rateMeter makes a rate of a total, over at least ten seconds.
type rateMeter struct {
	mu         sync.Mutex
	base, last sample
}

type sample struct {
	n  uint64
	at time.Time
}

func (m *rateMeter) of(n uint64, now time.Time) float64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.base.at.IsZero() {
		m.base, m.last = sample{n, now}, sample{n, now}
	}
	if now.Sub(m.last.at) >= 10*time.Second {
		m.base, m.last = m.last, sample{n, now}
	}
	d := now.Sub(m.base.at).Seconds()
	if d <= 0 {
		return 0
	}
	return float64(n-m.base.n) / d
}

// noMetafile is the answer of an open tracker, which knows none.
func noMetafile(string) (*os.File, error) { return nil, fs.ErrNotExist }
