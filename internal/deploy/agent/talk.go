package agent

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"shoal"
)

// talk is the agent's side of the conversation with the control plane: one
// goroutine watches for orders, one sends reports. What comes of it goes to the
// loop as events.
type talk struct {
	o        *Options
	station  shoal.Station
	instance string
	events   chan<- event
	reports  chan shoal.Report // at most one waits: the newest
	again    chan error        // why the session is over: begin a new one
	current  atomic.Uint64     // session
}

const (
	helloLimit  = 30 * time.Second
	reportLimit = 30 * time.Second
	firstPause  = 500 * time.Millisecond // after a failure, doubled up to lastPause
	lastPause   = 30 * time.Second
)

// listen begins sessions and watches for orders until ctx ends.
func (t *talk) listen(ctx context.Context) {
	pause := firstPause
	for ctx.Err() == nil {
		began := time.Now()
		err := t.session(ctx)
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) > lastPause { // it did work
			pause = firstPause
		}
		about := []any{"err", err, "again_in", pause}
		if own := (interface{ Hint() string })(nil); errors.As(err, &own) && own.Hint() != "" {
			about = append(about, "hint", own.Hint())
		}
		t.o.Log.Warn("no word from the control plane; goes on with the last orders", about...)
		t.post(ctx, silence{err})
		select {
		case <-ctx.Done():
		case <-time.After(jitter(pause)):
		}
		pause = min(2*pause, lastPause)
	}
}

// jitter spreads what ten thousand agents do at the same time when a server
// comes back.
func jitter(d time.Duration) time.Duration { return d/2 + rand.N(d/2+1) }

// session is one Hello and all Watches after it; it ends with an error.
func (t *talk) session(ctx context.Context) error {
	c := t.o.Config
	select {
	case <-t.again: // of the session before
	default:
	}
	hello, cancel := context.WithTimeout(ctx, helloLimit)
	w, err := t.station.Hello(hello, shoal.Hello{
		Host: c.Host, Datacenter: c.Datacenter, Rack: c.Rack, Labels: c.Labels, Up: int64(c.Up), Down: int64(c.Down),
		Software: t.o.Software, Clock: time.Now(), Instance: t.instance,
	})
	cancel()
	if err != nil {
		return err
	}
	t.current.Store(w.Session)
	t.o.Log.Info("talks to the control plane", "session", w.Session, "dc", w.Datacenter)
	if skew := w.Skew.Round(time.Second); skew.Abs() >= shoal.ClockOff {
		t.o.Log.Warn("this host's clock is off: set it; no rollout goes by it, but its certificate runs out by it", "is", shoal.SkewText(skew))
	}
	t.post(ctx, welcomed{w})
	for since := uint64(0); ; {
		o, err := t.watch(ctx, since)
		if err != nil {
			return err
		}
		if o.Version != since || since == 0 {
			since = o.Version
			t.post(ctx, ordered{o})
		}
	}
}

// watch waits for news, but not longer than a server may take that is there, nor
// for one that has forgotten us.
func (t *talk) watch(parent context.Context, since uint64) (shoal.Orders, error) {
	ctx, cancel := context.WithTimeout(parent, shoal.WatchFor+shoal.WatchFor/3)
	var over error
	var wg sync.WaitGroup
	wg.Go(func() {
		select {
		case over = <-t.again:
			cancel()
		case <-ctx.Done():
		}
	})
	o, err := t.station.Watch(ctx, t.o.Config.Host, since)
	cancel()
	wg.Wait()
	if over != nil {
		return o, over
	}
	if err != nil {
		return o, err
	}
	return o, checkOrders(o)
}

// tell sends reports until ctx ends. One that could not be sent is not kept: the
// loop makes a newer one.
func (t *talk) tell(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case r := <-t.reports:
			sending, cancel := context.WithTimeout(ctx, reportLimit)
			err := t.station.Report(sending, r)
			cancel()
			if r.Session == t.current.Load() && (errors.Is(err, shoal.ErrNotFound) || errors.Is(err, shoal.ErrConflict)) {
				select {
				case t.again <- err:
				default:
				}
			}
			t.post(ctx, sent{r, err})
		}
	}
}

func (t *talk) post(ctx context.Context, e event) {
	select {
	case t.events <- e:
	case <-ctx.Done():
	}
}
