package swarm

import (
	"time"

	"shoal/internal/bt/metainfo"
)

// pace is how long pieces take from another site, which tells one that is lost from
// one that is slow: on a full link all are slow, and what is asked for twice
// then makes it fuller.
type pace struct {
	took     time.Duration // smoothed; 0: none has come
	failures int           // less those that came since
}

func (p *pace) came(took time.Duration) {
	if p.took == 0 {
		p.took = took
	}
	p.took += (took - p.took) / 8
	p.failures = max(0, p.failures-1)
}

func (p *pace) failed(after time.Duration) {
	p.took = max(p.took, after)
	p.failures++
}

// patience is how long a piece may stand still; last tells that nothing else is
// left to fetch, so that everybody waits for it.
func (p *pace) patience(last bool) time.Duration {
	d := max(leastStall, 3*p.took)
	if last && p.took > 0 {
		d = max(lastStall, 2*p.took)
	}
	return min(d<<min(p.failures, 4), mostStall)
}

// recall takes a piece that we import back from peers that send nothing of it,
// or hardly anything, for much longer than pieces take: what crosses the WAN is
// asked for once, and whoever has the next turn for us is asked for the rest. A
// connection that has met much loss may crawl long after the link is free.
func (s *state) recall(piece metainfo.Piece, a *active) {
	from := a.comesFrom()
	if from == nil {
		return
	}
	patience := from.pace.patience(s.pick.Len() == 0)
	crawls := from.pace.took > 0 && s.now.Sub(a.since) > 2*patience
	for _, p := range a.by {
		if !crawls && s.now.Sub(time.Unix(0, p.link.fetch.progress.Load())) < patience {
			return
		}
	}
	for _, p := range a.by {
		s.cancelJob(p, a.part)
		s.asks(p, -1)
		p.holdUntil = s.now.Add(stalledAfter)
	}
	s.o.Log.Debug("a piece does not come over the WAN: asking elsewhere", "piece", piece, "peer", a.by[0].link.addr, "after", patience)
	a.by = nil
	if crawls { // which says nothing of the link
		from.pace.failed(0)
	} else {
		from.pace.failed(s.now.Sub(a.since))
	}
	s.orphaned(piece, a)
}
