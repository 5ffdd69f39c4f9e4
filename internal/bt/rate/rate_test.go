package rate

import (
	"context"
	"errors"
	"math"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"shoal/internal/quantity"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func near(t *testing.T, what string, got, want, share float64) {
	t.Helper()
	if math.Abs(got-want) > want*share {
		t.Errorf("%s: got %.4g, want %.4g within %.1f %%", what, got, want, share*100)
	}
}

// TestAccurate moves a second's worth of bytes in fake time, where sleeping is
// exact, at every magnitude and size of transfer.
func TestAccurate(t *testing.T) {
	for _, r := range []int64{1e6, 5e6, 50e6, 400e6, 1e9} {
		for _, n := range []int{16 << 10, 1 << 20, 16 << 20} {
			synctest.Test(t, func(t *testing.T) {
				b, start, moved := New(r), time.Now(), 0
				for moved == 0 || time.Since(start) < time.Second {
					if err := b.Wait(t.Context(), n); err != nil {
						t.Fatal(err)
					}
					moved += n
				}
				near(t, quantity.FormatRate(r), float64(moved)/time.Since(start).Seconds(), float64(r), 0.03)
			})
		}
	}
}

// TestAccurateRealClock is the same against the real clock and real timers,
// with several goroutines, at both ends of the promised range.
func TestAccurateRealClock(t *testing.T) {
	for _, r := range []int64{1e6, 1e9} {
		b, start := New(r), time.Now()
		ctx, cancel := context.WithTimeoutCause(t.Context(), 700*time.Millisecond, errors.New("over"))
		var moved atomic.Int64
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				n := b.Chunk(1 << 20)
				for b.Wait(ctx, n) == nil {
					moved.Add(int64(n))
				}
			})
		}
		wg.Wait()
		cancel()
		near(t, quantity.FormatRate(r), float64(moved.Load())/time.Since(start).Seconds(), float64(r), 0.03)
	}
}

func TestFair(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(50e6)
		ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
		defer cancel()
		got := make([]float64, 20)
		var wg sync.WaitGroup
		for i := range got {
			wg.Go(func() {
				for b.Wait(ctx, 64<<10) == nil {
					got[i]++
				}
			})
		}
		wg.Wait()
		for i, n := range got {
			near(t, "share of asker", n, got[0], 0.05)
			if i == 0 && n == 0 {
				t.Fatal("nothing moved")
			}
		}
	})
}

func TestIdleEarnsOnlyASmallBurst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(100e6)
		time.Sleep(time.Hour)
		start := time.Now()
		for range 100 {
			_ = b.Wait(t.Context(), 1e6)
		}
		near(t, "seconds after a pause", time.Since(start).Seconds(), 1, 0.03)
	})
}

func TestSetRateWakesSleepers(t *testing.T) {
	for _, tc := range []struct {
		to   int64
		want time.Duration
	}{{0, 0}, {10e6, time.Second}, {5e5, 20 * time.Second}} {
		synctest.Test(t, func(t *testing.T) {
			b := New(1e6)
			done := make(chan time.Time, 1)
			go func() {
				_ = b.Wait(t.Context(), 10e6)
				done <- time.Now()
			}()
			synctest.Wait()
			start := time.Now()
			b.SetRate(tc.to)
			took := (<-done).Sub(start)
			if d := took - tc.want; d > 10*time.Millisecond || d < -10*time.Millisecond {
				t.Errorf("rate set to %d: slept %v, want %v", tc.to, took, tc.want)
			}
		})
	}
}

func TestUnlimitedForgivesDebt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(1e6)
		slept := make(chan error, 1)
		go func() { slept <- b.Wait(t.Context(), 1e9) }()
		synctest.Wait()
		b.SetRate(0)
		b.SetRate(1e6) // before the sleeper can run
		if err := <-slept; err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		_ = b.Wait(t.Context(), 1e6)
		near(t, "seconds", time.Since(start).Seconds(), 1, 0.03)
	})
}

func TestCancelGivesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		why := errors.New("peer is gone")
		b := New(1e6)
		ctx, cancel := context.WithCancelCause(t.Context())
		first, second := make(chan error, 1), make(chan time.Time, 1)
		go func() { first <- b.Wait(ctx, 100e6) }()
		synctest.Wait()
		start := time.Now()
		go func() {
			_ = b.Wait(t.Context(), 1e6)
			second <- time.Now()
		}()
		synctest.Wait()
		cancel(why)
		if err := <-first; !errors.Is(err, why) {
			t.Errorf("cancelled Wait returned %v", err)
		}
		near(t, "seconds of the next in line", (<-second).Sub(start).Seconds(), 1, 0.03)
	})
}

func TestChain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		torrent, process := New(2e6), New(10e6)
		c := Chain{torrent, nil, process, New(0)}
		if !c.Limited() || c.Rate() != 2e6 || c.Chunk(1<<20) != torrent.Chunk(1<<20) {
			t.Error("a chain is as limited as its narrowest bucket")
		}
		start := time.Now()
		for range 40 {
			_ = c.Wait(t.Context(), 100e3)
		}
		near(t, "seconds through the chain", time.Since(start).Seconds(), 2, 0.03)

		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		torrent.SetRate(0)
		torrent.SetRate(1e9)
		if err := c.Wait(ctx, 50e6); err == nil {
			t.Error("the process bucket was not asked")
		}
	})
	if (Chain{nil, New(0)}).Limited() || (Chain)(nil).Rate() != 0 {
		t.Error("a chain of unlimited buckets is unlimited")
	}
}

func TestChunk(t *testing.T) {
	for _, tc := range []struct {
		rate        int64
		limit, want int
	}{
		{0, 1 << 20, 1 << 20}, {1e6, 1 << 20, 16 << 10}, {1e3, 1 << 20, 16 << 10},
		{50e6, 1 << 20, 30 * 16 << 10}, {1e9, 1 << 20, 1 << 20}, {1e6, 1000, 1000},
	} {
		if got := New(tc.rate).Chunk(tc.limit); got != tc.want {
			t.Errorf("Chunk(%d) at %d = %d, want %d", tc.limit, tc.rate, got, tc.want)
		}
	}
}

func TestNilIsUnlimited(t *testing.T) {
	var b *Bucket
	if b.Limited() || b.Rate() != 0 || b.Chunk(7) != 7 || b.Wait(t.Context(), 1<<30) != nil {
		t.Error("a nil bucket must let everything pass")
	}
}

func TestUnlimitedAllocatesNothing(t *testing.T) {
	b := New(0)
	if n := testing.AllocsPerRun(100, func() { _ = b.Wait(t.Context(), 1<<20) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkWait(b *testing.B) {
	for _, r := range []int64{0, 1 << 60} {
		b.Run(map[bool]string{true: "unlimited", false: "limited"}[r == 0], func(b *testing.B) {
			bucket := New(r)
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					_ = bucket.Wait(b.Context(), 16<<10)
				}
			})
		})
	}
}
