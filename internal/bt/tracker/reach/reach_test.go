package reach

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"shoal/internal/bt/metainfo"
)

func at(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

// TestRun is some minutes of a tracker to which one peer comes that answers, one that does not, one that only needs some
// time, and one that leaves.
func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		swarm, other := metainfo.InfoHash{1}, metainfo.InfoHash{2}
		good, deaf, late, gone := at("10.0.0.1:1"), at("10.0.0.2:1"), at("10.0.0.3:1"), at("10.0.0.4:1")
		begin := time.Now()
		since := func(d time.Duration) bool { return time.Since(begin) > d }
		p := New(Options{
			There: func(p Peer) bool { return p.At != gone || !since(31*time.Second) },
			Dial: func(ctx context.Context, to netip.AddrPort) error {
				switch {
				case to == good, to == late && since(5*time.Second), to == deaf && since(81*time.Second):
					return nil
				case to == deaf:
					<-ctx.Done() // a firewall
					return ctx.Err()
				}
				return &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
			},
		})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- p.Run(ctx) }()
		for _, peer := range []netip.AddrPort{good, deaf, late, gone} {
			p.Joined(begin, Peer{Swarm: swarm, At: peer})
		}
		expect := func(when time.Duration, want ...string) {
			t.Helper()
			time.Sleep(time.Until(begin.Add(when)))
			synctest.Wait()
			var got []string
			for _, d := range p.Deaf(swarm) {
				got = append(got, d.At.Addr().String()+" "+d.Why)
			}
			if !slices.Equal(got, want) || p.Count() != len(want) || len(p.Deaf(other)) > 0 {
				t.Errorf("after %v: %q, %d in all; want %q", when, got, p.Count(), want)
			}
		}
		expect(10 * time.Second) // one failure is none
		expect(30*time.Second, "10.0.0.4 refused", "10.0.0.2 no answer")
		expect(80*time.Second, "10.0.0.2 no answer")
		expect(160 * time.Second)
		if len(p.peers) != 0 {
			t.Errorf("remembers %v", p.peers)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// TestSeveral: of a host with several addresses it is known which of them answer, and it is found out again when that
// changes. A network that the tracker is not on makes nobody unreachable.
func TestSeveral(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		host, storage := at("203.0.113.1:1"), at("10.0.0.1:1")
		plain, near := Peer{At: host, Of: host}, Peer{At: storage, Of: host}
		begin := time.Now()
		since := func(d time.Duration) bool { return time.Since(begin) > d }
		p := New(Options{
			There: func(p Peer) bool { return p.Of == host && !since(20*time.Minute) },
			Dial: func(_ context.Context, to netip.AddrPort) error {
				if (to == host) != since(3*time.Minute) {
					return nil
				}
				return &net.OpError{Op: "dial", Err: syscall.EHOSTUNREACH}
			},
		})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- p.Run(ctx) }()
		p.Joined(begin, plain)
		p.Joined(begin, near)
		for _, c := range []struct {
			at                 time.Duration
			plain, near        string
			unreachable, known int
		}{
			{time.Second, "", "", 0, 2},
			{2 * time.Minute, "reached", "no route", 0, 2},
			{10 * time.Minute, "no route", "reached", 1, 2},
			{40 * time.Minute, "", "", 0, 0},
		} {
			time.Sleep(time.Until(begin.Add(c.at)))
			synctest.Wait()
			p.mu.Lock()
			known := len(p.peers)
			p.mu.Unlock()
			if a, b := p.Reached(plain), p.Reached(near); a != c.plain || b != c.near || p.Count() != c.unreachable || len(p.Deaf(plain.Swarm)) != c.unreachable || known != c.known {
				t.Errorf("after %v: %q and %q, %d unreachable, %d known", c.at, a, b, p.Count(), known)
			}
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// TestBounds: whoever announces a thousand times a second makes it connect no more often.
func TestBounds(t *testing.T) {
	p := New(Options{})
	now := time.Unix(1e9, 0)
	for i := range 2 * maxPeers {
		p.Joined(now, Peer{At: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10}), uint16(i+1))})
	}
	if len(p.peers) != maxPeers {
		t.Errorf("%d peers wait", len(p.peers))
	}
	if n := len(p.due(now)); n != 0 {
		t.Errorf("%d are looked at as soon as they join", n)
	}
	if n := len(p.due(now.Add(first))); n != perTick {
		t.Errorf("%d are looked at in a tick", n)
	}
	if n := len(p.due(now.Add(first))); n != perTick {
		t.Errorf("%d others are looked at in the next", n)
	}
}

func TestReason(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want string
	}{
		{&net.OpError{Err: syscall.ECONNREFUSED}, "refused"},
		{context.DeadlineExceeded, "no answer"},
		{&net.OpError{Err: syscall.ETIMEDOUT}, "no answer"},
		{&net.OpError{Err: syscall.EHOSTUNREACH}, "no route"},
		{&net.OpError{Err: syscall.EPERM}, "operation not permitted"},
		{fmt.Errorf("x: %w", errors.New("y")), "not reached"},
	} {
		if got := reason(tt.err); got != tt.want {
			t.Errorf("%v: %q, want %q", tt.err, got, tt.want)
		}
	}
}

// TestConnect connects to a real socket, and to one that is closed.
func TestConnect(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	to := at(l.Addr().String())
	if err := Connect(t.Context(), to); err != nil {
		t.Error(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := Connect(t.Context(), to); reason(err) != "refused" {
		t.Errorf("a closed socket: %v", err)
	}
}
