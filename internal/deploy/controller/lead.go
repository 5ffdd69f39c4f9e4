package controller

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sync/errgroup"

	"shoal"
	"shoal/internal/deploy/fleetstore"
	"shoal/internal/deploy/rollout"
	"shoal/internal/trust"
)

const (
	lookEvery = time.Second           // though nothing was heard: time passes
	lookCalm  = 5 * time.Second       // ... while no rollout is under way
	lookGap   = 50 * time.Millisecond // between two looks
	lookMost  = 500 * time.Millisecond
	// clockEvery is how far a rollout's clock may run ahead of what is stored: a
	// soak is at most so much longer when another server takes over.
	clockEvery = 20 * time.Second
)

// leader lets rollouts go on, on the server that holds the lease.
type leader struct {
	*Controller
	ahead map[uint64]ahead // states whose clocks run ahead of what is stored
}

// ahead is a state that differs from the stored revision in its clock only.
type ahead struct {
	rev    uint64
	state  rollout.State
	stored time.Time // clock of the stored one
}

// lead runs until ctx ends.
func (c *Controller) lead(ctx context.Context) {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { c.sendNotices(ctx); return nil })
	group.Go(func() error {
		l := leader{Controller: c, ahead: map[uint64]ahead{}}
		for {
			began, wait := time.Now(), lookCalm
			if l.look(ctx) {
				wait = lookEvery
			}
			// What hosts report all the time may wait, so that a fleet which is large
			// enough to make a look slow leaves cores to answer it.
			if !c.rest(ctx, min(max(lookGap, 3*time.Since(began)), lookMost), wait) {
				return nil
			}
		}
	})
	_ = group.Wait() // both give no error
}

// rest waits between two looks: for what people asked for, from least on for
// what hosts reported too, and not longer than most. false when ctx ends first.
func (c *Controller) rest(ctx context.Context, least, most time.Duration) bool {
	early, late := time.NewTimer(least), time.NewTimer(most)
	defer early.Stop()
	defer late.Stop()
	var work <-chan struct{}
	for {
		select {
		case <-ctx.Done():
			return false
		case <-early.C:
			work = c.work
		case <-c.asked:
			return true
		case <-work:
			return true
		case <-late.C:
			return true
		}
	}
}

// look lets every rollout go on as far as it can now, the oldest first, and
// tells whether one is under way.
func (l *leader) look(ctx context.Context) (busy bool) {
	for _, r := range l.rollouts.all() {
		if ctx.Err() != nil {
			return busy
		}
		if r.over() {
			delete(l.ahead, r.State.Rollout.ID)
			continue
		}
		busy = busy || !r.stands()
		if err := l.step(ctx, r.State.Rollout.ID); err != nil && ctx.Err() == nil {
			level := l.log.Warn
			if errors.Is(err, fleetstore.ErrStale) {
				level = l.log.Debug // somebody gave a command meanwhile
			}
			level("controller: a rollout cannot go on, it is tried again", "rollout", r.State.Rollout.ID, "err", err)
			delete(l.ahead, r.State.Rollout.ID)
		}
	}
	l.prune(ctx)
	return busy
}

// step decides one rollout, stores what follows, and then acts.
func (l *leader) step(ctx context.Context, id uint64) error {
	key := rolloutKey(id)
	record, rev, ok := l.rollouts.get(key)
	if !ok {
		return nil
	}
	if waits, err := l.announce(ctx, &record, rev); waits || err != nil {
		return err
	}
	if record, rev, ok = l.rollouts.get(key); !ok {
		return nil
	}
	if len(record.State.Outbox) > 0 { // of a leader before, or of a command
		return l.perform(ctx, key, record, rev)
	}
	a, ok := l.ahead[id]
	if !ok || a.rev != rev {
		a = ahead{rev, record.State, record.State.At}
	}
	now := time.Now()
	told := record.State.Phase == rollout.Queued && record.State.Pause == nil && !record.Told && !now.Before(record.State.Rollout.StartAt)
	if told {
		if err := l.lift(ctx, record.State.Rollout.Name()); err != nil {
			return err
		}
		record.Told = true
	}
	next, changed := rollout.Decide(a.state, l.view(l.states(), now), now)
	a.state = next
	l.ahead[id] = a
	running := next.Phase.Active() && next.Pause == nil
	if !changed && !told && !(running && next.At.Sub(a.stored) >= clockEvery) {
		return nil
	}
	record.State = next
	rev, err := l.rollouts.put(ctx, key, record, rev)
	if err != nil {
		return err
	}
	poke(l.orders)
	poke(l.work) // others of the app may go on by this
	delete(l.ahead, id)
	return l.perform(ctx, key, record, rev)
}

// perform does what the outbox says, and notes that it is done.
func (l *leader) perform(ctx context.Context, key string, record rolloutRecord, rev uint64) error {
	s := &record.State
	if len(s.Outbox) == 0 {
		return nil
	}
	now := time.Now()
	if err := l.journal(ctx, s, now); err != nil {
		return err
	}
	for _, a := range s.Outbox {
		if n, ok := noticeOf(s, a, now); ok {
			if err := l.handIn(ctx, n); err != nil {
				return err
			}
		}
	}
	last := s.Outbox[len(s.Outbox)-1].N
	next, err := rollout.Apply(*s, l.view(l.states(), now), rollout.Command{Do: rollout.Delivered, N: last}, now)
	if err != nil {
		return err
	}
	record.State = next
	_, err = l.rollouts.put(ctx, key, record, rev)
	return err
}

// announce hands in the notice of a plan, and tells whether the rollout has to
// wait for its delivery.
func (l *leader) announce(ctx context.Context, record *rolloutRecord, rev uint64) (waits bool, err error) {
	r := record.State.Rollout
	id := planNotice(r.ID)
	if !record.Announced {
		p := record.Plan
		if err := l.handIn(ctx, shoal.Notice{Kind: "plan", At: time.Now(), Rollout: &r, Text: planText(r, p), Plan: &p, ID: id}); err != nil {
			return false, err
		}
		record.Announced = true
		_, err := l.rollouts.put(ctx, rolloutKey(r.ID), *record, rev)
		return err == nil && l.o.Notify != nil, err
	}
	n, _, pending := l.notices.get(id)
	if record.State.Phase != rollout.Queued || !pending {
		return false, nil
	}
	return time.Since(n.Notice.At) < l.o.NoticePatience, nil
}

// prune forgets the oldest of the rollouts that are over, and the hosts that
// were forgotten so long ago that all their certificates have expired.
func (l *leader) prune(ctx context.Context) {
	now := time.Now()
	for _, r := range l.gone.all() {
		if !trust.Past(r.At, now) {
			continue
		}
		if _, rev, ok := l.gone.get(r.Host); ok && l.gone.remove(ctx, r.Host, rev) != nil {
			return // another time
		}
	}
	var over []uint64
	for _, r := range l.rollouts.all() {
		if r.over() {
			over = append(over, r.State.Rollout.ID)
		}
	}
	for len(over) > keepOver {
		key := rolloutKey(over[0])
		if _, rev, ok := l.rollouts.get(key); ok {
			if err := l.rollouts.remove(ctx, key, rev); err != nil {
				return // another time
			}
		}
		over = over[1:]
	}
}
