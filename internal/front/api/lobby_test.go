package api

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"slices"
	"strings"
	"testing"
	"time"

	"shoal"
	"shoal/internal/trust"
)

// watching is a host that waits.
type watching struct {
	orders shoal.Orders
	err    error
}

func watch(ctx context.Context, c *Client, since uint64) chan watching {
	done := make(chan watching, 1)
	go func() {
		o, err := c.Watch(ctx, "web-1", since)
		done <- watching{o, err}
	}()
	return done
}

// TestWatchWaits has a host wait for orders many times, and report in between, all
// over one connection, which is handed to and fro. Then the host is forgotten, and
// the server stops.
func TestWatchWaits(t *testing.T) {
	s := newSite(t)
	agent := s.client(t, "", host(t, s.authority, trust.Host, "web-1", time.Now()))
	var reused []bool
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{GotConn: func(i httptrace.GotConnInfo) { reused = append(reused, i.Reused) }})
	for since := range uint64(20) {
		done := watch(ctx, agent, since+1)
		tell := <-s.waits
		select {
		case w := <-done:
			t.Fatalf("it did not wait: %+v", w)
		default:
		}
		tell(shoal.Orders{Version: since + 2, Orders: []shoal.Order{{App: "web"}}}, nil)
		if w := <-done; w.err != nil || w.orders.Version != since+2 || len(w.orders.Orders) != 1 {
			t.Fatalf("%+v", w)
		}
		if err := agent.Report(ctx, shoal.Report{Host: "web-1"}); err != nil {
			t.Fatal(err)
		}
	}
	if len(reused) != 40 || slices.Contains(reused[1:], false) {
		t.Errorf("connections were used again: %v", reused)
	}
	done := watch(ctx, agent, 3)
	(<-s.waits)(shoal.Orders{}, fmt.Errorf("host web-1 was forgotten: %w", shoal.ErrNotFound))
	if w := <-done; !errors.Is(w.err, shoal.ErrNotFound) || !strings.Contains(w.err.Error(), "forgotten") {
		t.Errorf("%+v", w)
	}
	done = watch(ctx, agent, 3)
	tell := <-s.waits
	s.stop()
	if w := <-done; !errors.Is(w.err, shoal.ErrUnavailable) {
		t.Errorf("while the server stops: %+v", w)
	}
	tell(shoal.Orders{}, nil) // to nobody
}

// TestWatchEnds are connections that cannot be handed back: they are closed when
// there is an answer, and the server goes on.
func TestWatchEnds(t *testing.T) {
	s := newSite(t)
	w := host(t, s.authority, trust.Host, "web-1", time.Now())
	const ask = "GET /v1/agent/orders?since=7 HTTP/1.1\r\nHost: x\r\n"
	for name, text := range map[string]string{
		"it is to be closed":  ask + "Connection: close\r\n\r\n",
		"more was sent early": ask + "\r\n" + ask + "\r\n",
		"a half request too":  ask + "\r\nGE",
	} {
		conn := s.dial(t, w)
		if _, err := io.WriteString(conn, text); err != nil {
			t.Fatal(err)
		}
		(<-s.waits)(shoal.Orders{Version: 8}, nil)
		r, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		body, err := io.ReadAll(r.Body)
		if err != nil || r.StatusCode != http.StatusOK || !r.Close || !strings.Contains(string(body), `"version":8`) {
			t.Errorf("%s: %v, %s, %v", name, r, body, err)
		}
		if rest, err := io.ReadAll(conn); len(rest) > 0 || err != nil {
			t.Errorf("%s: then came %q, %v", name, rest, err)
		}
	}

	conn := s.dial(t, w) // this one goes while it waits
	if _, err := io.WriteString(conn, ask+"\r\n"); err != nil {
		t.Fatal(err)
	}
	tell := <-s.waits
	conn.Close()
	tell(shoal.Orders{}, nil)
	if _, err := s.client(t, "", w).Watch(t.Context(), "web-1", 0); err != nil {
		t.Error(err)
	}
}

// dial connects as a host.
func (s *site) dial(t *testing.T, w *trust.Wallet) *tls.Conn {
	t.Helper()
	conn, err := tls.Dial("tcp", strings.TrimPrefix(s.url, "https://"), trust.ClientTLS(trust.Anchor{Pin: s.authority.Pin()}, w.Certificate))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}
