package controller

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"time"

	"shoal"
	"shoal/internal/deploy/rollout"
)

// Hosts are those that a selector matches, by name; all with the zero selector.
func (c *Controller) Hosts(ctx context.Context, to shoal.Selector) ([]shoal.Host, error) {
	if err := c.enter(ctx, shoal.ToLook, "", ""); err != nil {
		return nil, err
	}
	var out []shoal.Host
	for _, h := range c.hosts.all() {
		if to.IsZero() || to.Matches(h) {
			out = append(out, h)
		}
	}
	return out, nil
}

// Forget drops a host from the fleet. It may join again, with a new certificate.
func (c *Controller) Forget(ctx context.Context, host string) error {
	if err := c.enter(ctx, shoal.ToForget, "", ""); err != nil {
		return err
	}
	_, rev, ok := c.hosts.table.get(host)
	if !ok {
		return fmt.Errorf("host %.80s: %w", host, shoal.ErrNotFound)
	}
	if c.gone.size() >= shoal.MaxForgotten {
		return fmt.Errorf("%w: %d hosts were forgotten lately, and all of them have to be known until their certificates expire: make a new authority (docs/security.md)", shoal.ErrConflict, c.gone.size())
	}
	if err := c.record(ctx, shoal.AuditEntry{Do: string(shoal.ToForget), What: host}); err != nil {
		return err
	}
	_, err := c.gone.edit(ctx, host, func(goneRecord, bool) (goneRecord, error) {
		return goneRecord{host, time.Now(), shoal.PrincipalOf(ctx).Name}, nil
	})
	if err != nil {
		return err
	}
	c.left(host)
	if err := c.hosts.table.remove(ctx, host, rev); err != nil {
		// It has just reported, and its certificate is refused from now on.
		_, rev, _ = c.hosts.table.get(host)
		if err = errors.Join(c.hosts.table.refresh(ctx, host), c.hosts.table.remove(ctx, host, rev)); err != nil {
			return fmt.Errorf("host %s is refused from now on, and still listed: say it again: %w: %w", host, err, shoal.ErrUnavailable)
		}
	}
	c.hosts.changed(host, time.Now())
	poke(c.work)
	return nil
}

// left ends what goes on with a host that was forgotten, here or by another server.
func (c *Controller) left(host string) {
	c.desk.forget(host)
	poke(c.orders)
	if c.o.Left != nil {
		c.o.Left(host)
	}
}

// Forgotten is when a host was told to go: certificates that were issued before
// do not let it in. The zero time means never.
func (c *Controller) Forgotten(ctx context.Context, host string) (time.Time, error) {
	select {
	case <-c.ready:
	case <-ctx.Done():
		return time.Time{}, ctx.Err()
	}
	r, _, _ := c.gone.get(host)
	return r.At, nil
}

// ForgottenSince are the hosts that were forgotten after a time, of whom it
// matters.
func (c *Controller) ForgottenSince(ctx context.Context, after time.Time) ([]shoal.ForgottenHost, error) {
	if err := c.enter(ctx, shoal.ToMeet, "", ""); err != nil {
		return nil, err
	}
	var out []shoal.ForgottenHost
	for _, r := range c.gone.all() {
		if r.At.After(after) {
			out = append(out, shoal.ForgottenHost{Host: r.Host, At: r.At})
		}
	}
	return out, nil
}

// forgotten is a number for who was: the same at all servers, whatever the order
// in which they heard.
func (c *Controller) forgotten() (sum uint64) {
	for _, r := range c.gone.all() {
		h := fnv.New64a()
		_, _ = h.Write(binary.BigEndian.AppendUint64([]byte(r.Host), uint64(r.At.UnixNano()))) // never fails (hash.Hash)
		sum += h.Sum64()
	}
	return sum
}

// Why says what holds a host up, for each app that it is to run.
func (c *Controller) Why(ctx context.Context, host string) ([]shoal.Why, error) {
	if err := c.enter(ctx, shoal.ToLook, "", ""); err != nil {
		return nil, err
	}
	h, ok := c.hosts.one(host)
	if !ok {
		return nil, fmt.Errorf("host %.80s: %w: check the name, or let its agent join", host, shoal.ErrNotFound)
	}
	now, p := time.Now(), shoal.PrincipalOf(ctx)
	states := c.states()
	view := c.view(states, now)
	newest := map[string]int{} // app to the newest rollout that is for the host
	apps := []string{}
	for i := range states {
		r := states[i].Rollout
		if shoal.Allowed(p, shoal.ToLook, r.App, "") != nil || states[i].Member(host) == nil && !r.To.Matches(h) {
			continue
		}
		if _, ok := newest[r.App]; !ok {
			apps = append(apps, r.App)
		}
		newest[r.App] = i // keys, and so states, are in the order of their numbers
	}
	var out []shoal.Why
	for _, app := range apps {
		w := rollout.Explain(states[newest[app]], view, host, now)
		out = append(out, shoal.Why{Host: host, App: app, What: w.What, Evidence: w.Evidence, Remedy: w.Remedy})
	}
	if len(out) == 0 {
		w := shoal.Why{Host: host, What: "nothing: no rollout is for it"}
		if !h.Online(now) {
			w = shoal.Why{Host: host, What: "silent, and no rollout is for it", Remedy: "see that the host is up and its agent runs: systemctl status shoal-agent"}
		}
		out = append(out, w)
	}
	return append(out, c.hosts.asides(h, now)...), nil
}

// asides are what people should know of a host besides: it holds no rollout up.
func (r *roster) asides(h shoal.Host, now time.Time) (out []shoal.Why) {
	if h.Skew != 0 && h.Online(now) {
		out = append(out, shoal.Why{Host: h.Name, What: "its clock is " + shoal.SkewText(h.Skew), Evidence: "no rollout goes by it; its logs and its certificate do",
			Remedy: "set it, and see that its time service runs"})
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if rival, ok := r.rivals[h.Name]; ok && rival.n >= lateTimes && now.Sub(rival.at) <= rivalFor {
		out = append(out, shoal.Why{Host: h.Name, What: "another agent calls itself " + h.Name + " too, and " + rival.what,
			Evidence: fmt.Sprintf("from %s, %s ago", rival.from, now.Sub(rival.at).Round(time.Second)),
			Remedy:   "stop one of them, or give it a name, a token and a ROOT/.shoal of its own"})
	}
	return out
}
