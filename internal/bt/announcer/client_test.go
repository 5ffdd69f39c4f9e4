package announcer

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"shoal/internal/bt/announce"
)

// ask makes one announce to url.
func ask(t *testing.T, c *client, url string) (announce.Response, error) {
	t.Helper()
	return askFor(t, c, url, 5*time.Second)
}

func askFor(t *testing.T, c *client, url string, limit time.Duration) (announce.Response, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	target := parseTarget(url)
	if target.err != nil {
		t.Fatal(url, target.err)
	}
	r := announce.Request{InfoHash: hashA, Port: 1, NumWant: -1}
	return c.announce(ctx, &target, r, 0, func(announce.Response) {})
}

func testClient(t *testing.T) *client {
	c := newClient("", netip.Addr{}, nil)
	t.Cleanup(c.close)
	return c
}

func TestHTTPAnswers(t *testing.T) {
	good := string((&announce.Response{Interval: time.Minute}).AppendReply(nil, false))
	mux := http.NewServeMux()
	reply := func(path string, status int, body string, header ...string) {
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			for i := 0; i < len(header); i += 2 {
				w.Header().Set(header[i], header[i+1])
			}
			w.WriteHeader(status)
			io.WriteString(w, body)
		})
	}
	reply("/good", 200, good)
	reply("/refused", 400, "d14:failure reason7:go away8:retry ini5ee")
	reply("/missing", 404, "not here")
	reply("/busy", 503, "", "Retry-After", "77")
	reply("/big", 200, strings.Repeat("x", maxBody+1))
	reply("/empty", 200, "")
	reply("/garbage", 200, "d8:intervali")
	reply("/loop", 302, "", "Location", "/loop")
	reply("/elsewhere", 302, "", "Location", "/good")
	reply("/ftp", 302, "", "Location", "ftp://127.0.0.1/")
	mux.HandleFunc("/gzip", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		io.WriteString(z, good)
		z.Close()
	})
	mux.HandleFunc("/bomb", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		for range 4 {
			z.Write(make([]byte, 1<<20))
		}
		z.Close()
	})
	mux.HandleFunc("/agent", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "d14:failure reason%d:%se", len(r.UserAgent()), r.UserAgent())
	})
	s := httptest.NewServer(mux)
	defer s.Close()
	c := testClient(t)
	tests := []struct {
		path, err string
		retry     time.Duration
	}{
		{"/good", "", 0},
		{"/gzip", "", 0},
		{"/elsewhere", "", 0},
		{"/refused", "tracker refused: go away", 5 * time.Minute},
		{"/missing", "tracker refused: HTTP status 404", 0},
		{"/busy", "tracker refused: HTTP status 503", 77 * time.Second},
		{"/big", "the answer has more than", 0},
		{"/bomb", "the answer has more than", 0},
		{"/empty", "announce: ", 0},
		{"/garbage", "announce: ", 0},
		{"/loop", "more than 5 redirects", 0},
		{"/ftp", "unsupported protocol", 0},
		{"/agent", "tracker refused: shoal", 0},
	}
	for _, tt := range tests {
		resp, err := ask(t, c, s.URL+tt.path)
		if tt.err == "" {
			if err != nil || resp.Interval != time.Minute {
				t.Errorf("%s: %+v, %v", tt.path, resp, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%s: error %v, want %q", tt.path, err, tt.err)
			continue
		}
		if f := refusal(err); tt.retry > 0 && (f == nil || f.RetryIn != tt.retry) {
			t.Errorf("%s: refusal %+v", tt.path, f)
		}
	}
}

// An error must not carry the query, which is binary and may hold a passkey.
func TestHTTPErrorIsShort(t *testing.T) {
	_, err := ask(t, testClient(t), "http://"+freeAddr(t, "http")+"/announce?passkey=secret")
	if err == nil || strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "info_hash") {
		t.Errorf("error %v", err)
	}
}

func TestHTTPKeepsConnections(t *testing.T) {
	f := newFake()
	conns := make(chan net.Conn, 10)
	s := httptest.NewUnstartedServer(http.HandlerFunc(f.serveHTTP))
	s.Config.ConnState = func(c net.Conn, st http.ConnState) {
		if st == http.StateNew {
			conns <- c
		}
	}
	s.Start()
	defer s.Close()
	c := testClient(t)
	for range 3 {
		if _, err := ask(t, c, s.URL); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(conns); n != 1 {
		t.Errorf("%d connections for 3 announces", n)
	}
}

func TestUDPRetransmits(t *testing.T) {
	t.Parallel()
	f := newFake()
	f.lose.Store(1)
	began := time.Now()
	if _, err := ask(t, testClient(t), f.udp(t)); err != nil {
		t.Fatal(err)
	}
	if d := time.Since(began); d > 3*time.Second {
		t.Errorf("took %v", d)
	}
}

// A tracker that was restarted does not know the id that we remember.
func TestUDPRenewsConnectionID(t *testing.T) {
	f := newFake()
	url, c := f.udp(t), testClient(t)
	for want := range int32(3) {
		for range 2 {
			if _, err := ask(t, c, url); err != nil {
				t.Fatal(err)
			}
		}
		if got := f.connects.Load(); got != want+1 {
			t.Errorf("%d connects, want %d", got, want+1)
		}
		f.idEpoch.Add(1)
	}
}

// ... or does not answer to it at all.
func TestUDPRenewsSilentConnectionID(t *testing.T) {
	t.Parallel()
	f := newFake()
	url, c := f.udp(t), testClient(t)
	if _, err := ask(t, c, url); err != nil {
		t.Fatal(err)
	}
	f.lose.Store(1)
	if _, err := ask(t, c, url); err != nil || f.connects.Load() != 2 {
		t.Errorf("%d connects, %v", f.connects.Load(), err)
	}
}

func TestUDPRefusals(t *testing.T) {
	f := newFake()
	f.reply = func(announce.Request) (announce.Response, *announce.Failure) {
		return announce.Response{}, &announce.Failure{Reason: "not today"}
	}
	if _, err := ask(t, testClient(t), f.udp(t)); err == nil || !strings.Contains(err.Error(), "not today") {
		t.Errorf("error %v", err)
	}
	began := time.Now()
	if _, err := ask(t, testClient(t), "udp://"+freeAddr(t, "udp")); err == nil || time.Since(began) > 2*time.Second {
		t.Errorf("nobody there: %v after %v", err, time.Since(began))
	}
}

// What comes back may be anything.
func TestUDPGarbage(t *testing.T) {
	t.Parallel()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 2048)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			tx := buf[12:16]
			for _, junk := range [][]byte{nil, {1}, buf[:n], append([]byte{0, 0, 0, 9}, tx...)} {
				conn.WriteTo(junk, from)
			}
		}
	}()
	defer func() { conn.Close(); <-done }()
	began := time.Now()
	url := "udp://" + conn.LocalAddr().String()
	if _, err := askFor(t, testClient(t), url, 1500*time.Millisecond); err == nil || time.Since(began) > 3*time.Second {
		t.Errorf("got %v after %v", err, time.Since(began))
	}
}

// A name with addresses of both families is asked over both (BEP 7), and one of
// them may be dead.
func TestBothFamilies(t *testing.T) {
	t.Parallel()
	six, err := net.ListenPacket("udp6", "[::1]:0")
	if err != nil {
		t.Skip("no IPv6 loopback here:", err)
	}
	_, port, _ := net.SplitHostPort(six.LocalAddr().String())
	six.Close()
	four := newFake()
	four.udpAt(t, "127.0.0.1:"+port)
	c := testClient(t)
	c.lookup = func(context.Context, string, string) ([]netip.Addr, error) {
		return []netip.Addr{netip.MustParseAddr("::1"), netip.MustParseAddr("127.0.0.1")}, nil
	}
	if resp, err := ask(t, c, "udp://both.example:"+port); err != nil || len(resp.V4) != 6 {
		t.Errorf("one family is down: %+v, %v", resp, err)
	}
	also := newFake()
	also.reply = func(announce.Request) (announce.Response, *announce.Failure) {
		r := announce.Response{Interval: time.Minute}
		r.Add(netip.MustParseAddrPort("[2001:db8::1]:9"))
		return r, nil
	}
	also.udpAt(t, "[::1]:"+port)
	resp, err := ask(t, c, "udp://both.example:"+port)
	if err != nil || len(resp.Peers()) != 2 {
		t.Errorf("peers %v, %v", resp.Peers(), err)
	}
	four.next(t)
	four.next(t)
	also.next(t)
}

func TestLookupFails(t *testing.T) {
	c := testClient(t)
	c.lookup = func(context.Context, string, string) ([]netip.Addr, error) { return nil, errBroken }
	if _, err := ask(t, c, "http://nowhere.example/announce"); !errors.Is(err, errBroken) {
		t.Errorf("error %v", err)
	}
	c.lookup = func(context.Context, string, string) ([]netip.Addr, error) { return nil, nil }
	if _, err := ask(t, c, "http://nowhere.example/announce"); err == nil {
		t.Error("no address and no error")
	}
}

func TestMerge(t *testing.T) {
	a := announce.Response{Interval: 5, MinInterval: 9, Warning: "a"}
	b := announce.Response{Interval: 7, MinInterval: 2, TrackerID: "b"}
	a.Add(peerX)
	b.Add(peerX)
	m := merge(a, b)
	if m.Interval != 7 || m.MinInterval != 9 || m.Warning != "a" || m.TrackerID != "b" || len(m.V4) != 12 {
		t.Errorf("got %+v", m)
	}
}
