package controller

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"shoal"
)

const maxFreezes = 1000

// Stop stops all transfers and switches. Watches are answered at once.
func (c *Controller) Stop(ctx context.Context, reason string) error {
	return c.setBrake(ctx, brake{Stopped: true, Reason: reason}, "stop", "all transfers of the fleet are stopped")
}

// Start lets them go on.
func (c *Controller) Start(ctx context.Context) error {
	return c.setBrake(ctx, brake{}, "start-all", "transfers of the fleet go on")
}

func (c *Controller) setBrake(ctx context.Context, b brake, kind, text string) error {
	if err := c.enter(ctx, shoal.ToStop, "", ""); err != nil {
		return err
	}
	if len(b.Reason) > maxReason {
		return invalid(fmt.Errorf("a reason of %d bytes, more than %d", len(b.Reason), maxReason))
	}
	b.By, b.At = shoal.PrincipalOf(ctx).Name, time.Now()
	if err := c.record(ctx, shoal.AuditEntry{Do: kind, What: "the fleet", Text: b.Reason}); err != nil {
		return err
	}
	_, err := c.facts.edit(ctx, brakeKey, func(was fact, _ bool) (fact, error) {
		if was.Brake != nil && was.Brake.Stopped == b.Stopped {
			return was, errNothing
		}
		return fact{Brake: &b}, nil
	})
	if errors.Is(err, errNothing) {
		return nil
	}
	if err != nil {
		return err
	}
	poke(c.orders)
	poke(c.asked)
	text += " by " + b.By
	if b.Reason != "" {
		text += ": " + b.Reason
	}
	_, rev, _ := c.facts.get(brakeKey)
	return c.handIn(ctx, shoal.Notice{Kind: kind, At: b.At, Text: text, ID: fmt.Sprintf("%s-%d", kind, rev)})
}

// Situation is what holds for the whole fleet.
func (c *Controller) Situation(ctx context.Context) (shoal.Situation, error) {
	if err := c.enter(ctx, shoal.ToLook, "", ""); err != nil {
		return shoal.Situation{}, err
	}
	b, now := c.brake(), time.Now()
	s := shoal.Situation{Stopped: b.Stopped, Freezes: c.freezes(now), Leader: c.leader(), Trackers: slices.Clone(c.o.Trackers), Now: now}
	if b.Stopped {
		s.StoppedBy, s.Reason = b.By, b.Reason
	}
	for _, h := range c.hosts.all() {
		s.Hosts++
		if h.Online(now) {
			s.Online++
			if h.Skew != 0 {
				s.ClockOff++
			}
		}
	}
	return s, nil
}

// Freeze adds a time in which nothing switches. It begins and ends at whole
// seconds, so that it can be named as people are shown it.
func (c *Controller) Freeze(ctx context.Context, f shoal.Freeze) error {
	if err := c.enter(ctx, shoal.ToFreeze, "", ""); err != nil {
		return err
	}
	now := time.Now()
	switch {
	case !f.From.Before(f.To) || !f.To.After(now):
		return invalid(fmt.Errorf("a freeze from %s to %s is over before it begins", f.From.Format(time.RFC3339), f.To.Format(time.RFC3339)))
	case len(f.Why) > maxReason:
		return invalid(fmt.Errorf("a reason of %d bytes, more than %d", len(f.Why), maxReason))
	}
	f.From = f.From.Truncate(time.Second)
	if end := f.To.Truncate(time.Second); end.Before(f.To) {
		f.To = end.Add(time.Second)
	}
	return c.setFreezes(ctx, "freeze", fmt.Sprintf("%s to %s: %s", at(f.From), at(f.To), f.Why), func(all []shoal.Freeze) ([]shoal.Freeze, error) {
		all = slices.DeleteFunc(all, func(o shoal.Freeze) bool { return o.From.Equal(f.From) || !o.To.After(now) })
		if len(all) >= maxFreezes {
			return nil, fmt.Errorf("%w: there are %d freezes already", shoal.ErrConflict, len(all))
		}
		all = append(all, f)
		slices.SortFunc(all, func(a, b shoal.Freeze) int { return a.From.Compare(b.From) })
		return all, nil
	})
}

// Thaw removes the freeze that begins at a time.
func (c *Controller) Thaw(ctx context.Context, from time.Time) error {
	if err := c.enter(ctx, shoal.ToFreeze, "", ""); err != nil {
		return err
	}
	return c.setFreezes(ctx, "thaw", at(from), func(all []shoal.Freeze) ([]shoal.Freeze, error) {
		rest := slices.DeleteFunc(slices.Clone(all), func(o shoal.Freeze) bool {
			return o.From.Truncate(time.Second).Equal(from.Truncate(time.Second)) // older servers kept parts of seconds
		})
		if len(rest) == len(all) {
			return nil, fmt.Errorf("no freeze begins at %s: %w: `shoal freeze` lists them", from.Format(time.RFC3339), shoal.ErrNotFound)
		}
		return rest, nil
	})
}

func (c *Controller) setFreezes(ctx context.Context, do, text string, change func([]shoal.Freeze) ([]shoal.Freeze, error)) error {
	logged := false
	_, err := c.facts.edit(ctx, freezesKey, func(was fact, _ bool) (fact, error) {
		all, err := change(slices.Clone(was.Freezes))
		if err == nil && !logged {
			err, logged = c.record(ctx, shoal.AuditEntry{Do: do, What: "the fleet", Text: text}), true
		}
		return fact{Freezes: all}, err
	})
	poke(c.asked)
	return err
}
