package controller

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"sync"
	"time"

	"shoal"
	"shoal/internal/deploy/fleetstore"
)

// hostRecord is a host as it is stored: with what rollouts decide on, and
// without what changes all the time.
type hostRecord struct {
	shoal.Host
	Session  uint64 `json:"session"`
	Software string `json:"software,omitempty"`
	Instance string `json:"instance,omitempty"`
}

// roster is the hosts: what is stored of them, and what was heard since.
type roster struct {
	table *table[hostRecord]

	mu    sync.Mutex
	heard map[string]heard
	dirty map[string]bool // what was heard has to be stored
	other time.Time       // when another server told whom it has heard
	// early are hosts whose record says that they were heard in the future, as a
	// server with a clock that is ahead writes it, and when that came here.
	early  map[string]time.Time
	begun  map[string]session // the newest of each host, as it came here
	rivals map[string]rival   // agents that took the name of a host that is there
	news   chan struct{}
}

// session is that of an agent.
type session struct {
	n  uint64
	at time.Time
}

// heard is the newest that is known of a host.
type heard struct {
	report shoal.Report // to this server; the zero value if none was
	skew   time.Duration
	work   map[string]*shoal.Work // by app, as another server tells
	at     time.Time              // by this server's clock
	told   bool                   // to the other servers
	silent bool                   // it has only asked for orders since it was told
}

// rival is an agent that was not let in, because its name is taken; or that
// speaks in a session which another one has ended, as where a disk was copied with
// the agent's own state.
type rival struct {
	from string
	at   time.Time
	what string
	n    int // times in a row
}

const (
	// rivalFor is how long a rival is told of: agents that have nothing to say
	// report every five minutes.
	rivalFor = 10 * time.Minute
	// lateFor is how long a report may be on its way, of an agent that has begun a
	// session anew meanwhile.
	lateFor = 45 * time.Second
	// lateTimes is how often that may be so before it is more than chance.
	lateTimes = 3
)

func newRoster(store fleetstore.Store, log *slog.Logger) *roster {
	return &roster{
		table: newTable[hostRecord](store, fleetstore.Hosts, log), heard: map[string]heard{}, dirty: map[string]bool{},
		early: map[string]time.Time{}, begun: map[string]session{}, rivals: map[string]rival{},
		news: make(chan struct{}, 1),
	}
}

func (r *roster) watch(ctx context.Context, caught func(), news func(string)) error {
	return r.table.watch(ctx, caught, news)
}

// merge puts what was heard into what is stored.
func (r *roster) merge(rec hostRecord) shoal.Host {
	h := rec.Host
	if at, ok := r.early[h.Name]; ok && h.Seen.After(at) {
		h.Seen = at
	}
	last, ok := r.heard[h.Name]
	switch {
	case !ok:
		return h
	case last.report.Session > 0 && !h.Report.After(last.report): // what is stored lacks the work
		h.Report, h.Skew = last.report, last.skew
	case last.work != nil:
		h.Report.Apps = slices.Clone(h.Report.Apps)
		for i := range h.Report.Apps {
			a := &h.Report.Apps[i]
			a.Work = last.work[a.App]
		}
	}
	if last.at.After(h.Seen) {
		h.Seen = last.at
	}
	return h
}

// changed is called when the record of a host has come, or is gone: what was heard
// of one that is gone is forgotten, for if it comes back, its sessions count from
// the beginning.
func (r *roster) changed(name string, now time.Time) {
	rec, _, ok := r.table.get(name)
	r.mu.Lock()
	defer r.mu.Unlock()
	if ok && rec.Seen.After(now) {
		r.early[name] = now
	} else {
		delete(r.early, name)
	}
	if !ok {
		delete(r.heard, name)
		delete(r.dirty, name)
		delete(r.rivals, name)
		delete(r.begun, name)
	} else if rec.Session != r.begun[name].n {
		r.begun[name] = session{rec.Session, now}
	}
}

// turnAway notes that another agent wanted to be a host that is there.
func (r *roster) turnAway(name, from string, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rivals[name] = rival{from, now, "is turned away", lateTimes}
}

// outdated notes a report of a session that is over, and that it may be from a rival.
func (r *roster) outdated(name, from string, newest uint64, now time.Time) error {
	by := rival{from, now, "took its place", 1}
	if was, ok := r.rivals[name]; ok && now.Sub(was.at) <= rivalFor {
		by.n += was.n
	}
	switch b := r.begun[name]; {
	case b.n != newest: // the news of it is on its way
		r.begun[name] = session{newest, now}
	case now.Sub(b.at) > lateFor:
		by.n = lateTimes
	}
	r.rivals[name] = by
	return fmt.Errorf("%w: a newer session of %s has begun: if that was not this agent, another one runs with a copy of its identity", shoal.ErrConflict, name)
}

func (r *roster) one(name string) (shoal.Host, bool) {
	rec, _, ok := r.table.get(name)
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.merge(rec), ok
}

// all are the hosts by name.
func (r *roster) all() []shoal.Host {
	records := r.table.all()
	hosts := make([]shoal.Host, len(records))
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, rec := range records {
		hosts[i] = r.merge(rec)
	}
	return hosts
}

// hear takes a report to this server in, and tells whether it has news that
// rollouts may go on by.
func (r *roster) hear(report shoal.Report, from string, now time.Time) (news bool, err error) {
	rec, _, ok := r.table.get(report.Host)
	if !ok {
		return false, fmt.Errorf("host %s: %w: it has to say hello first", report.Host, shoal.ErrNotFound)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if report.Session < rec.Session {
		return false, r.outdated(report.Host, from, rec.Session, now)
	}
	was := r.merge(rec)
	h := was
	if !h.Hear(report, now) {
		return false, nil
	}
	r.heard[report.Host] = heard{report: report, skew: h.Skew, at: now}
	if decisive(report, rec.Report) || (h.Skew == 0) != (rec.Skew == 0) {
		r.dirty[report.Host] = true
		poke(r.news)
	}
	return decisive(report, was.Report) || !was.Online(now), nil
}

// seen notes that a host has asked for its orders, and tells whether that is news.
func (r *roster) seen(rec hostRecord, now time.Time) (news bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	was, ok := r.heard[rec.Name]
	news = !r.merge(rec).Online(now)
	was.silent = !ok || was.told || was.silent
	was.at, was.told = now, false
	r.heard[rec.Name] = was
	return news
}

// decisive tells that two reports differ in what rollouts decide on. Free disk
// counts when it has changed by a sixteenth.
func decisive(a, b shoal.Report) bool {
	if d := a.Free - b.Free; max(d, -d) > b.Free/16 {
		return true
	}
	return !reflect.DeepEqual(settled(a.Apps), settled(b.Apps))
}

// settled is a report without the work that is under way.
func settled(apps []shoal.AppReport) []shoal.AppReport {
	out := make([]shoal.AppReport, 0, len(apps))
	for _, a := range apps {
		a.Work = nil
		if len(a.Staged) == 0 {
			a.Staged = nil
		}
		out = append(out, a)
	}
	slices.SortFunc(out, func(a, b shoal.AppReport) int { return cmp.Compare(a.App, b.App) })
	return out
}

// keepHosts stores what has changed of hosts.
func (c *Controller) keepHosts(ctx context.Context) {
	const writers = 8
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.hosts.news:
		}
		queue := make(chan string)
		var group sync.WaitGroup
		for range writers {
			group.Go(func() {
				for name := range queue {
					if err := c.hosts.keep(ctx, name); err != nil && ctx.Err() == nil {
						c.log.Warn("controller: a report is not stored yet", "host", name, "err", err)
						pause(ctx, time.Second)
						c.hosts.again(name)
					}
				}
			})
		}
		names := c.hosts.takeDirty()
		for _, name := range names {
			queue <- name
		}
		close(queue)
		group.Wait()
		// While a whole fleet reports, each host does so several times in a row: what
		// is stored a little later is stored less often, and answering goes first.
		if !pause(ctx, min(time.Duration(len(names))*storeGap, storeMost)) {
			return
		}
	}
}

const (
	storeGap  = 100 * time.Microsecond // a host that was stored, before the next ones are
	storeMost = time.Second
)

func (r *roster) takeDirty() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	names := make([]string, 0, len(r.dirty))
	for name := range r.dirty {
		names = append(names, name)
	}
	clear(r.dirty)
	return names
}

func (r *roster) again(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.dirty[name] = true
	poke(r.news)
}

// keep stores the newest report of a host.
func (r *roster) keep(ctx context.Context, name string) error {
	_, err := r.table.edit(ctx, name, func(rec hostRecord, ok bool) (hostRecord, error) {
		r.mu.Lock()
		defer r.mu.Unlock()
		h := r.merge(rec)
		if !ok || !h.Report.After(rec.Report) {
			return rec, errNothing
		}
		h.Report.Apps = settled(h.Report.Apps)
		rec.Host = h
		return rec, nil
	})
	if errors.Is(err, errNothing) {
		return nil
	}
	return err
}

// errNothing ends an edit that has nothing to change.
var errNothing = errors.New("nothing to change")
