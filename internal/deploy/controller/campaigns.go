package controller

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"shoal"
	"shoal/internal/deploy/fleetstore"
	"shoal/internal/deploy/plan"
	"shoal/internal/deploy/rollout"
	"shoal/internal/topology"
)

// Plan says what Push would do.
func (c *Controller) Plan(ctx context.Context, r shoal.Rollout) (shoal.Plan, error) {
	if err := c.enter(ctx, shoal.ToPush, r.App, ""); err != nil {
		return shoal.Plan{}, err
	}
	r, err := c.fill(ctx, r, time.Now())
	if err != nil {
		return shoal.Plan{}, err
	}
	return c.plan(ctx, r, time.Now())
}

// fill completes a wish with what the server knows, and checks it.
func (c *Controller) fill(ctx context.Context, r shoal.Rollout, now time.Time) (shoal.Rollout, error) {
	r.By, r.Created, r.ID = shoal.PrincipalOf(ctx).Name, now, c.lastRollout()+1
	if earliest := now.Add(c.o.Lead); c.o.Lead > 0 && r.StartAt.IsZero() {
		r.StartAt = earliest
	}
	if err := r.Check(); err != nil {
		return r, invalid(err)
	}
	return r, nil
}

func (c *Controller) lastRollout() uint64 {
	all := c.rollouts.all()
	if len(all) == 0 {
		return 0
	}
	return all[len(all)-1].State.Rollout.ID // keys sort by number
}

func (c *Controller) plan(ctx context.Context, r shoal.Rollout, now time.Time) (shoal.Plan, error) {
	release, _, ok := c.releases.get(r.Name())
	if !ok {
		return shoal.Plan{}, fmt.Errorf("release %s: %w: register it first (shoal push does)", r.Name(), shoal.ErrNotFound)
	}
	in := plan.Input{
		Release: release.Release, Rollout: r, Hosts: c.hosts.all(), Source: c.source(), SourceUp: c.o.SourceUp, Reserve: c.o.Reserve,
	}
	sites := []string{}
	for i := range in.Hosts {
		if dc := in.Hosts[i].Datacenter; r.To.Matches(in.Hosts[i]) && !slices.Contains(sites, dc) {
			sites = append(sites, dc)
		}
	}
	for _, from := range append(slices.Clone(sites), c.source()) {
		for _, to := range sites {
			if l, ok := c.o.Topology.Link(from, to); ok {
				rate := l.Limit.At(now)
				if rate == 0 || l.Capacity > 0 && l.Capacity < rate {
					rate = l.Capacity
				}
				in.Links = append(in.Links, plan.Link{From: from, To: to, Rate: rate})
			}
		}
	}
	return c.o.Estimate(ctx, in, now), nil
}

// source is the data centre that new releases come from.
func (c *Controller) source() string { return cmp.Or(c.o.Source, topology.Unknown) }

// Push starts a rollout.
func (c *Controller) Push(ctx context.Context, r shoal.Rollout) (shoal.Progress, error) {
	if err := c.enter(ctx, shoal.ToPush, r.App, ""); err != nil {
		return shoal.Progress{}, err
	}
	now := time.Now()
	r, err := c.fill(ctx, r, now)
	if err != nil {
		return shoal.Progress{}, err
	}
	p, err := c.plan(ctx, r, now)
	if err != nil {
		return shoal.Progress{}, err
	}
	if p.Refused != "" {
		return shoal.Progress{}, fmt.Errorf("%w: %s must not begin: %s", shoal.ErrConflict, r.Name(), p.Refused)
	}
	open := 0
	for _, other := range c.rollouts.all() {
		if !other.stands() {
			open++
		}
	}
	if open >= maxOpen {
		return shoal.Progress{}, fmt.Errorf("%w: %d rollouts are under way, and there may be no more: abort some", shoal.ErrConflict, open)
	}
	if err := c.record(ctx, shoal.AuditEntry{Do: "push", What: r.Name(), Text: fmt.Sprintf("to %s, waves %s", r.To, r.Waves)}); err != nil {
		return shoal.Progress{}, err
	}
	for {
		record := rolloutRecord{State: rollout.New(r), Plan: p}
		_, err := c.rollouts.put(ctx, rolloutKey(r.ID), record, 0)
		if err == nil {
			poke(c.asked)
			return c.progress(record, c.view(c.states(), now), now, true), nil
		}
		if !errors.Is(err, fleetstore.ErrStale) || ctx.Err() != nil {
			return shoal.Progress{}, err
		}
		r.ID++ // somebody else pushed at the same moment, and has the number
	}
}

// Rollouts are those that somebody may see, the newest first.
func (c *Controller) Rollouts(ctx context.Context, q shoal.RolloutQuery) ([]shoal.Progress, error) {
	if err := c.enter(ctx, shoal.ToLook, q.App, ""); err != nil {
		return nil, err
	}
	now, p := time.Now(), shoal.PrincipalOf(ctx)
	view := c.view(c.states(), now)
	var out []shoal.Progress
	for _, record := range slices.Backward(c.rollouts.all()) {
		app := record.State.Rollout.App
		if q.App != "" && q.App != app || !q.Over && record.stands() || shoal.Allowed(p, shoal.ToLook, app, "") != nil {
			continue
		}
		out = append(out, c.progress(record, view, now, false))
	}
	return out, nil
}

func (c *Controller) find(ctx context.Context, id uint64) (rolloutRecord, error) {
	if err := c.enter(ctx, shoal.ToLook, "", ""); err != nil {
		return rolloutRecord{}, err
	}
	record, _, ok := c.rollouts.get(rolloutKey(id))
	if !ok {
		return rolloutRecord{}, fmt.Errorf("rollout %d: %w", id, shoal.ErrNotFound)
	}
	return record, shoal.Allowed(shoal.PrincipalOf(ctx), shoal.ToLook, record.State.Rollout.App, "")
}

// Rollout is one of them, with its members.
func (c *Controller) Rollout(ctx context.Context, id uint64) (shoal.Progress, error) {
	record, err := c.find(ctx, id)
	if err != nil {
		return shoal.Progress{}, err
	}
	now := time.Now()
	return c.progress(record, c.view(c.states(), now), now, true), nil
}

const maxReason = 1000 // bytes

// Command does to a rollout what a person asks for.
func (c *Controller) Command(ctx context.Context, id uint64, cmd shoal.Command) (shoal.Progress, error) {
	record, err := c.find(ctx, id)
	if err != nil {
		return shoal.Progress{}, err
	}
	r := record.State.Rollout
	p := shoal.PrincipalOf(ctx)
	if err := shoal.Allowed(p, shoal.Deed(cmd.Do), r.App, r.By); err != nil {
		return shoal.Progress{}, err
	}
	verb, ok := verbs()[cmd.Do]
	if !ok || len(cmd.Reason) > maxReason || len(cmd.Host) > fleetstore.MaxKey {
		return shoal.Progress{}, invalid(fmt.Errorf("command %.40q: there are approve, pause, resume, activate, retry, abort and rollback, with a reason of up to %d bytes", cmd.Do, maxReason))
	}
	do := rollout.Command{Do: verb, By: p.Name, Reason: cmd.Reason, Wave: cmd.Wave, Host: cmd.Host}
	logged := false
	record, err = c.rollouts.edit(ctx, rolloutKey(id), func(was rolloutRecord, ok bool) (rolloutRecord, error) {
		if !ok {
			return was, fmt.Errorf("rollout %d: %w", id, shoal.ErrNotFound)
		}
		now := time.Now()
		next, err := rollout.Apply(was.State, c.view(c.states(), now), do, now)
		if err != nil {
			return was, fmt.Errorf("%w: %w", shoal.ErrConflict, err)
		}
		if !logged {
			e := shoal.AuditEntry{Do: cmd.Do, What: r.Name(), Rollout: id, Text: saying(cmd)}
			if err := c.record(ctx, e); err != nil {
				return was, err
			}
			logged = true
		}
		was.State = next
		return was, nil
	})
	if err != nil {
		return shoal.Progress{}, err
	}
	poke(c.orders)
	poke(c.asked)
	now := time.Now()
	return c.progress(record, c.view(c.states(), now), now, true), nil
}

// verbs are the commands that people may give; Delivered is the controller's own.
func verbs() map[string]rollout.Verb {
	out := map[string]rollout.Verb{}
	for _, v := range []rollout.Verb{rollout.Approve, rollout.Hold, rollout.Resume, rollout.Activate, rollout.Retry, rollout.Abort, rollout.Rollback} {
		out[string(v)] = v
	}
	return out
}

func saying(cmd shoal.Command) string {
	text := cmd.Reason
	if cmd.Wave > 0 {
		text = fmt.Sprintf("wave %d %s", cmd.Wave, text)
	}
	if cmd.Host != "" {
		text = fmt.Sprintf("host %s %s", cmd.Host, text)
	}
	return text
}

// progress is how a rollout is shown.
func (c *Controller) progress(record rolloutRecord, view rollout.View, now time.Time, members bool) shoal.Progress {
	s := &record.State
	out := shoal.Progress{
		Rollout: s.Rollout, Phase: string(s.Phase), End: s.End, Waves: len(s.Waves), Counts: map[string]int{},
		Waits: shoal.Why{App: s.Rollout.App, What: "nothing: it is over"},
	}
	if !record.over() {
		w := rollout.Waits(*s, view, now)
		out.Waits.What, out.Waits.Evidence, out.Waits.Remedy = w.What, w.Evidence, w.Remedy
	}
	if s.Pause != nil {
		out.Paused = s.Pause.Reason
	}
	if s.Wave < len(s.Waves) && s.Phase == rollout.Switching {
		out.Wave = s.Wave + 1
	}
	for i := range s.Members {
		out.Counts[string(s.Members[i].Status)]++
	}
	if !members {
		return out
	}
	p := record.Plan
	out.Plan = &p
	hosts := make(map[string]*shoal.Host, len(view.Hosts))
	for i := range view.Hosts {
		hosts[view.Hosts[i].Name] = &view.Hosts[i]
	}
	for i := range s.Members {
		m := &s.Members[i]
		one := shoal.MemberStatus{Host: m.Host, Datacenter: m.Datacenter, Status: string(m.Status), Wave: m.Wave, Reason: m.Reason}
		if h := hosts[m.Host]; h != nil {
			one.Online = h.Online(now)
			if one.Work = h.Report.App(s.Rollout.App).Work; !one.Online {
				one.Work = nil
			}
			for _, aside := range c.hosts.asides(*h, now) {
				one.Reason = strings.TrimPrefix(one.Reason+"; "+aside.What, "; ")
			}
		}
		out.Members = append(out.Members, one)
	}
	return out
}
