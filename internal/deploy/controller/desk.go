package controller

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
	"sync"
	"time"

	"shoal"
	"shoal/internal/deploy/rollout"
)

// desk has the orders of all hosts, worked out once for all of them whenever
// rollouts have changed, and tells those whose orders did.
type desk struct {
	mu      sync.Mutex
	orders  map[string][]shoal.Order // by host
	keep    map[string][]string      // by host
	all     forAll
	waiting map[string]*slot // by host; each has somebody who waits
}

// forAll is what is told to every host alike.
type forAll struct {
	stopped   bool
	forgotten uint64
}

// slot are those who wait for one host's orders to differ from a version.
type slot struct {
	version uint64
	waiters []*waiter
}

// waiter is told once: whoever takes it out of its slot does so.
type waiter struct {
	tell func(shoal.Orders, error)
	end  *time.Timer // of its patience
}

func newDesk() *desk { return &desk{waiting: map[string]*slot{}} }

// update works all orders out. hosts is asked only if it matters what they hold.
func (d *desk) update(states []rollout.State, hosts func() []shoal.Host, all forAll) {
	orders := map[string][]shoal.Order{}
	for _, o := range rollout.Orders(states, all.stopped) {
		orders[o.Host] = append(orders[o.Host], o) // they come sorted by host and app
	}
	keep := kept(states, hosts, orders)
	type news struct {
		orders  shoal.Orders
		waiters []*waiter
	}
	var told []news
	d.mu.Lock()
	d.orders, d.keep, d.all = orders, keep, all
	for host, s := range d.waiting {
		if o := d.of(host); o.Version != s.version {
			told = append(told, news{o, s.waiters})
			delete(d.waiting, host)
		}
	}
	d.mu.Unlock()
	for _, n := range told {
		for _, w := range n.waiters {
			w.end.Stop()
			w.tell(n.orders, nil)
		}
	}
}

// kept is which copies must stay where they are, beyond those that orders name:
// the way back of every host that was switched, and what hosts that are not in
// a rollout hold of its release, for they may be the last in a data centre.
func kept(states []rollout.State, hosts func() []shoal.Host, orders map[string][]shoal.Order) map[string][]string {
	keep := map[string][]string{}
	needed := map[string]string{} // app to the version that is on its way
	for i := range states {
		s := &states[i]
		if s.Phase.Active() || s.Phase == rollout.Queued {
			needed[s.Rollout.App] = s.Rollout.Version
		}
		if s.Phase != rollout.Switching && s.Phase != rollout.RollingBack {
			continue
		}
		for j := range s.Members {
			if m := &s.Members[j]; m.Previous != "" && m.Switch != 0 {
				keep[m.Host] = append(keep[m.Host], s.Rollout.App+"@"+m.Previous)
			}
		}
	}
	var all []shoal.Host
	if len(needed) > 0 {
		all = hosts()
	}
	for i := range all {
		h := &all[i]
		for _, a := range h.Report.Apps {
			v, ok := needed[a.App]
			ordered := slices.ContainsFunc(orders[h.Name], func(o shoal.Order) bool { return o.App == a.App && o.Stage == v })
			if ok && !ordered && slices.Contains(a.Staged, v) {
				keep[h.Name] = append(keep[h.Name], a.App+"@"+v)
			}
		}
	}
	for host, names := range keep {
		slices.Sort(names)
		keep[host] = slices.Compact(names)
	}
	return keep
}

// of are the orders of a host. Their version is a hash of the rest, so that
// all servers give them the same one.
func (d *desk) of(host string) shoal.Orders {
	o := shoal.Orders{Orders: d.orders[host], Keep: d.keep[host], Stopped: d.all.stopped, Forgotten: d.all.forgotten}
	h := fnv.New64a()
	var b []byte
	for _, one := range o.Orders {
		b = binary.BigEndian.AppendUint64(b, one.ID.Rollout)
		b = binary.BigEndian.AppendUint64(b, one.ID.Serial)
		b = append(b, one.App+"\x00"+one.Stage+"\x00"+one.Live+"\x00"...)
		b = append(b, flag(one.Back), flag(one.Hold))
	}
	b = binary.BigEndian.AppendUint64(append(b, 0xff, flag(o.Stopped)), o.Forgotten)
	b = append(b, strings.Join(o.Keep, "\x00")...)
	_, _ = h.Write(b) // never fails (hash.Hash)
	o.Version = max(1, h.Sum64())
	return o
}

func flag(v bool) byte {
	if v {
		return 1
	}
	return 0
}

// await tells the orders of a host once: at once if they are others than since,
// else when they are, or as they are after a time. A host that waits is an entry
// and a timer here, and no goroutine.
func (d *desk) await(host string, since uint64, patience time.Duration, tell func(shoal.Orders, error)) {
	d.mu.Lock()
	o := d.of(host)
	if o.Version != since {
		d.mu.Unlock()
		tell(o, nil)
		return
	}
	defer d.mu.Unlock()
	s := d.waiting[host]
	if s == nil {
		s = &slot{version: o.Version}
		d.waiting[host] = s
	}
	w := &waiter{tell: tell}
	w.end = time.AfterFunc(patience, func() { d.tire(host, w) })
	s.waiters = append(s.waiters, w)
}

// tire ends the patience of a waiter.
func (d *desk) tire(host string, w *waiter) {
	d.mu.Lock()
	s := d.waiting[host]
	if s == nil || !slices.Contains(s.waiters, w) {
		d.mu.Unlock()
		return // it has been told
	}
	if s.waiters = slices.DeleteFunc(s.waiters, func(o *waiter) bool { return o == w }); len(s.waiters) == 0 {
		delete(d.waiting, host)
	}
	o := d.of(host)
	d.mu.Unlock()
	w.tell(o, nil)
}

// forget drops a host that is gone, and tells it so if it waits.
func (d *desk) forget(host string) {
	d.mu.Lock()
	s := d.waiting[host]
	delete(d.waiting, host)
	d.mu.Unlock()
	if s == nil {
		return
	}
	for _, w := range s.waiters {
		w.end.Stop()
		w.tell(shoal.Orders{}, fmt.Errorf("host %s was forgotten: %w", host, shoal.ErrNotFound))
	}
}

// giveNow works orders out.
func (c *Controller) giveNow() {
	c.desk.update(c.states(), c.hosts.all, forAll{c.stopped(), c.forgotten()})
}

// giveOrders works orders out whenever they may have changed.
func (c *Controller) giveOrders(ctx context.Context) {
	const gap = 10 * time.Millisecond // changes that come together are worked out together
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.orders:
		}
		began := time.Now()
		c.giveNow()
		// A fleet that is large enough to make this slow gets half a core for it.
		if !pause(ctx, max(gap, time.Since(began))) {
			return
		}
	}
}
