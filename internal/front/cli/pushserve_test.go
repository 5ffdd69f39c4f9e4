package cli

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"

	"shoal/internal/bt/announce"
	"shoal/internal/bt/metainfo"
	"shoal/internal/bt/tracker"
	"shoal/internal/trust"
)

// TestPushAnnouncesToAll is a push that was told of one server of a fleet that has
// three trackers, which share nothing: each hears of it.
func TestPushAnnouncesToAll(t *testing.T) {
	heard := make(chan int, 100)
	var fronts []*httptest.Server
	var urls []string
	for range 3 {
		s := httptest.NewUnstartedServer(nil)
		t.Cleanup(s.Close)
		fronts, urls = append(fronts, s), append(urls, "https://"+s.Listener.Addr().String()+"/announce")
	}
	p := newPlane(t, urls...)
	for n, s := range fronts {
		tr, err := tracker.New(tracker.Options{Members: &tracker.Members{
			Host: func(c *tls.ConnectionState) (string, error) {
				id, err := trust.Check(c.PeerCertificates, p.authority.Pool(), x509.ExtKeyUsageClientAuth, time.Now())
				return id.String(), err
			},
			Swarm: func(metainfo.InfoHash) (string, bool) { return "", true },
			Seen: func(_ string, _ netip.AddrPort, r *announce.Request) {
				if r.Event == announce.Started {
					heard <- n
				}
			},
		}})
		if err != nil {
			t.Fatal(err)
		}
		run(t, tr.Run)
		own, err := p.authority.Serve("tracker", []string{"127.0.0.1"})
		if err != nil {
			t.Fatal(err)
		}
		cert, err := own.Certificate()
		if err != nil {
			t.Fatal(err)
		}
		s.Config.Handler = tr.Handler()
		s.TLS = &tls.Config{ClientAuth: tls.RequestClientCert, Certificates: []tls.Certificate{*cert}}
		s.StartTLS()
	}
	push := run(t, func(ctx context.Context) error {
		var out, errs bytes.Buffer
		err := newShell(Streams{&out, &errs}).run(ctx, []string{"push", p.tree("one"), "--app", "web", "--version", "1.0", "--register-only", "--listen", "127.0.0.1:0",
			"--server", p.url, "--token-file", p.admin, "--ca", p.authority.Pin().String()})
		if ctx.Err() == nil {
			t.Errorf("the push ended with %v\n%s%s", err, out.String(), errs.String())
		}
		return nil
	})
	for left := map[int]bool{0: true, 1: true, 2: true}; len(left) > 0; {
		select {
		case n := <-heard:
			delete(left, n)
		case <-time.After(3 * time.Minute):
			t.Fatalf("trackers %v have not heard of it", left)
		}
	}
	push()
}

// run runs something until it is stopped, which the test does at its end.
func run(t *testing.T, do func(context.Context) error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- do(ctx); close(done) }()
	stop = func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(stop)
	return stop
}
