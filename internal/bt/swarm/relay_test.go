package swarm

import (
	"fmt"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"
)

// relay is a long line: it passes rate bytes a second each way and holds every
// byte for delay. It ends TCP at both sides, so the kernel knows nothing of it.
type relay struct {
	addr  netip.AddrPort
	to    netip.AddrPort
	rate  float64
	delay time.Duration
	ln    net.Listener
	wg    sync.WaitGroup
}

func newRelay(t testing.TB, to netip.AddrPort, rate float64, delay time.Duration) *relay {
	t.Helper()
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{addr: netip.MustParseAddrPort(ln.Addr().String()), to: to, rate: rate, delay: delay, ln: ln}
	r.wg.Go(r.accept)
	t.Cleanup(func() { ln.Close(); r.wg.Wait() })
	return r
}

func (r *relay) accept() {
	for {
		in, err := r.ln.Accept()
		if err != nil {
			return
		}
		out, err := net.Dial("tcp4", r.to.String())
		if err != nil {
			in.Close()
			continue
		}
		r.wg.Go(func() { r.carry(in, out) })
		r.wg.Go(func() { r.carry(out, in) })
	}
}

// gulped is what a relay holds: bytes and when they may leave.
type gulped struct {
	b  []byte
	at time.Time
}

func (r *relay) carry(from, to net.Conn) {
	line := make(chan gulped, 1<<14) // far more than the delay can hold
	r.wg.Go(func() {
		defer to.Close()
		for g := range line {
			time.Sleep(time.Until(g.at))
			if _, err := to.Write(g.b); err != nil {
				from.Close()
			}
		}
	})
	defer close(line)
	free := time.Now() // when the line has sent what it took
	for {
		b := make([]byte, 64<<10)
		n, err := from.Read(b)
		if err != nil {
			return
		}
		now := time.Now()
		if free.Before(now) {
			free = now
		}
		free = free.Add(time.Duration(float64(n) / r.rate * float64(time.Second)))
		line <- gulped{b[:n], free.Add(r.delay)}
		time.Sleep(time.Until(free) - time.Millisecond)
	}
}

// BenchmarkRelay fetches over one connection through a relay that holds each
// byte 40 ms each way, and reports which share of its rate was used.
func BenchmarkRelay(b *testing.B) {
	const delay = 40 * time.Millisecond
	for _, mbit := range []int{100, 1000} {
		b.Run(fmt.Sprintf("%dMbit", mbit), func(b *testing.B) {
			rate := float64(mbit) * 1e6 / 8
			r := newRelease(b, int(rate*5)&^(1<<20-1), 1<<20) // five seconds of the line
			b.SetBytes(int64(len(r.content)))
			for b.Loop() {
				src := startHost(b, r, "a", true, nil)
				line := newRelay(b, src.addr, rate, delay)
				dst := startHost(b, r, "b", false, nil)
				start := time.Now()
				dst.AddPeers([]netip.AddrPort{line.addr})
				half := halfway(dst)
				took, late := time.Since(start), time.Since(half.at)
				size := float64(len(r.content))
				b.ReportMetric(size/took.Seconds()/rate*100, "%line")
				b.ReportMetric((size-half.bytes)/late.Seconds()/rate*100, "%line-2nd-half")
				dst.stop()
				src.stop()
			}
		})
	}
}

// moment is how far a fetch was when.
type moment struct {
	bytes float64
	at    time.Time
}

// halfway waits for a fetch and returns when it was half done.
func halfway(h *host) (half moment) {
	for {
		select {
		case <-h.Completed():
			return half
		case <-time.After(10 * time.Millisecond):
			if st := h.Stats(); half.at.IsZero() && st.BytesDone > st.BytesWant/2 {
				half = moment{float64(st.BytesDone), time.Now()}
			}
		}
	}
}

// The window holds what the path holds, whether the kernel knows the path or
// only the answers tell of it.
func TestAhead(t *testing.T) {
	const ms = time.Millisecond
	for _, c := range []struct {
		name         string
		rate         float64
		rtt, latency time.Duration
		least, most  float64 // of rate x the longer of the two
	}{
		{"10 Gbit/s at 80 ms", 1.25e9, 80 * ms, 80 * ms, 2, 2.5},
		{"the same behind a relay", 1.25e9, ms / 10, 80 * ms, 1.25, 1.7},
		{"1 Gbit/s behind a relay", 125e6, ms / 10, 80 * ms, 1.25, 1.7},
		{"a LAN", 125e6, ms / 5, ms, 30, 35},
		{"a long queue at the peer is not a path", 1e6, ms, 2 * time.Second, 0.1, 0.2},
	} {
		got := float64(ahead(c.rate, c.rtt, c.latency)) / (c.rate * max(c.rtt, c.latency).Seconds())
		if got < c.least || got > c.most {
			t.Errorf("%s: %.2f times what the path holds, want %.2f to %.2f", c.name, got, c.least, c.most)
		}
	}
	if got := ahead(0, 80*ms, 80*ms); got != 0 {
		t.Errorf("nothing measured yet: %d bytes", got)
	}
}

// A window that a round trip limits grows until the line does.
func TestAheadGrows(t *testing.T) {
	const line, trip = 125e6, 80 * time.Millisecond
	window := int64(startWindow)
	for range 12 {
		window = ahead(min(float64(window)/trip.Seconds(), line), 0, trip)
	}
	if float64(window) < line*trip.Seconds() {
		t.Errorf("%d bytes after a dozen round trips", window)
	}
}
