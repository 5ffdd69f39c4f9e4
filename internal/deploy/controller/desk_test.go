package controller

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"shoal"
)

// TestDeskTellsOnce has many wait for one host's orders, for no time, for a short
// one and for a long one, while the orders change and the host is forgotten: each
// is told once, whatever comes first, and nobody is kept.
func TestDeskTellsOnce(t *testing.T) {
	d := newDesk()
	d.update(nil, nil, forAll{})
	var told, gone atomic.Int64
	const each = 200
	var all sync.WaitGroup
	all.Add(3 * each)
	tell := func() func(shoal.Orders, error) {
		var times atomic.Int64
		return func(o shoal.Orders, err error) {
			if n := times.Add(1); n > 1 {
				t.Errorf("told %d times", n)
				return
			}
			told.Add(1)
			if errors.Is(err, shoal.ErrNotFound) {
				gone.Add(1)
			} else if err != nil || o.Version == 0 {
				t.Errorf("told %+v, %v", o, err)
			}
			all.Done()
		}
	}
	var hands sync.WaitGroup
	for i, patience := range []time.Duration{time.Nanosecond, time.Millisecond, time.Hour} {
		hands.Go(func() {
			for n := range each {
				host := fmt.Sprint("web-", n%10)
				d.mu.Lock()
				since := d.of(host).Version
				d.mu.Unlock()
				d.await(host, since, patience, tell())
				if n%20 == 0 {
					d.update(nil, nil, forAll{forgotten: uint64(1000*i + n + 1)})
				}
				if n%33 == 0 {
					d.forget(host)
				}
			}
		})
	}
	hands.Wait()
	d.await("web-10", 1, time.Hour, func(o shoal.Orders, err error) { // of a version that is not the newest
		if err != nil || o.Version == 1 {
			t.Errorf("told %+v, %v", o, err)
		}
	})
	d.update(nil, nil, forAll{stopped: true})
	all.Wait()
	if len(d.waiting) != 0 {
		t.Errorf("%d hosts are still waited for", len(d.waiting))
	}
	t.Logf("%d were told, %d of them that their host is gone", told.Load(), gone.Load())
}
