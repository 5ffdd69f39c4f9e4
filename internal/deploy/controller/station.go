package controller

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"shoal"
	"shoal/internal/topology"
)

// Bounds of what a host says.
const (
	maxLabels = 64
	maxApps   = 64   // in a report
	maxStaged = 256  // versions of an app
	maxText   = 4000 // bytes of any text
)

// serves lets a host in, for itself.
func (c *Controller) serves(ctx context.Context, host string) error {
	if err := c.enter(ctx, shoal.ToServe, "", ""); err != nil {
		return err
	}
	if p := shoal.PrincipalOf(ctx); p.Name != host {
		return fmt.Errorf("%w: host %.80s speaks for host %.80s", shoal.ErrDenied, p.Name, host)
	}
	return nil
}

// Hello begins a session.
func (c *Controller) Hello(ctx context.Context, h shoal.Hello) (shoal.Welcome, error) {
	if err := checkHello(h); err != nil {
		return shoal.Welcome{}, invalid(err)
	}
	if err := c.serves(ctx, h.Host); err != nil {
		return shoal.Welcome{}, err
	}
	dc, rack := h.Datacenter, h.Rack
	if dc == "" {
		p := c.o.Topology.PlaceOf(shoal.AddrOf(ctx))
		dc = p.Name()
		if rack == "" {
			rack = p.Rack
		}
	}
	now := time.Now()
	record, err := c.hosts.table.edit(ctx, h.Host, func(was hostRecord, ok bool) (hostRecord, error) {
		if !ok && c.hosts.table.size() >= shoal.MaxHosts {
			return was, fmt.Errorf("%w: the fleet has %d hosts, and may not have more: forget those that are gone", shoal.ErrConflict, shoal.MaxHosts)
		}
		if known, _ := c.hosts.one(h.Host); was.Instance != "" && was.Instance != h.Instance && known.Online(now) {
			c.hosts.turnAway(h.Host, shoal.AddrOf(ctx).String(), now)
			return was, fmt.Errorf("%w: another agent calls itself %s and was heard %s ago: stop one of them, or give it another name",
				shoal.ErrConflict, h.Host, now.Sub(known.Seen).Round(time.Second))
		}
		was.Name, was.Datacenter, was.Rack, was.Labels, was.Up, was.Down = h.Host, dc, rack, h.Labels, h.Up, h.Down
		was.Software, was.Instance, was.Skew = h.Software, h.Instance, shoal.SkewOf(h.Clock, now)
		was.Session++
		return was, nil
	})
	if err != nil {
		return shoal.Welcome{}, err
	}
	poke(c.work)
	w := shoal.Welcome{Session: record.Session, Datacenter: dc, Rack: rack}
	if !h.Clock.IsZero() {
		w.Skew = h.Clock.Sub(now)
	}
	return w, nil
}

func checkHello(h shoal.Hello) error {
	if err := shoal.CheckHost(h.Host); err != nil {
		return err
	}
	for what, name := range map[string]string{"data centre": h.Datacenter, "rack": h.Rack} {
		if name != "" && name != topology.Unknown {
			if err := topology.CheckName(name); err != nil {
				return fmt.Errorf("%s: %w", what, err)
			}
		}
	}
	if len(h.Labels) > maxLabels {
		return fmt.Errorf("%d labels, more than %d", len(h.Labels), maxLabels)
	}
	for key, value := range h.Labels {
		if err := shoal.CheckLabel(key, value); err != nil {
			return err
		}
	}
	if len(h.Software) > shoal.MaxVersion || len(h.Instance) > shoal.MaxVersion {
		return errors.New("the agent's version or instance is too long")
	}
	if h.Up < 0 || h.Down < 0 {
		return errors.New("a negative rate")
	}
	return nil
}

// Watch waits for other orders than the agent knows.
func (c *Controller) Watch(ctx context.Context, host string, since uint64) (shoal.Orders, error) {
	type news struct {
		orders shoal.Orders
		err    error
	}
	told := make(chan news, 1)
	c.Await(ctx, host, since, func(o shoal.Orders, err error) { told <- news{o, err} })
	select {
	case n := <-told:
		return n.orders, n.err
	case <-ctx.Done():
		return shoal.Orders{}, ctx.Err()
	}
}

// Await is Watch for who does not want to wait: tell is called once, within
// shoal.WatchFor, by any goroutine and perhaps before this returns. It must not
// wait for long. ctx says who asks, and ends only what happens before this returns.
func (c *Controller) Await(ctx context.Context, host string, since uint64, tell func(shoal.Orders, error)) {
	if err := c.awaits(ctx, host); err != nil {
		tell(shoal.Orders{}, err)
		return
	}
	// After an order to all of them, hosts shall not come back at one moment.
	c.desk.await(host, since, shoal.WatchFor-rand.N(shoal.WatchFor/4), tell)
}

// awaits lets a host in that asks for its orders, and notes that it is there.
func (c *Controller) awaits(ctx context.Context, host string) error {
	if err := c.serves(ctx, host); err != nil {
		return err
	}
	rec, _, ok := c.hosts.table.get(host)
	if !ok {
		return fmt.Errorf("host %s: %w: it has to say hello first", host, shoal.ErrNotFound)
	}
	if c.hosts.seen(rec, time.Now()) {
		poke(c.work)
	}
	return nil
}

// Report takes in what a host is.
func (c *Controller) Report(ctx context.Context, r shoal.Report) error {
	if err := checkReport(r); err != nil {
		return invalid(err)
	}
	if err := c.serves(ctx, r.Host); err != nil {
		return err
	}
	news, err := c.hosts.hear(r, shoal.AddrOf(ctx).String(), time.Now())
	if news {
		poke(c.work)
	}
	return err
}

func checkReport(r shoal.Report) error {
	if len(r.Apps) > maxApps {
		return fmt.Errorf("a report of %d apps, more than %d", len(r.Apps), maxApps)
	}
	seen := map[string]bool{}
	for _, a := range r.Apps {
		if err := shoal.CheckApp(a.App); err != nil {
			return err
		}
		if seen[a.App] {
			return fmt.Errorf("app %s twice in a report", a.App)
		}
		seen[a.App] = true
		if len(a.Staged) > maxStaged {
			return fmt.Errorf("app %s: %d staged versions, more than %d", a.App, len(a.Staged), maxStaged)
		}
		texts := append([]string{a.Live, string(a.Health)}, a.Staged...)
		if a.Failure != nil {
			texts = append(texts, string(a.Failure.Step), string(a.Failure.Cause), a.Failure.Reason)
		}
		if a.Work != nil {
			texts = append(texts, a.Work.Version, string(a.Work.Step), string(a.Work.Cause), a.Work.Detail)
		}
		for _, text := range texts {
			if len(text) > maxText {
				return fmt.Errorf("app %s: a text of %d bytes, more than %d", a.App, len(text), maxText)
			}
		}
	}
	return nil
}
