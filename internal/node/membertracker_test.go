package node

import (
	"context"
	"crypto/tls"
	"errors"
	"net/http/httptest"
	"net/netip"
	"os"
	"slices"
	"testing"

	"shoal/internal/bt/announce"
	"shoal/internal/bt/metainfo"
	"shoal/internal/bt/metainfo/build"
	"shoal/internal/bt/peertls/testca"
	"shoal/internal/bt/tracker"
)

// TestPrivateFleet is what a fleet's swarm is made of: a private metafile, a
// tracker by HTTPS for members only, and peers by TLS. A get without any other
// address than the tracker's finds the source and gets everything.
func TestPrivateFleet(t *testing.T) {
	ca := newCA(t)
	r := newRelease(t, metainfo.Hybrid)
	url, seen := memberTracker(t, ca, func(h metainfo.InfoHash) bool { return slices.Contains(r.meta.Info.Swarms(), h) })
	var err error
	r.meta, err = build.Build(t.Context(), r.dir+"/app", build.Options{Version: metainfo.Hybrid, PieceLength: 32 << 10, Private: true, Announce: [][]string{{url}}})
	must(t, err)
	must(t, os.WriteFile(r.file, r.meta.Encode(), 0o644))
	if !r.meta.Info.Private {
		t.Fatal("the metafile is not private")
	}
	e := make(events, 100)
	door := asMember(t, ca, "source")
	so := SeedOptions{Options: quiet("127.0.0.1:0", e), Files: []string{r.file}, Content: ContentOptions{Dir: r.dir}}
	so.Secure, so.TrackerTLS = door, door.WebConfig
	background(t, NewSeed(so).Run)
	e.wait(t, Serving)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	dir := t.TempDir()
	door = asMember(t, ca, "web-1")
	g := NewGet(GetOptions{Options: quiet("127.0.0.1:0", nil), Source: r.file, Content: ContentOptions{Dir: dir}})
	g.Secure, g.TrackerTLS = door, door.WebConfig
	must(t, g.Run(ctx))
	same(t, dir)
	names := map[string]bool{}
	for len(names) < 2 {
		select {
		case name := <-seen:
			names[name] = true
		case <-ctx.Done():
			t.Fatalf("the tracker has seen only %v", names)
		}
	}
	if !names["source"] || !names["web-1"] {
		t.Errorf("the tracker has seen %v", names)
	}
}

// memberTracker runs the tracker of a fleet, which tells what hosts it has seen.
func memberTracker(t *testing.T, ca *testca.CA, registered func(metainfo.InfoHash) bool) (url string, seen chan string) {
	t.Helper()
	seen = make(chan string, 1000)
	tr, err := tracker.New(tracker.Options{Members: &tracker.Members{
		Host: func(s *tls.ConnectionState) (string, error) {
			if len(s.VerifiedChains) == 0 {
				return "", errors.New("no certificate")
			}
			return s.VerifiedChains[0][0].Subject.CommonName, nil
		},
		Swarm: func(h metainfo.InfoHash) (string, bool) { return "app", registered(h) },
		Seen:  func(host string, _ netip.AddrPort, _ *announce.Request) { seen <- host },
	}})
	must(t, err)
	background(t, tr.Run)
	cert, err := ca.Issue("server")
	must(t, err)
	s := httptest.NewUnstartedServer(tr.Handler())
	s.TLS = &tls.Config{Certificates: []tls.Certificate{*cert}, ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: ca.Pool()}
	s.StartTLS()
	t.Cleanup(s.Close)
	return s.URL + "/announce", seen
}
