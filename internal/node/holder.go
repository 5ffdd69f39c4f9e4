package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"shoal/internal/bt/metainfo"
	"shoal/internal/bt/storage"
	"shoal/internal/deploy/agent"
	"shoal/internal/deploy/release"

	"shoal"
)

// holder is the engine of a host that holds many releases: one process with one
// socket fetches those that are to come and serves those that are there. It is
// the agent's Fetcher. What it starts ends when the process does.
type holder struct {
	p       *process
	ctx     context.Context
	content ContentOptions
	work    sync.WaitGroup

	mu       sync.Mutex
	all      *gate              // of all apps
	gates    map[string]*gate   // by app
	fetching map[string]*fetch  // by app@version
	serving  map[string]*served // by release.ID
}

// served is a release that is served until it is not wanted any more.
type served struct {
	name string
	stop context.CancelFunc
}

// fetch is a release that comes in.
type fetch struct {
	*share
	still time.Time // since when nothing has come; zero while something does
}

// newHolder makes the engine of p. ctx has to end before wait is called.
func newHolder(ctx context.Context, p *process, content ContentOptions) *holder {
	return &holder{p: p, ctx: ctx, content: content, all: newGate(p.gate), gates: map[string]*gate{}, fetching: map[string]*fetch{}, serving: map[string]*served{}}
}

// wait waits for all that was started.
func (h *holder) wait() { h.work.Wait() }

// gate is that of an app, made if there is none. The caller holds mu.
func (h *holder) gate(app string) *gate {
	g := h.gates[app]
	if g == nil {
		g = newGate(h.all)
		h.gates[app] = g
	}
	return g
}

// Content implements agent.Fetcher.
func (h *holder) Content(app, version string) release.Content {
	return h.From(app, version, nil)
}

// From implements depot.Fetcher.
func (h *holder) From(app, version string, peers []string) release.Content {
	return &arrival{h, app, version, peers}
}

// Hold implements agent.Fetcher.
func (h *holder) Hold(apps []string, all bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, app := range apps {
		h.gate(app)
	}
	for app, g := range h.gates {
		g.pause(slices.Contains(apps, app))
	}
	h.all.pause(all)
}

// Seed implements agent.Fetcher.
func (h *holder) Seed(held []agent.Held) {
	h.mu.Lock()
	defer h.mu.Unlock()
	want := map[string]bool{}
	for _, r := range held {
		id := release.ID(r.Meta.Info)
		if want[id] {
			continue // the same content under another name: one swarm
		}
		want[id] = true
		if s := h.serving[id]; s != nil {
			if s.name == r.App+"@"+r.Version {
				continue
			}
			s.stop()
		}
		h.serve(id, r)
	}
	for id, s := range h.serving {
		if !want[id] {
			s.stop()
			delete(h.serving, id)
		}
	}
}

const (
	serveAgain = time.Second // doubled up to serveLast
	serveLast  = 5 * time.Minute
)

// serve serves one release until it is stopped. The caller holds mu.
func (h *holder) serve(id string, r agent.Held) {
	ctx, cancel := context.WithCancel(h.ctx)
	h.serving[id] = &served{r.App + "@" + r.Version, cancel}
	o := h.content
	o.Dir, o.As, o.ResumeDir, o.AllowOutsideLinks = r.At.Dir, r.At.Name, r.At.State, true
	gate := h.gate(r.App)
	h.work.Go(func() {
		defer cancel()
		for again := serveAgain; ; again = min(2*again, serveLast) {
			s := h.p.newShare(r.Meta, o)
			s.readOnly, s.stay, s.gate = true, true, gate
			s.log = s.log.With("app", r.App, "version", r.Version)
			err := s.run(ctx)
			if ctx.Err() != nil {
				return
			}
			s.log.Warn("not served", "err", err, "again_in", again)
			select {
			case <-time.After(again):
			case <-ctx.Done():
				return
			}
		}
	})
}

// Progress implements agent.Fetcher.
func (h *holder) Progress(app, version string) shoal.Work {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.fetching[app+"@"+version]
	if s == nil {
		return shoal.Work{}
	}
	st := s.status()
	w := shoal.Work{Done: st.Done, Total: st.Total, Peers: max(st.Peers, 0), Detail: st.State}
	if t := s.torrent.Load(); st.State == paused {
		w.Peers = 0
	} else if t != nil {
		w.Rate = int64(t.Stats().DownRate)
	}
	if refused := h.p.turnedAway(time.Now()); refused != "" {
		w.Detail += "; " + refused
	}
	if now := time.Now(); w.Rate > 0 || st.State == paused {
		s.still = time.Time{}
	} else if s.still.IsZero() {
		s.still = now
	}
	if cause := h.p.causeOf(s.share, st, w.Rate); cause == shoal.CauseNoSpace || s.still.IsZero() || time.Since(s.still) > stillLong {
		w.Cause = cause
	}
	if why := h.p.yielding.Load(); w.Cause == shoal.CauseBusy && why != nil {
		w.Detail = *why
	}
	return w
}

// stillLong is how long nothing may come before that needs a cause.
const stillLong = 3 * time.Second

// causeOf is what holds a fetch up, as far as the host can tell.
func (p *process) causeOf(s *share, st Status, rate int64) shoal.Cause {
	t := s.torrent.Load()
	switch {
	case st.State == paused || t == nil:
		return shoal.CauseNone // it is told what it is at
	case s.cramped.Load() || strings.HasPrefix(st.State, "paused: the disk"):
		return shoal.CauseNoSpace
	case st.Peers == 0:
		return shoal.CauseNoPeers
	case rate == 0:
		return shoal.CauseNoPiece
	}
	if why := p.yielding.Load(); why != nil && *why != "" {
		return shoal.CauseBusy
	}
	if p.limits.binds(rate) {
		return shoal.CauseLimit
	}
	return shoal.CauseNone
}

// arrival brings one release of an app in: release.Content's and the agent's.
type arrival struct {
	h            *holder
	app, version string
	peers        []string // host:port, beside those that trackers name
}

// Fetch implements release.Content.
func (a *arrival) Fetch(ctx context.Context, to release.Place, meta *metainfo.Metafile, pick func(file int) bool) error {
	o := a.h.content
	// What lies where nobody reads is ours to replace.
	o.Dir, o.As, o.ResumeDir, o.Overwrite = to.Dir, to.Name, to.State, true
	o.Peers = append(o.Peers[:len(o.Peers):len(o.Peers)], a.peers...)
	o.AllowOutsideLinks = o.AllowOutsideLinks || pick != nil // a repair: the release was accepted once
	s := a.h.p.newShare(meta, o)
	s.pick = pick
	s.log = s.log.With("app", a.app, "version", a.version)
	name := a.app + "@" + a.version
	a.h.mu.Lock()
	s.gate = a.h.gate(a.app)
	a.h.fetching[name] = &fetch{share: s}
	a.h.mu.Unlock()
	defer func() {
		a.h.mu.Lock()
		defer a.h.mu.Unlock()
		delete(a.h.fetching, name)
	}()
	err := s.run(ctx)
	if room := (*storage.SpaceError)(nil); errors.As(err, &room) {
		return &agent.RoomError{Need: room.Needed, Free: room.Free, Dir: room.Dir}
	}
	if errors.Is(err, storage.ErrNoSpace) {
		return fmt.Errorf("%w: %w", agent.ErrNoSpace, err)
	}
	return err
}

// Verify implements release.Content.
func (a *arrival) Verify(ctx context.Context, at release.Place, meta *metainfo.Metafile) ([]release.Problem, error) {
	r := &Releases{ReleaseOptions: ReleaseOptions{Options: a.h.p.Options, Content: a.h.content}}
	return r.Verify(ctx, at, meta)
}
