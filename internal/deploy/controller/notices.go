package controller

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"shoal"
	"shoal/internal/deploy/fleetstore"
	"shoal/internal/deploy/rollout"
	"shoal/internal/quantity"
)

// Notices are stored until they are delivered, so that they outlive the server
// that has to send them. Whoever leads sends them, and removes what was taken;
// killed between the two, the next one sends it again under the same ID.

const (
	noticeFor     = time.Hour // then nobody is told any more, and the audit log says so
	noticeTimeout = 30 * time.Second
)

func planNotice(rollout uint64) string { return fmt.Sprintf("%d-plan", rollout) }

// noticeOf is the notice that an action asks for; false when it is an order to
// a host.
func noticeOf(s *rollout.State, a rollout.Action, now time.Time) (shoal.Notice, bool) {
	if a.Host != "" {
		return shoal.Notice{}, false
	}
	r := s.Rollout
	return shoal.Notice{
		Kind: string(a.Kind), At: now, Rollout: &r, Text: fmt.Sprintf("rollout %d, %s: %s", r.ID, r.Name(), a.Text),
		ID: fmt.Sprintf("%d-%d", r.ID, a.N), Sites: sitesOf(s),
	}, true
}

func sitesOf(s *rollout.State) []string {
	var sites []string
	for i := range s.Members {
		if dc := s.Members[i].Datacenter; !slices.Contains(sites, dc) {
			sites = append(sites, dc)
		}
	}
	slices.Sort(sites)
	return sites
}

// planText is a plan in one line.
func planText(r shoal.Rollout, p shoal.Plan) string {
	text := fmt.Sprintf("rollout %d, %s: %s to %d hosts in %d places", r.ID, r.Name(), quantity.FormatBytes(p.Bytes), p.Hosts, len(p.Sites))
	for i, l := range p.Links {
		if i == 0 {
			text += "; over the links"
		}
		text += fmt.Sprintf(" %s-%s %s", l.From, l.To, quantity.FormatBytes(l.Bytes))
		if l.Peak > 0 {
			text += " at most " + quantity.FormatRate(l.Peak)
		}
	}
	text += "; begins " + cmp.Or(at(r.StartAt), "now")
	if p.Time > 0 {
		text += ", takes " + p.Takes()
	}
	if r.By != "" {
		text += "; pushed by " + r.By
	}
	return text
}

func at(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04Z")
}

// handIn stores a notice, unless one of its ID was stored before.
func (c *Controller) handIn(ctx context.Context, n shoal.Notice) error {
	if c.o.Notify == nil {
		return nil
	}
	n.Link = c.o.Link
	if n.Plan != nil {
		for _, s := range n.Plan.Sites {
			n.Sites = append(n.Sites, s.Name)
		}
		for _, l := range n.Plan.Links {
			n.Sites = append(n.Sites, l.From, l.To)
		}
		slices.Sort(n.Sites)
		n.Sites = slices.DeleteFunc(slices.Compact(n.Sites), func(s string) bool { return s == "" })
	}
	_, err := c.notices.put(ctx, n.ID, noticeRecord{n}, 0)
	if errors.Is(err, fleetstore.ErrStale) {
		return nil // it is there
	}
	poke(c.post)
	return err
}

// sendNotices sends what there is, the oldest first, until ctx ends.
func (c *Controller) sendNotices(ctx context.Context) {
	if c.o.Notify == nil {
		return
	}
	again := map[string]time.Time{} // those that failed, and when they are tried again
	for {
		wait := time.Minute
		records := c.notices.all()
		slices.SortFunc(records, func(a, b noticeRecord) int {
			return cmp.Or(a.Notice.At.Compare(b.Notice.At), cmp.Compare(a.Notice.ID, b.Notice.ID))
		})
		for _, r := range records {
			now := time.Now()
			if left := again[r.Notice.ID].Sub(now); left > 0 {
				wait = min(wait, left)
				continue
			}
			if !c.send(ctx, r.Notice, now) {
				again[r.Notice.ID] = time.Now().Add(c.o.NoticeAgain)
				wait = min(wait, c.o.NoticeAgain)
				continue
			}
			delete(again, r.Notice.ID)
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-c.post:
		}
		timer.Stop()
		if ctx.Err() != nil {
			return
		}
	}
}

// send sends one notice and forgets it; false when it is to be tried again.
func (c *Controller) send(ctx context.Context, n shoal.Notice, now time.Time) bool {
	_, rev, ok := c.notices.get(n.ID)
	if !ok {
		return true
	}
	call, cancel := context.WithTimeout(ctx, noticeTimeout)
	err := c.o.Notify(call, n)
	cancel()
	if err != nil {
		c.log.Warn("controller: a notice was not delivered", "notice", n.ID, "kind", n.Kind, "err", err)
		if now.Sub(n.At) < noticeFor || ctx.Err() != nil {
			return false
		}
		lost := shoal.AuditEntry{Do: "notice-lost", What: n.ID, Text: err.Error()}
		if c.record(shoal.WithPrincipal(ctx, shoal.Principal{Name: "server " + c.o.Server}), lost) != nil {
			return false
		}
	}
	if err := c.notices.remove(ctx, n.ID, rev); err != nil {
		return errors.Is(err, fleetstore.ErrStale)
	}
	poke(c.asked) // a rollout may wait for this
	return true
}
