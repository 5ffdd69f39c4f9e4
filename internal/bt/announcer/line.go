package announcer

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"shoal/internal/bt/announce"
	"shoal/internal/bt/metainfo"
)

// line keeps one swarm announced. Its goroutine alone does the announcing; mu
// guards what Status, Hurry and Completed look at and change from outside.
type line struct {
	o     *Options
	swarm metainfo.InfoHash
	net   *client
	log   *slog.Logger
	poke  chan struct{} // the rota changed: look again

	mu        sync.Mutex
	rota      *rota
	completed bool
}

func newLine(o *Options, swarm metainfo.InfoHash, r *rota, c *client) *line {
	return &line{o: o, swarm: swarm, net: c, rota: r, poke: make(chan struct{}, 1), log: o.Log.With("swarm", swarm)}
}

// run announces until ctx ends, then says goodbye.
func (l *line) run(ctx context.Context) {
	for l.sleep(ctx) {
		l.turn(ctx)
	}
	l.goodbye(context.WithoutCancel(ctx))
}

// sleep waits for the next thing to do; false when ctx has ended.
func (l *line) sleep(ctx context.Context) bool {
	l.mu.Lock()
	at, ok := l.rota.wake()
	l.mu.Unlock()
	timer := time.NewTimer(wait(at, ok, time.Now()))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-l.poke:
	case <-timer.C:
	}
	return ctx.Err() == nil
}

func (l *line) wakeUp() {
	select {
	case l.poke <- struct{}{}:
	default:
	}
}

func (l *line) hurry() {
	l.mu.Lock()
	l.rota.hurry(time.Now())
	l.mu.Unlock()
	l.wakeUp()
}

func (l *line) complete() {
	l.mu.Lock()
	l.completed = true
	l.rota.complete(time.Now())
	l.mu.Unlock()
	l.wakeUp()
}

// turn asks the tracker that is due, if any.
func (l *line) turn(ctx context.Context) {
	req := l.request()
	l.mu.Lock()
	t := l.rota.due(time.Now())
	if t == nil {
		l.mu.Unlock()
		return
	}
	target, attempt := t.target, t.fails
	l.address(&req, t)
	l.mu.Unlock()

	limited, cancel := context.WithTimeout(ctx, patience(attempt))
	peers := 0
	resp, err := l.net.announce(limited, &target, req, attempt, func(a announce.Response) {
		if l.o.Site != nil && a.Site.Epoch > 0 {
			l.o.Site(l.swarm, &a)
		}
		if found := a.Peers(); len(found) > 0 {
			peers += len(found)
			l.o.Found(l.swarm, found)
		}
	})
	cancel()

	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case err == nil:
		l.succeeded(t, req, resp, peers)
	case ctx.Err() != nil:
		t.greeted = true // it may have heard us, so it shall hear the goodbye
	default:
		l.failed(t, err)
	}
}

// request makes an announce. It is called without mu, because Stats and Partial
// may wait for someone who is in Hurry.
func (l *line) request() announce.Request {
	r := announce.Request{
		InfoHash: l.swarm, PeerID: l.o.PeerID, Stats: l.o.Stats(), Port: l.o.Port,
		Key: l.o.Key, HasKey: true, NumWant: l.o.NumWant,
		Shoal: l.o.Site != nil,
	}
	for _, claim := range l.o.Claims {
		if r.Port = claim.Port(); claim.Addr().Is4() {
			r.V4 = claim
		} else {
			r.V6 = claim
		}
		r.IP = claim.Addr()
	}
	if l.o.Homes != nil && r.Shoal {
		if told := l.o.Homes(); len(told.Addresses) > 0 {
			r.Homes = &told
		}
	}
	if r.NumWant <= 0 {
		r.NumWant = -1
	}
	if l.o.Ledger != nil {
		told := l.o.Ledger()
		r.Ledger = &told
	}
	if l.o.Partial != nil && l.o.Partial() {
		r.Event = announce.Paused
	}
	return r
}

// address fills in what depends on the tracker. mu is held.
func (l *line) address(r *announce.Request, t *tracker) {
	r.TrackerID = t.id
	r.Shoal = r.Shoal && l.rota.leads(t)   // each of several would name other members of our data centre
	if !r.Shoal || t.greeted && !t.shoal { // a stranger need not know our networks
		r.Homes = nil
	}
	if !t.shoal {
		r.Ledger = nil
	}
	switch {
	case !t.greeted:
		r.Event = announce.Started
	case l.completed && !t.completed:
		r.Event = announce.Completed
	}
}

// succeeded notes an answer. mu is held.
func (l *line) succeeded(t *tracker, req announce.Request, resp announce.Response, peers int) {
	if !t.working {
		l.log.Info("tracker works", "tracker", t.url, "peers", peers, "seeds", resp.Seeds, "leeches", resp.Leeches)
	}
	if resp.Warning != "" && resp.Warning != t.last.Warning {
		l.log.Warn("tracker warns", "tracker", t.url, "warning", resp.Warning)
	}
	now := time.Now()
	l.rota.succeed(t, resp, now, rand.Float64())
	t.greeted, t.peers = true, peers
	if req.Event == announce.Completed {
		t.completed = true
	}
	if l.completed && !t.completed {
		l.rota.complete(now) // it completed before this tracker knew us
	}
}

// failed notes a failure; the first of a row is worth a line in the log. mu is held.
func (l *line) failed(t *tracker, err error) {
	level := slog.LevelDebug
	if t.fails == 0 {
		level = slog.LevelWarn
	}
	l.rota.fail(t, err, time.Now(), rand.Float64())
	l.log.Log(context.Background(), level, "tracker failed", "tracker", t.url, "err", err,
		"fails", t.fails, "next", time.Until(t.next).Round(time.Second), "never", t.never)
}

// goodbye tells every tracker that knows us that we leave, all at once. Who
// leaves at the moment of completion, as a get does, says that it has completed
// first: trackers count by that event (BEP 3).
func (l *line) goodbye(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, stopTime)
	defer cancel()
	var wg sync.WaitGroup
	req := l.request()
	req.NumWant = 0
	l.mu.Lock()
	completed := l.completed
	l.mu.Unlock()
	for t := range l.rota.all { // only this goroutine changes what is read here
		if !t.greeted {
			continue
		}
		events := []announce.Event{announce.Stopped}
		if completed && !t.completed && t.working {
			events = []announce.Event{announce.Completed, announce.Stopped}
		}
		wg.Go(func() {
			for _, event := range events {
				req := req
				req.Event, req.TrackerID = event, t.id
				if !t.shoal {
					req.Ledger = nil
				}
				_, err := l.net.announce(ctx, &t.target, req, 0, func(announce.Response) {})
				if err != nil && !errors.Is(err, context.DeadlineExceeded) {
					l.log.Debug("tracker did not hear the goodbye", "tracker", t.url, "err", err)
				}
			}
		})
	}
	wg.Wait()
}

// status is how the trackers of the line stand.
func (l *line) status() []TrackerStatus {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []TrackerStatus
	for t := range l.rota.all {
		s := TrackerStatus{
			URL: t.url, Swarm: l.swarm, Tier: t.tier, Working: t.working,
			Warning: t.last.Warning, Peers: t.peers, Seeds: t.last.Seeds, Leeches: t.last.Leeches,
			External: t.last.ExternalIP, Last: t.answered, Next: t.next,
		}
		if t.err != nil {
			s.Err = t.err.Error()
		}
		if t.never {
			s.Next = time.Time{}
		}
		out = append(out, s)
	}
	return out
}
