package node

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"shoal/internal/bt/metainfo"
	"shoal/internal/bt/wire"
)

// desk collects what arrives for one swarm.
type desk chan wire.Handshake

func (d desk) Accept(c net.Conn, hs wire.Handshake) {
	io.WriteString(c, "hello")
	c.Close()
	d <- hs
}

func startListener(t *testing.T) *listener {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	l, err := listen(ctx, "127.0.0.1:0", 1, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- l.accept(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("accept: %v", err)
		}
	})
	return l
}

// exchange sends bytes to l and returns all that comes back.
func exchange(t *testing.T, l *listener, send []byte) string {
	t.Helper()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(5 * time.Second)) // well under handshakeLimit
	c.Write(send)
	got, err := io.ReadAll(c)
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		t.Fatalf("%.20q: neither an answer nor an end", send)
	}
	return string(got)
}

func TestListenerRoutesByInfoHash(t *testing.T) {
	l := startListener(t)
	one, two := metainfo.InfoHash{1}, metainfo.InfoHash{2}
	d := make(desk, 1)
	unroute, err := l.route([]metainfo.InfoHash{one, two}, d)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.route([]metainfo.InfoHash{two}, d); err == nil {
		t.Error("one swarm was routed twice")
	}
	for _, ih := range []metainfo.InfoHash{one, two} {
		hs := wire.NewHandshake(ih, [20]byte{9}, wire.CapFast)
		if got := exchange(t, l, hs.Append(nil)); got != "hello" {
			t.Errorf("swarm %x: got %q", ih[:1], got)
		}
		if got := <-d; got != hs {
			t.Errorf("swarm %x: handed over %+v, want %+v", ih[:1], got, hs)
		}
	}
	unroute()
	if got := exchange(t, l, wire.NewHandshake(one, [20]byte{9}, 0).Append(nil)); got != "" {
		t.Errorf("after unroute: got %q", got)
	}
}

// TestListenerDropsOthers sends what else arrives on an open port: each must
// be cut off at once, without an answer.
func TestListenerDropsOthers(t *testing.T) {
	l := startListener(t)
	for _, send := range [][]byte{
		[]byte("GET / HTTP/1.1\r\n\r\n"),
		bytes.Repeat([]byte{0xff}, 200),
		append([]byte{19}, strings.Repeat("x", 67)...),
		wire.NewHandshake(metainfo.InfoHash{7}, [20]byte{}, 0).Append(nil),
	} {
		if got := exchange(t, l, send); got != "" {
			t.Errorf("%.20q: got %q", send, got)
		}
	}
}

func TestListenTwice(t *testing.T) {
	l := startListener(t)
	if _, err := listen(t.Context(), l.Addr().String(), 0, l.log); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("a used address: %v, want EADDRINUSE", err)
	}
	a, err := listen(t.Context(), "", 0, l.log)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	b, err := listen(t.Context(), "", 0, l.log)
	if err != nil {
		t.Fatalf("no address asked for, and still refused: %v", err)
	}
	b.Close()
}

func TestAdmission(t *testing.T) {
	a, host := newAdmission(), netip.MustParseAddr("127.0.0.9")
	for i := range maxPendingHost {
		if !a.enter(host) {
			t.Fatalf("connection %d of one host was refused", i)
		}
	}
	if a.enter(host) {
		t.Error("one host got more than its share")
	}
	other := netip.MustParseAddr("127.0.0.10")
	if !a.enter(other) {
		t.Error("another host was shut out")
	}
	a.leave(other)
	a.leave(host)
	if !a.enter(host) {
		t.Error("a place that was given back is lost")
	}
	for range maxPendingHost {
		a.leave(host)
	}
	if a.total != 0 || len(a.perHost) != 0 {
		t.Errorf("after all have left: %d, %v", a.total, a.perHost)
	}
}
