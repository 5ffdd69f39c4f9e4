package tracker

import (
	"cmp"
	"maps"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"shoal/internal/bt/announce"
	"shoal/internal/bt/metainfo"
)

// metrics are the counters of a tracker. Those of the hot path are looked up once, at the start.
type metrics struct {
	registry  *prometheus.Registry
	total     atomic.Uint64 // announces, for the page
	announces [protos][announce.Paused + 1]prometheus.Counter
	scrapes   [protos]prometheus.Counter
	malformed [protos]prometheus.Counter
	refused   [protos][refusals]prometheus.Counter
	given     prometheus.Counter
	connects  prometheus.Counter
	dropped   prometheus.Counter
}

// refusal is the kind of a refusal, as a label.
type refusal int

const (
	refusedRate refusal = iota
	refusedSwarm
	refusedFull
	refusedStranger
	refusedOther
	refusals
)

func kindOf(f *announce.Failure) refusal {
	switch f {
	case refuseRate:
		return refusedRate
	case refuseSwarm, refuseUnregistered:
		return refusedSwarm
	}
	for _, full := range refusePeers {
		if f == full {
			return refusedFull
		}
	}
	return refusedOther
}

func newMetrics(t *Tracker) *metrics {
	m := &metrics{registry: prometheus.NewRegistry()}
	vec := func(name, help string, labels ...string) *prometheus.CounterVec {
		v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "shoal_tracker_" + name, Help: help}, labels)
		m.registry.MustRegister(v)
		return v
	}
	announces := vec("announces_total", "Announces that were answered, refusals included.", "proto", "event")
	scrapes := vec("scrapes_total", "Scrapes that were answered, refusals included.", "proto")
	malformed := vec("malformed_total", "Requests that made no sense.", "proto")
	refused := vec("refused_total", "Announces and scrapes that were refused.", "proto", "reason")
	m.given = vec("peers_given_total", "Peers handed out.").WithLabelValues()
	m.connects = vec("udp_connects_total", "UDP clients that asked for a connection id.").WithLabelValues()
	m.dropped = vec("udp_dropped_total", "Datagrams without a good connection id, or not of the protocol.").WithLabelValues()
	for p := range protos {
		for e := range m.announces[p] {
			name := announce.Event(e).String()
			if name == "" {
				name = "none"
			}
			m.announces[p][e] = announces.WithLabelValues(p.String(), name)
		}
		m.scrapes[p] = scrapes.WithLabelValues(p.String())
		m.malformed[p] = malformed.WithLabelValues(p.String())
		for r, name := range [refusals]string{"rate", "swarm", "full", "stranger", "other"} {
			m.refused[p][r] = refused.WithLabelValues(p.String(), name)
		}
	}
	m.registry.MustRegister(newStoreCollector(t), collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4, Timeout: 10 * time.Second})
}

func (m *metrics) announced(p proto, e announce.Event, f *announce.Failure, given int) {
	m.total.Add(1)
	m.announces[p][min(e, announce.Paused)].Inc()
	if f != nil {
		m.refused[p][kindOf(f)].Inc()
		return
	}
	m.given.Add(float64(given))
}

func (m *metrics) scraped(p proto, f *announce.Failure) {
	m.scrapes[p].Inc()
	if f != nil {
		m.refused[p][kindOf(f)].Inc()
	}
}

// storeCollector counts what the store holds when it is asked.
type storeCollector struct {
	t                               *Tracker
	swarms, slots, peers, completed *prometheus.Desc
	moved, saved, saveTime          *prometheus.Desc
	flow, copies, source, lacking   *prometheus.Desc
	unreachable                     *prometheus.Desc
}

func newStoreCollector(t *Tracker) *storeCollector {
	d := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("shoal_tracker_"+name, help, labels, nil)
	}
	return &storeCollector{t: t,
		swarms:      d("swarms", "Swarms known."),
		slots:       d("peer_entries", "Entries of peers; one with both address families has two."),
		peers:       d("peers", "Peers, by what they want.", "kind"),
		completed:   d("completed", "Completed downloads, over all swarms known."),
		moved:       d("moved_bytes", "Bytes that peers reported to have moved, over all swarms known.", "direction"),
		flow:        d("flow_bytes", "Bytes that went from one data centre to another, as shoal peers report.", "swarm", "from", "to"),
		copies:      d("copies", "Copies of the content that came into a data centre from others.", "swarm", "datacenter"),
		source:      d("source_copies", "Copies of the content that sources have sent.", "swarm"),
		lacking:     d("lacking_hosts", "Hosts that lack something, by why they are not faster.", "swarm", "why"),
		unreachable: d("unreachable_peers", "Peers that the tracker could not connect to."),
		saved:       d("state_saved_timestamp_seconds", "When the state was saved last."),
		saveTime:    d("state_save_seconds", "How long the last save took."),
	}
}

// Describe is of prometheus.Collector.
func (c *storeCollector) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(c, ch) }

// Collect is of prometheus.Collector.
func (c *storeCollector) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	var seeds, partial, leeches int
	var completed, up, down float64
	for _, st := range c.t.store.All(0) {
		seeds, partial, leeches = seeds+st.Seeds, partial+st.Partial, leeches+st.Leeches
		completed += float64(st.Completed)
		up, down = up+float64(st.Up), down+float64(st.Down)
	}
	n := c.t.store.Totals()
	gauge(c.swarms, float64(n.Swarms))
	gauge(c.slots, float64(n.Peers))
	gauge(c.peers, float64(seeds), "seed")
	gauge(c.peers, float64(partial), "partial_seed")
	gauge(c.peers, float64(leeches), "leech")
	gauge(c.completed, completed)
	gauge(c.moved, up, "sent")
	gauge(c.moved, down, "received")
	c.collectLedgers(gauge)
	if c.t.reach != nil {
		gauge(c.unreachable, float64(c.t.reach.Count()))
	}
	if at, took := c.t.state.lastSave(); !at.IsZero() {
		gauge(c.saved, float64(at.UnixMilli())/1000)
		gauge(c.saveTime, took.Seconds())
	}
}

// Bounds of the ledger's figures: names of data centres are the peers' own where the tracker has no topology.
const (
	maxLedgers = 50
	maxFlows   = 100 // of one swarm
)

// collectLedgers tells the figures of the swarms that have moved most. They are by swarm: a hybrid release has two,
// and its peers tell the same bytes under both.
func (c *storeCollector) collectLedgers(gauge func(*prometheus.Desc, float64, ...string)) {
	all := c.t.book.All()
	moved := map[metainfo.InfoHash]float64{}
	for h, sums := range all {
		for _, f := range sums.Flows {
			moved[h] += float64(f.Bytes)
		}
	}
	hashes := slices.Collect(maps.Keys(all))
	slices.SortFunc(hashes, func(a, b metainfo.InfoHash) int { return cmp.Compare(moved[b], moved[a]) })
	for _, h := range hashes[:min(len(hashes), maxLedgers)] {
		sums, swarm := all[h], h.String()
		gauge(c.source, sums.Source, swarm)
		for _, s := range sums.Sites[:min(len(sums.Sites), maxFlows)] {
			gauge(c.copies, s.Copies, swarm, placed(s.Name))
		}
		for _, f := range sums.Flows[:min(len(sums.Flows), maxFlows)] {
			gauge(c.flow, float64(f.Bytes), swarm, placed(f.From), placed(f.To))
		}
		for why, n := range sums.Lack {
			gauge(c.lacking, float64(n), swarm, cmp.Or(string(why), "unknown"))
		}
	}
}
