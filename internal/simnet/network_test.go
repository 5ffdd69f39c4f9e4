package simnet

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// run gives f a running network in fake time.
func run(t *testing.T, o Options, f func(t *testing.T, n *Network)) {
	synctest.Test(t, func(t *testing.T) {
		n := New(o)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { _ = n.Run(ctx) })
		f(t, n)
		cancel()
		wg.Wait()
	})
}

func (n *Network) mustHost(t *testing.T, last byte, place string, up, down int64) *Host {
	t.Helper()
	h, err := n.AddHost(netip.AddrFrom4([4]byte{10, 0, 0, last}), place, up, down)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// connect returns both ends of a new connection.
func connect(t *testing.T, from, to *Host) (a, b net.Conn) {
	t.Helper()
	l, err := to.Listen(0)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	a, err = from.Dial(t.Context(), l.addr)
	if err != nil {
		t.Fatal(err)
	}
	if b, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	return a, b
}

// send writes n bytes and closes; it does not wait.
func send(c net.Conn, n int) {
	go func() {
		_, _ = c.Write(make([]byte, n))
		c.Close()
	}()
}

// receive reads to the end and tells how much came, and how long it took.
func receive(c net.Conn) (int64, time.Duration) {
	start := time.Now()
	n, _ := io.Copy(io.Discard, c)
	c.Close()
	return n, time.Since(start)
}

// near fails unless got is within a fiftieth, or a few grains, of want.
func near(t *testing.T, what string, got, want time.Duration) {
	t.Helper()
	if off := (got - want).Abs(); off > want/50+3*defaultResolution {
		t.Errorf("%s took %v, want %v", what, got, want)
	}
}

// TestBytesArriveInOrder writes in pieces large and small, over lines of which
// some are jammed.
func TestBytesArriveInOrder(t *testing.T) {
	run(t, Options{Segment: 1000, Window: 7000, Unsent: 3000, Resolution: 5 * time.Millisecond}, func(t *testing.T, n *Network) {
		to := n.mustHost(t, 1, "y", 0, 2e6)
		r := rand.NewChaCha8([32]byte{1})
		var wg sync.WaitGroup
		for i := range byte(4) {
			a, b := connect(t, n.mustHost(t, 2+i, "x", 1e6, 0), to)
			want := make([]byte, 300_000)
			_, _ = r.Read(want)
			seed := r.Uint64()
			wg.Go(func() {
				r := rand.New(rand.NewPCG(seed, 1))
				for rest := want; len(rest) > 0; {
					k := min(len(rest), 1+r.IntN(1<<r.IntN(13)))
					if _, err := a.Write(rest[:k]); err != nil {
						t.Error(err)
					}
					rest = rest[k:]
				}
				a.Close()
			})
			wg.Go(func() {
				got, err := io.ReadAll(b)
				if err != nil || !bytes.Equal(got, want) {
					t.Errorf("read %d bytes, %v: not what was written", len(got), err)
				}
				b.Close()
			})
		}
		wg.Wait()
	})
}

// TestLink: a link holds its rate, counts each way, and is of no other pair; what it holds up while it is cut
// goes on later, and nobody connects over it meanwhile.
func TestLink(t *testing.T) {
	const size = 2e6
	run(t, Options{}, func(t *testing.T, n *Network) {
		l := n.Link("y", "x")
		l.SetRate(1e6)
		x, y, z := n.mustHost(t, 1, "x", 0, 0), n.mustHost(t, 2, "y", 0, 0), n.mustHost(t, 3, "z", 0, 0)
		a, b := connect(t, x, y)
		send(a, size)
		got, took := receive(b)
		near(t, "over the link", took, 2*time.Second)
		if sent, back := l.Traffic("x"), l.Traffic("y"); got != size || sent < size || back != 0 {
			t.Errorf("%d bytes came; the link counts %d there and %d back", got, sent, back)
		}
		a, b = connect(t, x, z)
		send(a, size)
		if _, took := receive(b); took > time.Second {
			t.Errorf("another link took %v", took)
		}
		a, b = connect(t, x, y)
		send(a, size)
		time.Sleep(time.Second)
		l.Cut()
		if _, err := x.Dial(timeout(t, 5*time.Second), netip.AddrPortFrom(y.Addr(), 1)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("connecting over a cut link: %v", err)
		}
		l.Heal()
		start := time.Now()
		if got, _ := receive(b); got != size || time.Since(start) > 2*time.Second {
			t.Errorf("%d bytes in %v after the cut", got, time.Since(start))
		}
	})
}

func timeout(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// TestRates has one flow over lines of different rates: the narrowest counts.
func TestRates(t *testing.T) {
	const size = 4e6
	for _, tt := range []struct {
		name                    string
		up, out, in, down, want int64
	}{
		{"uplink", 1e6, 0, 0, 4e6, 1e6},
		{"downlink", 4e6, 0, 0, 1e6, 1e6},
		{"equal", 1e6, 1e6, 1e6, 1e6, 1e6},
		{"wan out", 4e6, 1e6, 2e6, 0, 1e6},
		{"wan in", 4e6, 2e6, 1e6, 0, 1e6},
	} {
		t.Run(tt.name, func(t *testing.T) {
			run(t, Options{}, func(t *testing.T, n *Network) {
				n.Place("x").SetRates(tt.out, 0)
				n.Place("y").SetRates(0, tt.in)
				from, to := n.mustHost(t, 1, "x", tt.up, 0), n.mustHost(t, 2, "y", 0, tt.down)
				a, b := connect(t, from, to)
				send(a, size)
				got, d := receive(b)
				if got != size {
					t.Errorf("got %d bytes", got)
				}
				near(t, "it", d, time.Duration(size/tt.want)*time.Second)
				sent, _ := from.Traffic()
				_, received := to.Traffic()
				out, _ := n.Place("x").Traffic()
				_, in := n.Place("y").Traffic()
				if sent != size || received != size || out != size || in != size {
					t.Errorf("counted %d sent, %d out, %d in, %d received", sent, out, in, received)
				}
			})
		})
	}
}

// TestSharedLines has two senders on one downlink, and two receivers on one
// uplink of which one does not read.
func TestSharedLines(t *testing.T) {
	run(t, Options{}, func(t *testing.T, n *Network) {
		h1, h2, h3 := n.mustHost(t, 1, "", 1e6, 0), n.mustHost(t, 2, "", 1e6, 0), n.mustHost(t, 3, "", 1e6, 1e6)
		a1, b1 := connect(t, h1, h3)
		a2, b2 := connect(t, h2, h3)
		send(a1, 1e6)
		send(a2, 1e6)
		var wg sync.WaitGroup
		for _, c := range []net.Conn{b1, b2} {
			wg.Go(func() {
				_, d := receive(c)
				near(t, "sharing a downlink", d, 2*time.Second)
			})
		}
		wg.Wait()

		a1, b1 = connect(t, h3, h1)
		a2, b2 = connect(t, h3, h2)
		send(a1, 1e6)
		send(a2, 1e6)
		_, d := receive(b1)
		near(t, "sharing an uplink with one who does not read", d, 1e9+defaultWindow*1e3)
		if sent, _ := h3.Traffic(); sent > 1e6+defaultWindow+defaultSegment {
			t.Errorf("%d bytes were sent to somebody who does not read", sent-1e6)
		}
		b2.Close()
	})
}

func TestFairTurns(t *testing.T) {
	run(t, Options{}, func(t *testing.T, n *Network) {
		from := n.mustHost(t, 1, "", 1e6, 0)
		var wg sync.WaitGroup
		for i := range byte(4) {
			a, b := connect(t, from, n.mustHost(t, 2+i, "", 0, 0))
			send(a, 1e6)
			wg.Go(func() {
				_, d := receive(b)
				near(t, "one of four", d, 4*time.Second)
			})
		}
		wg.Wait()
	})
}

// TestWAN has ten hosts send to ten others over a WAN link that is a little
// narrower than all of their own together.
func TestWAN(t *testing.T) {
	run(t, Options{}, func(t *testing.T, n *Network) {
		n.Place("x").SetRates(1e6, 0)
		n.Place("y").SetRates(0, 1e6)
		var wg sync.WaitGroup
		for i := range byte(10) {
			a, b := connect(t, n.mustHost(t, 1+i, "x", 11e4, 0), n.mustHost(t, 11+i, "y", 0, 12e4))
			send(a, 1e6)
			wg.Go(func() {
				_, d := receive(b)
				near(t, "one of ten", d, 10*time.Second+took(defaultSegment, 11e4)) // until the first segments come
			})
		}
		wg.Wait()
	})
}

// TestSmallFirst has a message to a host whose downlink is busy.
func TestSmallFirst(t *testing.T) {
	for _, fifo := range []bool{false, true} {
		run(t, Options{FIFO: fifo}, func(t *testing.T, n *Network) {
			to := n.mustHost(t, 1, "", 0, 1e6)
			a1, b1 := connect(t, n.mustHost(t, 2, "", 0, 0), to)
			a2, b2 := connect(t, n.mustHost(t, 3, "", 0, 0), to)
			send(a1, 1e6)
			time.Sleep(20 * time.Millisecond) // its window is full
			start := time.Now()
			send(a2, 100)
			_, _ = io.ReadFull(b2, make([]byte, 100))
			want := time.Duration(0)
			if fifo { // behind a window of the other connection
				want = defaultWindow * time.Microsecond
			}
			if d := time.Since(start); d < want*9/10 || d > want+10*time.Millisecond {
				t.Errorf("a message took %v with FIFO %v", d, fifo)
			}
			a1.Close()
			b1.Close()
			b2.Close()
		})
	}
}

func TestLatency(t *testing.T) {
	far := func(from, to string) time.Duration {
		if from != to {
			return 40 * time.Millisecond
		}
		return time.Millisecond
	}
	run(t, Options{Latency: far, Window: 1 << 20}, func(t *testing.T, n *Network) {
		start := time.Now()
		a, b := connect(t, n.mustHost(t, 1, "x", 0, 0), n.mustHost(t, 2, "y", 0, 0))
		near(t, "dialling", time.Since(start), 80*time.Millisecond)
		start = time.Now()
		go func() { _, _ = a.Write([]byte("ping")) }()
		_, _ = io.ReadFull(b, make([]byte, 4))
		near(t, "one way", time.Since(start), 40*time.Millisecond)
		a.Close()
		b.Close()
	})
}

func TestRefusedAndKilled(t *testing.T) {
	run(t, Options{}, func(t *testing.T, n *Network) {
		h1, h2 := n.mustHost(t, 1, "", 1e6, 0), n.mustHost(t, 2, "", 0, 0)
		to := netip.AddrPortFrom(h2.Addr(), 6881)
		if _, err := h1.Dial(t.Context(), to); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("dialling where nobody listens: %v", err)
		}
		a, b := connect(t, h1, h2)
		l, err := h2.Listen(6881)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := h2.Listen(6881); !errors.Is(err, syscall.EADDRINUSE) {
			t.Errorf("listening twice: %v", err)
		}
		written := make(chan error)
		go func() {
			_, err := a.Write(make([]byte, 10e6))
			written <- err
		}()
		time.Sleep(time.Second)
		h2.Kill()
		if err := <-written; !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("writing to a killed host: %v", err)
		}
		if _, err := a.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("reading from a killed host: %v", err)
		}
		if _, err := b.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("reading on a killed host: %v", err)
		}
		if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("accepting on a killed host: %v", err)
		}
		if _, err := h1.Dial(t.Context(), to); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("dialling a killed host: %v", err)
		}
	})
}

func TestCutAndHeal(t *testing.T) {
	run(t, Options{}, func(t *testing.T, n *Network) {
		h1, h2 := n.mustHost(t, 1, "x", 1e6, 0), n.mustHost(t, 2, "y", 0, 0)
		a, b := connect(t, h1, h2)
		send(a, 1e6)
		time.AfterFunc(500*time.Millisecond, n.Place("y").Cut)
		time.AfterFunc(9*time.Second, n.Place("y").Heal)
		go func() {
			time.Sleep(time.Second)
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			if _, err := h1.Dial(ctx, netip.AddrPortFrom(h2.Addr(), 1)); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("dialling into a place that is cut off: %v", err)
			}
		}()
		got, d := receive(b)
		if got != 1e6 {
			t.Errorf("got %d bytes", got)
		}
		// What fits into the window was on its way when the cut ended.
		near(t, "half before the cut, half after it", d, 9500*time.Millisecond-defaultWindow*time.Microsecond)
	})
}

func TestChangeOfRate(t *testing.T) {
	run(t, Options{}, func(t *testing.T, n *Network) {
		h1 := n.mustHost(t, 1, "", 1e6, 0)
		a, b := connect(t, h1, n.mustHost(t, 2, "", 0, 0))
		send(a, 2e6)
		time.AfterFunc(time.Second, func() { h1.SetRates(2e5, 0) })
		_, d := receive(b)
		near(t, "half at full rate, half at a fifth", d, 6*time.Second)
	})
}

func TestDeadlines(t *testing.T) {
	run(t, Options{}, func(t *testing.T, n *Network) {
		a, b := connect(t, n.mustHost(t, 1, "", 1e5, 0), n.mustHost(t, 2, "", 0, 0))
		start := time.Now()
		_ = b.SetReadDeadline(start.Add(time.Second))
		time.AfterFunc(500*time.Millisecond, func() { _ = b.SetReadDeadline(start.Add(3 * time.Second)) })
		if _, err := b.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("Read: %v", err)
		}
		near(t, "reading", time.Since(start), 3*time.Second)
		_ = b.SetReadDeadline(time.Time{})
		_ = a.SetWriteDeadline(time.Now().Add(time.Second))
		k, err := a.Write(make([]byte, 1e6))
		if !errors.Is(err, os.ErrDeadlineExceeded) || k < 1e5 || k > 1e5+2*(defaultSegment+defaultUnsent) {
			t.Errorf("Write: %d bytes, %v", k, err)
		}
		_ = a.SetDeadline(time.Now().Add(-time.Second))
		if _, err := a.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("Read behind the deadline: %v", err)
		}
		a.Close()
		b.Close()
		if _, err := a.Write([]byte{1}); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Write after Close: %v", err)
		}
		if _, err := b.Read([]byte{1}); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Read after Close: %v", err)
		}
	})
}

// TestWheel checks that everything is handled when it is due, and in the order
// of adding inside of a tick.
func TestWheel(t *testing.T) {
	w := newWheel(time.Millisecond)
	r := rand.New(rand.NewPCG(1, 2))
	type want struct {
		tick int64
		n    int // of adding
	}
	wants := map[*segment]want{}
	add := func() {
		// From the past to three turns of the wheel ahead, often in the same tick.
		tick := w.tick + r.Int64N(3*wheelSlots/100)*100 - 10
		e := event{at: time.Duration(tick) * w.step, seg: new(segment)}
		wants[e.seg] = want{max(tick, w.tick), len(wants)}
		w.add(e)
	}
	for range 3000 {
		add()
	}
	last := want{}
	got := 0
	for tick := int64(0); got < len(wants); tick += 1 + r.Int64N(100) {
		w.run(tick, func(e event) {
			x := wants[e.seg]
			if x.tick != w.tick || x.tick > tick {
				t.Fatalf("an event of tick %d was handled in %d of a run to %d", x.tick, w.tick, tick)
			}
			if x.tick == last.tick && x.n < last.n {
				t.Fatalf("in tick %d event %d was handled after event %d", x.tick, x.n, last.n)
			}
			last = x
			if got++; len(wants) < 10000 {
				add()
			}
		})
	}
	if _, ok := w.next(); ok {
		t.Error("there is a next tick, and no event")
	}
}
