package node

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"shoal/internal/bt/announce"
	"shoal/internal/bt/limit"
	"shoal/internal/bt/rate"
)

// From these on a resource is what a host waits for; see docs/limits.md,
// "Yielding", where they are called busy.
const (
	slowIO  = 0.3
	slowCPU = 0.5
	still   = 1 << 10 // bytes a second below which nothing moves
)

// facts are what a host knows of why it is not faster.
type facts struct {
	complete bool
	peers    int
	rate     float64 // of what comes in, in bytes a second
	limited  bool    // one of the limits makes senders wait
	full     bool    // the disk is
	io, cpu  float64 // share of time in which tasks waited for it
}

// why names what holds a host back, the surest sign first.
func (f facts) why() announce.Slow {
	switch {
	case f.complete:
		return ""
	case f.full:
		return announce.SlowDisk
	case f.peers == 0:
		return announce.SlowUnreachable
	case f.limited:
		return announce.SlowLimit
	case f.io >= slowIO:
		return announce.SlowDisk
	case f.cpu >= slowCPU:
		return announce.SlowCPU
	case f.rate < still:
		return announce.SlowNobody
	}
	return ""
}

// waits watches what a torrent waits for, between two announces.
type waits struct {
	torrent *rate.Bucket // limit of what it receives

	mu   sync.Mutex
	host watcher
}

// look returns the shares of time since the last look, 0 where nothing is known.
func (w *waits) look(now time.Time) (io, cpu float64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.host.look(now)
	return s.IO, s.CPU
}

// short tells whether a limit of what comes in makes senders wait.
func (l *limits) short() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for n, e := range l.table {
		if n.Direction == limit.Down && e.bucket.Short() {
			return true
		}
	}
	return false
}

// ledger is what trackers of shoal are told.
func (m *member) ledger() announce.Ledger {
	now := time.Now()
	m.p.account(now)
	v := m.engine.Stats()
	l := announce.Ledger{DC: m.p.places.Own().Datacenter, Size: m.meta.Info.ContentLength()}
	for dc, t := range m.p.ledger.of(m.share) {
		l.Moved = append(l.Moved, announce.Moved{DC: dc, Up: t.Up, Down: t.Down})
	}
	io, cpu := m.waits.look(now)
	l.Slow = facts{
		complete: v.Left == 0, peers: v.Peers, rate: v.DownRate, full: strings.HasPrefix(v.State, "paused"), io: io, cpu: cpu,
		limited: m.waits.torrent.Short() || m.p.limits.short(),
	}.why()
	return l
}

// Moved is what a torrent has moved to and from one data centre, in bytes.
type Moved struct {
	Datacenter     string // "" for unknown
	Sent, Received int64
	Own            bool // it is this host's
}

// moved lists what a torrent has moved, the most received first.
func (s *share) moved() []Moved {
	s.p.account(time.Now())
	by, own := s.p.ledger.of(s), s.p.places.Own()
	var out []Moved
	for _, dc := range slices.Sorted(maps.Keys(by)) {
		out = append(out, Moved{dc, by[dc].Up, by[dc].Down, own.Known() && dc == own.Datacenter})
	}
	slices.SortStableFunc(out, func(a, b Moved) int { return cmp.Compare(b.Received, a.Received) })
	return out
}
