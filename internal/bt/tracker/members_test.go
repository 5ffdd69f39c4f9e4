package tracker

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"shoal/internal/bt/announce"
	"shoal/internal/bt/metainfo"
	"shoal/internal/bt/peertls/testca"
)

// sighting is what Seen was told.
type sighting struct {
	host string
	at   netip.AddrPort
	left int64
}

// membersOnly runs a tracker on a TLS server that asks for certificates and
// leaves it to the tracker what they are worth.
func membersOnly(t *testing.T, ca *testca.CA) (*Tracker, string, chan sighting) {
	t.Helper()
	seen := make(chan sighting, 10)
	tr, err := New(Options{Members: &Members{
		Host: func(s *tls.ConnectionState) (string, error) {
			if len(s.PeerCertificates) == 0 {
				return "", errors.New("no certificate")
			}
			leaf := s.PeerCertificates[0]
			_, err := leaf.Verify(verifyBy(ca))
			return leaf.Subject.CommonName, err
		},
		Swarm: func(h metainfo.InfoHash) (string, bool) { return "app@1", h[0] == 1 },
		Seen:  func(host string, at netip.AddrPort, r *announce.Request) { seen <- sighting{host, at, r.Left} },
	}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- tr.Run(ctx) }()
	server := httptest.NewUnstartedServer(tr.Handler())
	cert, err := ca.Issue("server")
	if err != nil {
		t.Fatal(err)
	}
	server.TLS = &tls.Config{MinVersion: tls.VersionTLS13, ClientAuth: tls.RequestClientCert, Certificates: []tls.Certificate{*cert}}
	server.StartTLS()
	t.Cleanup(func() {
		server.Close()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return tr, server.URL, seen
}

func TestMembersOnly(t *testing.T) {
	ca, other := mustCA(t), mustCA(t)
	tr, base, seen := membersOnly(t, ca)
	web1, web2 := clientOf(t, ca, ca, "web-1"), clientOf(t, ca, ca, "web-2")
	ask := func(c *http.Client, r announce.Request) (int, announce.Response, error) {
		return fetch(t, c, string(r.AppendURL(nil, base+"/announce")))
	}
	if _, r, err := ask(web1, peer(1, 0)); err != nil || len(r.Peers()) != 0 {
		t.Fatal(r, err)
	}
	second := peer(2, 7)
	second.Port = 6882
	if _, r, err := ask(web2, second); err != nil || len(r.Peers()) != 1 || r.Peers()[0].String() != "127.0.0.1:6881" {
		t.Errorf("the second member got %+v, %v", r, err)
	}
	for _, want := range []sighting{{"web-1", netip.MustParseAddrPort("127.0.0.1:6881"), 0}, {"web-2", netip.MustParseAddrPort("127.0.0.1:6882"), 7}} {
		if got := <-seen; got != want {
			t.Errorf("saw %+v, want %+v", got, want)
		}
	}
	unknown := peer(1, 0)
	unknown.InfoHash[0] = 2
	if code, _, err := ask(web1, unknown); code != http.StatusOK || err == nil || !strings.Contains(err.Error(), "not registered") {
		t.Errorf("a swarm that is none of the fleet's: %d, %v", code, err)
	}
	for name, c := range map[string]*http.Client{"foreign": clientOf(t, other, ca, "web-1"), "nameless": clientOf(t, nil, ca, "")} {
		if code, r, err := ask(c, peer(3, 1)); code != http.StatusForbidden || err == nil || len(r.Peers()) != 0 {
			t.Errorf("%s: %d %+v %v", name, code, r, err)
		}
	}
	if len(seen) != 0 {
		t.Errorf("strangers were noted: %+v", <-seen)
	}
	url, _ := announce.ScrapeURL(base+"/announce", []metainfo.InfoHash{{1}, {2}})
	body := page(t, web1, url)
	if s, err := announce.ParseScraped(body, 10); err != nil || len(s) != 2 || s[0].Seeds+s[1].Seeds != 1 || s[0].Name+s[1].Name != "app@1" {
		t.Errorf("scraped %+v, %v", s, err)
	}
	if err := tr.Close(); err == nil {
		t.Error("a running tracker can be closed")
	}
}

// Nothing but the protocol is answered, and nothing without TLS.
func TestMembersHandler(t *testing.T) {
	ca := mustCA(t)
	tr, base, _ := membersOnly(t, ca)
	c := clientOf(t, ca, ca, "web-1")
	for path, want := range map[string]int{"/": 404, "/metrics": 404, "/announce": 200, "/v1/scrape": 200, "/announce?" + strings.Repeat("x", announce.MaxQuery+1): 414} {
		if code, _, _ := fetch(t, c, base+path); code != want {
			t.Errorf("%.20s: %d, want %d", path, code, want)
		}
	}
	plain := httptest.NewServer(tr.Handler())
	defer plain.Close()
	r := peer(1, 0)
	if code, _, err := fetch(t, plain.Client(), string(r.AppendURL(nil, plain.URL+"/announce"))); code != http.StatusForbidden || err == nil {
		t.Errorf("without TLS: %d, %v", code, err)
	}
	if resp, err := c.Post(base+"/announce", "", nil); err != nil || resp.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST: %v, %v", resp, err)
	} else {
		resp.Body.Close()
	}
}

func TestMembersOptions(t *testing.T) {
	if _, err := New(Options{Members: &Members{}}); err == nil {
		t.Error("members without a way to know them are accepted")
	}
}

func mustCA(t *testing.T) *testca.CA {
	t.Helper()
	ca, err := testca.New()
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

// clientOf shows a certificate of signer, none if it is nil.
func clientOf(t *testing.T, signer, trusted *testca.CA, name string) *http.Client {
	t.Helper()
	conf := &tls.Config{RootCAs: trusted.Pool()}
	if signer != nil {
		cert, err := signer.Issue(name)
		if err != nil {
			t.Fatal(err)
		}
		conf.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return cert, nil }
	}
	c := &http.Client{Transport: &http.Transport{TLSClientConfig: conf}}
	t.Cleanup(c.CloseIdleConnections)
	return c
}

func fetch(t *testing.T, c *http.Client, url string) (int, announce.Response, error) {
	t.Helper()
	resp, err := c.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	r, err := announce.ParseReply(body)
	return resp.StatusCode, r, err
}

func page(t *testing.T, c *http.Client, url string) []byte {
	t.Helper()
	resp, err := c.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

func verifyBy(ca *testca.CA) x509.VerifyOptions {
	return x509.VerifyOptions{Roots: ca.Pool(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
}
