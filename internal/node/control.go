package node

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"os"
	"slices"

	"shoal/internal/bt/limit"
	"shoal/internal/bt/peertls"
	"shoal/internal/front/control"
)

// ErrStopped is why a process ends that was told to by its control socket.
var ErrStopped = errors.New("stopped by shoal ctl")

// controlled is a process as its control socket sees it.
type controlled struct {
	*process
	stop context.CancelCauseFunc
}

// control serves the socket until ctx ends.
func (p *process) control(ctx context.Context, stop context.CancelCauseFunc) error {
	if p.Control == "" {
		return nil
	}
	s, err := control.Listen(p.Control, controlled{p, stop})
	if err != nil {
		if p.ControlOptional {
			p.Log.Debug("no control socket", "err", err)
			return nil
		}
		return err
	}
	return s.Run(ctx, p.Control)
}

// Stop implements control.Target.
func (c controlled) Stop() { c.stop(ErrStopped) }

// Pause implements control.Target.
func (c controlled) Pause(paused bool) {
	c.gate.pause(paused)
	c.Log.Info("told by shoal ctl", "paused", paused)
}

// SetLimits implements control.Target.
func (c controlled) SetLimits(changes []limit.Change) error {
	if err := c.limits.change(changes); err != nil {
		return err
	}
	for _, ch := range changes {
		c.Log.Info("told by shoal ctl", "limit", ch.Name.String(), "to", ch.Limit.String())
	}
	return nil
}

// Stats implements control.Target.
func (c controlled) Stats() control.Stats {
	st := control.Stats{
		Pid: os.Getpid(), Listen: c.in.addrPort().String(), Place: c.places.Own().String(), Paused: c.gate.isPaused(),
		Torrents: []control.Torrent{}, Limits: c.limits.describe(), Traffic: []control.Traffic{}, Links: []control.Link{},
	}
	st.TLS = c.Secure != nil
	if guard, ok := c.Secure.(*peertls.Guard); ok {
		for _, n := range guard.Refused() {
			st.Refused = append(st.Refused, control.Refused{Reason: string(n.Kind), Count: n.N, Last: n.At, Error: n.Last.Error(), Hint: n.Last.Hint()})
		}
	}
	if why := c.yielding.Load(); why != nil {
		st.Yielding = *why
	}
	c.shares.Range(func(key, _ any) bool {
		st.Torrents = append(st.Torrents, key.(*share).describe())
		return true
	})
	slices.SortFunc(st.Torrents, func(a, b control.Torrent) int { return cmp.Compare(a.Name, b.Name) })
	byPlace, byLink := c.ledger.figures()
	for _, dc := range slices.Sorted(maps.Keys(byPlace)) {
		t := byPlace[dc]
		st.Traffic = append(st.Traffic, control.Traffic{Datacenter: cmp.Or(dc, "unknown"), Sent: t.Up, Received: t.Down})
	}
	for _, name := range slices.Sorted(maps.Keys(byLink)) {
		u := byLink[name]
		st.Links = append(st.Links, control.Link{Name: name, Since: u.Since, Sent: u.Use.Up, Received: u.Use.Down, Budget: u.budget.String()})
	}
	return st
}

// describe is the share's line in the stats.
func (s *share) describe() control.Torrent {
	st := s.status()
	d := control.Torrent{Name: s.name(), InfoHash: s.infoHash(), State: st.State, Done: st.Done, Total: st.Total,
		Peers: max(st.Peers, 0), Sent: st.Uploaded, Received: st.Downloaded}
	if t := s.torrent.Load(); t != nil && st.State != paused {
		v := t.Stats()
		d.SendRate, d.RecvRate = v.UpRate, v.DownRate
	}
	return d
}

// describe lists all limits by name, those that are unlimited only if they have
// a flag of their own.
func (l *limits) describe() []control.Limit {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := []control.Limit{}
	for n, e := range l.table {
		if n.Class != limit.Link || e.Limited() {
			out = append(out, control.Limit{Name: n.String(), Limit: e.Limit.String(), Now: e.now})
		}
	}
	slices.SortFunc(out, func(a, b control.Limit) int { return cmp.Compare(a.Name, b.Name) })
	return out
}
