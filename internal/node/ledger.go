package node

import (
	"fmt"
	"maps"
	"sync"
	"time"

	"shoal/internal/bt/limit"
	"shoal/internal/bt/swarm"
	"shoal/internal/quantity"
	"shoal/internal/topology"
)

// BudgetError says that a link's budget is passed. Nothing stops because of it.
type BudgetError struct {
	Link topology.Link
	Use  limit.Use // of this process alone
}

func (e *BudgetError) Error() string {
	return fmt.Sprintf("link %s has passed its budget of %s: this process alone has sent %s and received %s since %s",
		e.Link.Name, e.Link.Budget, quantity.FormatBytes(e.Use.Up), quantity.FormatBytes(e.Use.Down), e.Use.Since.Format(time.DateOnly))
}

// ledger sums up what a process has moved, by data centre and by link.
type ledger struct {
	places *places
	turn   sync.Mutex // one account at a time: figures must not go back

	mu    sync.Mutex
	seen  map[*share]seen                     // what of each torrent's engine is in the sums
	each  map[*share]map[string]swarm.Traffic // by data centre, since the torrent began
	sums  map[string]swarm.Traffic            // by data centre
	links map[string]*linkUse                 // by name
}

// seen is how far the figures of an engine are in the sums.
type seen struct {
	engine *swarm.Torrent
	by     map[string]swarm.Traffic
}

// linkUse is what went over one link in the current period of its budget.
type linkUse struct {
	limit.Use
	budget topology.Budget
}

func newLedger(where *places) *ledger {
	return &ledger{places: where, seen: map[*share]seen{}, each: map[*share]map[string]swarm.Traffic{}, sums: map[string]swarm.Traffic{}, links: map[string]*linkUse{}}
}

// enter adds what the engine of a torrent has moved by now, by data centre, and
// returns the links whose budgets are passed by it. Each engine counts from zero.
func (l *ledger) enter(s *share, engine *swarm.Torrent, by map[string]swarm.Traffic, now time.Time) (passed []*BudgetError) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var before map[string]swarm.Traffic
	if old := l.seen[s]; old.engine == engine {
		before = old.by
	}
	for dc, t := range by {
		d := swarm.Traffic{Up: t.Up - before[dc].Up, Down: t.Down - before[dc].Down}
		if d == (swarm.Traffic{}) {
			continue
		}
		sum := l.sums[dc]
		l.sums[dc] = swarm.Traffic{Up: sum.Up + d.Up, Down: sum.Down + d.Down}
		l.enterEach(s, dc, d)
		if err := l.cross(dc, d, now); err != nil {
			passed = append(passed, err)
		}
	}
	l.seen[s] = seen{engine, by}
	return passed
}

// enterEach adds to the sums of one torrent. The caller holds mu.
func (l *ledger) enterEach(s *share, dc string, d swarm.Traffic) {
	if l.each[s] == nil {
		l.each[s] = map[string]swarm.Traffic{}
	}
	sum := l.each[s][dc]
	l.each[s][dc] = swarm.Traffic{Up: sum.Up + d.Up, Down: sum.Down + d.Down}
}

// of is what one torrent has moved, by data centre.
func (l *ledger) of(s *share) map[string]swarm.Traffic {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.each[s])
}

// cross counts bytes over the link to a data centre. The caller holds mu.
func (l *ledger) cross(dc string, d swarm.Traffic, now time.Time) *BudgetError {
	own := l.places.Own()
	link, ok := l.places.file.Link(own.Datacenter, dc)
	if !ok || !own.Known() || dc == "" {
		return nil
	}
	use := l.links[link.Name]
	if use == nil {
		use = &linkUse{budget: link.Budget}
		l.links[link.Name] = use
	}
	if use.Add(link.Budget, d.Up, d.Down, now) {
		return &BudgetError{link, use.Use}
	}
	return nil
}

// leave forgets a torrent; what it has moved stays in the sums.
func (l *ledger) leave(s *share) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.seen, s)
	delete(l.each, s)
}

// total is all that was moved.
func (l *ledger) total() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	var n int64
	for _, t := range l.sums {
		n += t.Up + t.Down
	}
	return n
}

// figures are the sums by data centre and by link.
func (l *ledger) figures() (byDatacenter map[string]swarm.Traffic, byLink map[string]linkUse) {
	l.mu.Lock()
	defer l.mu.Unlock()
	byLink = map[string]linkUse{}
	for name, u := range l.links {
		byLink[name] = *u
	}
	return maps.Clone(l.sums), byLink
}

// account brings the sums of a process up to date. It returns all that was moved
// and how many hosts share what comes over the links of this data centre.
func (p *process) account(now time.Time) (moved int64, hosts int) {
	p.ledger.turn.Lock()
	defer p.ledger.turn.Unlock()
	p.shares.Range(func(key, _ any) bool {
		s := key.(*share)
		t := s.torrent.Load()
		if t == nil {
			return true
		}
		v := t.Stats()
		hosts = max(hosts, v.Near)
		for _, err := range p.ledger.enter(s, t.Torrent, v.Traffic, now) {
			p.Log.Warn("over budget", "link", err.Link.Name, "err", err)
			p.Report(Event{Kind: Budget, Name: s.name(), InfoHash: s.infoHash(), Err: err, share: s})
		}
		return true
	})
	return p.ledger.total(), hosts
}

// leave forgets a torrent that has ended.
func (p *process) leave(s *share) {
	p.account(time.Now())
	p.shares.Delete(s)
	p.ledger.leave(s)
}
