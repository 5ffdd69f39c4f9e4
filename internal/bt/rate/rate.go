// Package rate holds the token buckets that keep a transfer below a limit.
//
// It never touches a socket: who wants to move n bytes calls Wait first. Times
// come from the monotonic clock, so a step of the wall clock changes nothing.
package rate

import (
	"context"
	"math"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// refill is how much unused allowance a bucket keeps, as time at its rate.
	// It makes up for sleepers that wake late; it also is the burst after a
	// pause, so it must stay well below 3 % of a second.
	refill = 25 * time.Millisecond
	// leeway is the debt for which nobody is put to sleep: a timer is no more
	// exact than that, and the next one who asks pays for it.
	leeway = 500 * time.Microsecond
	// gulp is the time at the bucket's rate that Chunk aims at: short enough for
	// an even flow, long enough for few wake-ups.
	gulp = 10 * time.Millisecond
	// block is the smallest transfer that Chunk advises: the request unit of
	// stock clients (BEP 3).
	block = 16 << 10
)

// Bucket lets bytes pass at a rate. It works on debt: who asks for n bytes takes
// a place in the queue at once and sleeps until the bytes before it and its own
// have been earned, so n may be of any size and askers are served in the order
// in which they came. A nil Bucket is unlimited. It is safe for concurrent use.
type Bucket struct {
	rate atomic.Int64 // bytes a second, 0: unlimited; written under mu

	mu      sync.Mutex
	earned  int64   // bytes that the rate has allowed so far
	part    float64 // of the next byte
	asked   int64   // bytes that were asked for so far
	since   time.Time
	changed chan struct{} // closed and replaced when a sleeper must look again
}

// New returns an empty bucket that earns bytesPerSecond. Zero or less means
// unlimited.
func New(bytesPerSecond int64) *Bucket {
	b := &Bucket{since: time.Now(), changed: make(chan struct{})}
	b.rate.Store(max(bytesPerSecond, 0))
	return b
}

// SetRate changes the rate at once, also for those who are asleep. Zero or less
// means unlimited and forgives every debt.
func (b *Bucket) SetRate(bytesPerSecond int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.earn(time.Now())
	b.rate.Store(max(bytesPerSecond, 0))
	if bytesPerSecond <= 0 {
		b.earned = b.asked
	}
	b.wake()
}

// Rate is the rate in bytes a second, 0 if there is no limit.
func (b *Bucket) Rate() int64 {
	if b == nil {
		return 0
	}
	return b.rate.Load()
}

// Limited tells whether Wait can ever sleep.
func (b *Bucket) Limited() bool { return b.Rate() > 0 }

// Short tells whether more was asked for than is earned yet: somebody waits, or
// the next one who asks will.
func (b *Bucket) Short() bool {
	if !b.Limited() {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.earn(time.Now())
	d, _ := b.until(b.asked)
	return d > leeway
}

// Chunk is a good number of bytes to move between two Waits: about 10 ms of the
// rate in whole blocks of 16 KiB, at least one block, at most limit.
func (b *Bucket) Chunk(limit int) int {
	r := b.Rate()
	if r == 0 {
		return limit
	}
	n := math.Floor(float64(r)*gulp.Seconds()/block) * block
	return int(min(max(n, block), float64(limit)))
}

// Wait returns when n bytes may be moved, or with the context's cause when it
// ends first; then the n bytes count as not asked for. Without a limit it costs
// one atomic load.
func (b *Bucket) Wait(ctx context.Context, n int) error {
	if !b.Limited() || n <= 0 {
		return nil
	}
	b.mu.Lock()
	b.earn(time.Now())
	b.asked += int64(n)
	mark := b.asked
	d, changed := b.until(mark)
	b.mu.Unlock()
	if d <= leeway {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-changed:
		case <-ctx.Done():
			b.refund(n)
			return context.Cause(ctx)
		}
		b.mu.Lock()
		b.earn(time.Now())
		d, changed = b.until(mark)
		b.mu.Unlock()
		if d <= leeway {
			return nil
		}
		timer.Reset(d)
	}
}

// earn brings the account up to now. The caller holds mu.
func (b *Bucket) earn(now time.Time) {
	dt := now.Sub(b.since)
	if dt <= 0 {
		return
	}
	b.since = now
	r := float64(b.rate.Load())
	whole, part := math.Modf(r*dt.Seconds() + b.part)
	b.earned, b.part = b.earned+int64(whole), part
	b.earned = min(b.earned, b.asked+int64(r*refill.Seconds()))
}

// until is how long the bucket takes to earn the bytes up to mark, and the
// channel that closes if that is to be asked again. The caller holds mu.
func (b *Bucket) until(mark int64) (time.Duration, <-chan struct{}) {
	r := float64(b.rate.Load())
	debt := mark - b.earned
	if r == 0 || debt <= 0 {
		return 0, b.changed
	}
	// Not beyond an hour: the conversion must not overflow, and the loop in
	// Wait looks again anyway.
	s := min(float64(debt)/r, time.Hour.Seconds())
	return time.Duration(s * float64(time.Second)), b.changed
}

// refund gives n bytes back to those who queue behind the one who gave up.
func (b *Bucket) refund(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.rate.Load() == 0 {
		return
	}
	b.earned += int64(n)
	b.wake()
}

// wake makes every sleeper compute its time anew. The caller holds mu.
func (b *Bucket) wake() {
	close(b.changed)
	b.changed = make(chan struct{})
}

// Chain is several buckets that all have to agree, the narrowest first
// (torrent, then process). Nil buckets are unlimited.
type Chain []*Bucket

// Wait waits in every bucket in turn. When the context ends midway, what the
// earlier buckets have granted is given back.
func (c Chain) Wait(ctx context.Context, n int) error {
	for i, b := range c {
		if err := b.Wait(ctx, n); err != nil {
			for _, granted := range c[:i] {
				if granted.Limited() && n > 0 {
					granted.refund(n)
				}
			}
			return err
		}
	}
	return nil
}

// Limited tells whether any bucket of the chain is limited.
func (c Chain) Limited() bool {
	for _, b := range c {
		if b.Limited() {
			return true
		}
	}
	return false
}

// Rate is the lowest rate in the chain in bytes a second, 0 if none is limited.
func (c Chain) Rate() int64 {
	var low int64
	for _, b := range c {
		if r := b.Rate(); r > 0 && (low == 0 || r < low) {
			low = r
		}
	}
	return low
}

// Chunk is the smallest Chunk of the chain's buckets.
func (c Chain) Chunk(limit int) int {
	for _, b := range c {
		limit = b.Chunk(limit)
	}
	return limit
}
