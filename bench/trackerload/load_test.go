package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"shoal/internal/bt/tracker"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func start(t *testing.T) string {
	t.Helper()
	tr, err := tracker.New(tracker.Options{Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- tr.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return tr.Addr().String()
}

// TestLoad announces every peer of a few swarms once, by every protocol and pace, and looks at the tracker's count.
func TestLoad(t *testing.T) {
	for _, proto := range []string{"udp", "http", "http-close"} {
		for _, rate := range []string{"0", "2000"} {
			t.Run(proto+" "+rate, func(t *testing.T) {
				var out bytes.Buffer
				err := run(t.Context(), []string{"-target", start(t), "-proto", proto, "-rate", rate, "-count", "600", "-duration", "1m",
					"-swarms", "6", "-peers", "600", "-conns", "4", "-window", "8", "-numwant", "7", "-json"}, &out)
				if err != nil {
					t.Fatal(err)
				}
				var r result
				if err := json.Unmarshal(out.Bytes(), &r); err != nil {
					t.Fatal(err)
				}
				if r.Answers+r.Lost != 600 || r.Answers < 590 || r.Refused+r.Failures > 0 || r.Peers < 5 || r.Peers > 7 || r.Max < r.P99 || r.P50 <= 0 {
					t.Errorf("got %+v", r)
				}
			})
		}
	}
}

// TestEachPeerOnce holds that a round visits every peer once, with an endpoint and id of its own in its swarm.
func TestEachPeerOnce(t *testing.T) {
	for _, peers := range []int{7, 10, 64, 1000, 1001} {
		c := newCourse(&options{swarms: 7, peers: peers})
		seen := map[string]bool{}
		for n := range int64(peers) {
			r := c.request(n)
			seen[string(r.InfoHash[:])+string(rune(r.Port))] = true
			if again := c.request(n + int64(peers)); again.PeerID != r.PeerID || again.Port != r.Port || again.Event == r.Event {
				t.Errorf("%d comes again as %+v, was %+v", n, again, r)
			}
		}
		if len(seen) != peers {
			t.Errorf("%d peers of %d", len(seen), peers)
		}
	}
}

func TestPermit(t *testing.T) {
	for _, c := range []struct {
		addr             string
		force, namespace bool
		ok               bool
	}{
		{"127.0.0.1", false, false, true}, {"127.8.9.1", false, false, true}, {"::1", false, false, true}, {"::ffff:127.0.0.1", false, false, true},
		{"10.1.2.3", false, false, false}, {"10.1.2.3", false, true, true}, {"fd00::1", false, true, true}, {"fd00::1", false, false, false},
		{"203.0.113.7", false, false, false}, {"203.0.113.7", false, true, false}, {"2001:db8::1", false, true, false},
		{"203.0.113.7", true, false, true}, {"0.0.0.0", false, true, false},
	} {
		err := permit(netip.MustParseAddr(c.addr), c.force, func() bool { return c.namespace })
		if (err == nil) != c.ok {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

func TestRefuses(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"-target 203.0.113.7:6969", "-force"}, {"-target tracker.example:6969", "not looked up"}, {"-proto tcp", "-proto"},
		{"-duration 11m", "-duration"}, {"-conns 0", "-conns"}, {"-window 9999", "-window"}, {"-rate -1", "-rate"},
		{"-swarms 10 -peers 9", "-peers"}, {"-swarms 1 -peers 64001", "-peers"}, {"-count -1", "-count"}, {"x", "flags"},
	} {
		err := run(t.Context(), strings.Fields(c.args), new(bytes.Buffer))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.args, err, c.want)
		}
	}
	var out bytes.Buffer
	if err := run(t.Context(), []string{"-print-hashes", "-swarms", "3"}, &out); err != nil || len(strings.Fields(out.String())) != 3 || len(out.String()) != 3*41 {
		t.Errorf("%q, %v", out.String(), err)
	}
	if err := run(t.Context(), []string{"-target", "127.0.0.1:1", "-proto", "http", "-duration", "1s"}, &out); err == nil {
		t.Error("nobody listens there")
	}
}

// TestHistogram holds that a quantile is at most a 32nd too long.
func TestHistogram(t *testing.T) {
	for d := time.Microsecond; d < 100*time.Second; d += d/7 + 1 {
		var h histogram
		h.add(d)
		ms := float64(d.Microseconds()) / 1000
		if got := h.quantile(0.99); got < ms || got > ms*(1+1.0/fine)+0.001 {
			t.Errorf("%s became %g ms", d, got)
		}
	}
	var h histogram
	for i := range 1000 {
		h.add(time.Duration(i+1) * time.Millisecond)
	}
	if p := h.quantile(0.5); p < 500 || p > 517 {
		t.Errorf("the median of 1 to 1000 ms is %g", p)
	}
	if h = (histogram{}); h.quantile(0.5) != 0 {
		t.Error("a quantile of nothing")
	}
}
