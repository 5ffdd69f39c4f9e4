package httpfront

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"shoal/internal/bt/announce"
	"shoal/internal/bt/metainfo"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// scripted gives every asker itself and refuses swarms that start with 'x'.
type scripted struct {
	malformed atomic.Int64
	deny      atomic.Bool
}

func (s *scripted) Malformed()                       { s.malformed.Add(1) }
func (s *scripted) Allow(time.Time, netip.Addr) bool { return !s.deny.Load() }

func (s *scripted) Announce(_ time.Time, from netip.Addr, r *announce.Request, out *announce.Response) *announce.Failure {
	if r.InfoHash[0] == 'x' {
		return &announce.Failure{Reason: "not here", RetryIn: time.Minute}
	}
	out.Interval, out.ExternalIP = time.Minute, from
	out.Add(netip.AddrPortFrom(from, r.Port))
	return nil
}

func (s *scripted) Scrape(_ time.Time, _ netip.Addr, hashes []metainfo.InfoHash, dst []announce.Swarm) ([]announce.Swarm, *announce.Failure) {
	for _, h := range hashes {
		if h[0] == 'x' {
			return dst, &announce.Failure{Reason: "not here"}
		}
		dst = append(dst, announce.Swarm{InfoHash: h, Seeds: int(h[0])})
	}
	return dst, nil
}

func (s *scripted) ScrapeAll(time.Time, netip.Addr) ([]announce.Swarm, *announce.Failure) {
	return []announce.Swarm{{InfoHash: metainfo.InfoHash{1}, Seeds: 9}}, nil
}

type fixture struct {
	logic    *scripted
	overview Overview
	sick     error
	dir      string
}

func (fx *fixture) options() Options {
	return Options{
		Logic:    fx.logic,
		Overview: func(time.Time) *Overview { return &fx.overview },
		Metafile: func(name string) (*os.File, error) {
			if !fs.ValidPath(name) || strings.Contains(name, "/") {
				return nil, fs.ErrNotExist
			}
			return os.Open(filepath.Join(fx.dir, name))
		},
		Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "metrics 1\n") }),
		Healthy: func() error { return fx.sick },
		Trusted: []netip.Prefix{netip.MustParsePrefix("127.0.0.9/32"), netip.MustParsePrefix("10.9.0.0/16")},
		Log:     slog.New(slog.DiscardHandler),
	}
}

// start runs a front and gives its address.
func start(t *testing.T, fx *fixture) string {
	t.Helper()
	fx.logic, fx.dir = &scripted{}, t.TempDir()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := New([]net.Listener{l}, fx.options())
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f.Run(ctx) }()
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return l.Addr().String()
}

func get(t *testing.T, url string) (int, http.Header, string) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, string(body)
}

func TestAnnounce(t *testing.T) {
	fx := &fixture{}
	base := "http://" + start(t, fx) + "/announce"
	r := announce.Request{InfoHash: metainfo.InfoHash{1}, Port: 99, NumWant: -1}
	code, head, body := get(t, string(r.AppendURL(nil, base)))
	got, err := announce.ParseReply([]byte(body))
	if err != nil || code != 200 || head.Get("Content-Type") != "text/plain" {
		t.Fatalf("%d %v %q: %v", code, head, body, err)
	}
	if p := got.Peers(); len(p) != 1 || p[0].String() != "127.0.0.1:99" || got.ExternalIP.String() != "127.0.0.1" {
		t.Errorf("got %+v", got)
	}
	r.Full = true
	if _, _, body := get(t, string(r.AppendURL(nil, base))); !strings.Contains(body, "d2:ip9:127.0.0.1") {
		t.Errorf("dictionary form: %q", body)
	}
	r.InfoHash[0] = 'x'
	if code, _, body := get(t, string(r.AppendURL(nil, base))); code != 200 || body != "d14:failure reason8:not here8:retry ini1ee" {
		t.Errorf("%d %q", code, body)
	}
	if code, _, body := get(t, base+"?port=1"); code != 200 || body != "d14:failure reason20:info_hash is missinge" {
		t.Errorf("%d %q", code, body)
	}
	if n := fx.logic.malformed.Load(); n != 1 {
		t.Errorf("%d malformed", n)
	}
}

func TestScrape(t *testing.T) {
	fx := &fixture{}
	base := "http://" + start(t, fx) + "/announce"
	for _, c := range []struct {
		hashes []metainfo.InfoHash
		want   string
	}{
		{nil, "[9]"},
		{[]metainfo.InfoHash{{3}}, "[3]"},
		{[]metainfo.InfoHash{{3}, {2}}, "[2 3]"},
		{[]metainfo.InfoHash{{'x'}}, "tracker refused: not here"},
		{make([]metainfo.InfoHash, announce.MaxScrapeHTTP+1), "tracker refused: more than 200 info_hash in one scrape"},
	} {
		url, _ := announce.ScrapeURL(base, c.hashes)
		_, _, body := get(t, url)
		swarms, err := announce.ParseScraped([]byte(body), 10)
		var seeds []int
		for _, s := range swarms {
			seeds = append(seeds, s.Seeds)
		}
		got := fmt.Sprint(seeds)
		if err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%d hashes: got %s, want %s", len(c.hashes), got, c.want)
		}
	}
}

// TestAsker is the table of who is believed to be whom.
func TestAsker(t *testing.T) {
	f := New(nil, (&fixture{logic: &scripted{}}).options())
	for _, c := range []struct {
		remote string
		via    []string
		want   string
	}{
		{"192.0.2.1:5", nil, "192.0.2.1"},
		{"[::ffff:192.0.2.1]:5", nil, "192.0.2.1"},
		{"192.0.2.1:5", []string{"198.51.100.7"}, "192.0.2.1"},             // anybody can write that
		{"127.0.0.9:5", []string{"198.51.100.7"}, "198.51.100.7"},          // our proxy says so
		{"127.0.0.9:5", []string{"1.1.1.1, 198.51.100.7"}, "198.51.100.7"}, // the rest is the client's own claim
		{"127.0.0.9:5", []string{"1.1.1.1", "198.51.100.7, 10.9.1.1"}, "198.51.100.7"},
		{"127.0.0.9:5", []string{"10.9.3.3, 10.9.1.1"}, "10.9.3.3"},
		{"127.0.0.9:5", []string{"198.51.100.7:1234"}, "198.51.100.7"},
		{"127.0.0.9:5", []string{"[2001:db8::7]:1234"}, "2001:db8::7"},
		{"127.0.0.9:5", []string{"[2001:db8::7]"}, "2001:db8::7"},
		{"127.0.0.9:5", []string{" 2001:db8::7 "}, "2001:db8::7"},
		{"127.0.0.9:5", []string{"198.51.100.7, unknown"}, "127.0.0.9"},
		{"127.0.0.9:5", []string{""}, "127.0.0.9"},
		{"nonsense", nil, "invalid IP"},
	} {
		r := httptest.NewRequest("GET", "/announce", nil)
		r.RemoteAddr = c.remote
		for _, v := range c.via {
			r.Header.Add("X-Forwarded-For", v)
		}
		if got := f.asker(remoteOf(r), r.Header.Values("X-Forwarded-For")).String(); got != c.want {
			t.Errorf("%s via %q: got %s, want %s", c.remote, c.via, got, c.want)
		}
	}
}

func TestPage(t *testing.T) {
	fx := &fixture{}
	base := "http://" + start(t, fx)
	if _, _, body := get(t, base+"/"); !strings.Contains(body, "No swarm yet") {
		t.Errorf("empty page: %s", body)
	}
	fx.overview = Overview{Title: "shoal tracker", Open: true, Interval: time.Minute, Places: true, Swarms: []Swarm{
		{Hash: "aa", Name: "<script>alert(1)</script>", File: "a b%.torrent", Size: 5 << 30, Version: "v2", Seeds: 1, Partial: 2, Leeches: 3,
			Completed: 4, Down: 123_456_789, Idle: 61 * time.Second, Places: []PlaceCount{{"fra", 5}, {"unknown", 1}}},
		{Hash: "bb", Size: -1, Idle: -1},
	}}
	code, head, body := get(t, base+"/")
	if code != 200 || !strings.Contains(head.Get("Content-Security-Policy"), "default-src 'none'") {
		t.Errorf("%d %v", code, head)
	}
	for _, want := range []string{"&lt;script&gt;alert(1)", `href="/torrents/a%20b%25.torrent"`, "5.00 GiB", "118 MiB", "fra 5", "unknown 1",
		"2 partial seeds", "<td class=\"n\">5<br>", "61s", "never", "<code>bb</code>", "2 swarms"} {
		if !strings.Contains(body, want) {
			t.Errorf("the page lacks %q:\n%s", want, body)
		}
	}
	if strings.Contains(body, "<script>") {
		t.Error("a name became markup")
	}
	for i := range 450 {
		fx.overview.Swarms = append(fx.overview.Swarms, Swarm{Hash: fmt.Sprintf("h%d", i)})
	}
	for query, want := range map[string]string{"": "Page 1 of 3", "?page=2": "Page 2 of 3", "?page=99": "Page 3 of 3", "?page=-1": "Page 1 of 3", "?page=x": "Page 1 of 3"} {
		if _, _, body := get(t, base+"/"+query); !strings.Contains(body, want) || strings.Count(body, "<code>") > perPage {
			t.Errorf("%s: no %q, or too many rows", query, want)
		}
	}
}

func TestMetafile(t *testing.T) {
	fx := &fixture{}
	base := "http://" + start(t, fx)
	name := "rel ease@1.torrent"
	if err := os.WriteFile(filepath.Join(fx.dir, name), []byte("d4:infodee"), 0o644); err != nil {
		t.Fatal(err)
	}
	code, head, body := get(t, base+metafilePath(name))
	if code != 200 || body != "d4:infodee" || head.Get("Content-Type") != "application/x-bittorrent" {
		t.Errorf("%d %v %q", code, head, body)
	}
	for _, path := range []string{"/torrents/", "/torrents/none.torrent", "/torrents/%2e%2e%2fsecret", "/torrents/a/b", "/x", "/torrents/..%00"} {
		if code, _, _ := get(t, base+path); code != http.StatusNotFound && code != http.StatusInternalServerError {
			t.Errorf("%s: %d", path, code)
		}
	}
}

func TestRest(t *testing.T) {
	fx := &fixture{}
	base := "http://" + start(t, fx)
	if code, _, body := get(t, base+"/healthz"); code != 200 || body != "ok\n" {
		t.Errorf("healthz: %d %q", code, body)
	}
	fx.sick = errors.New("disk full")
	if code, _, body := get(t, base+"/healthz"); code != 503 || body != "disk full\n" {
		t.Errorf("healthz: %d %q", code, body)
	}
	if code, _, body := get(t, base+"/metrics"); code != 200 || body != "metrics 1\n" {
		t.Errorf("metrics: %d %q", code, body)
	}
	fx.logic.deny.Store(true)
	if code, _, _ := get(t, base+"/"); code != 429 {
		t.Errorf("too many: %d", code)
	}
	resp, err := http.Post(base+"/announce", "text/plain", strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 405 {
		t.Errorf("POST: %d", resp.StatusCode)
	}
}

// TestHostile sends what is no HTTP, or too much of it: an error or a closed connection, and the server lives.
func TestHostile(t *testing.T) {
	fx := &fixture{}
	addr := start(t, fx)
	for _, in := range []string{
		"\x00\x01\x02\r\n\r\n",
		"GET /announce?" + strings.Repeat("a", 1<<17) + " HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("a", 1<<17) + "\r\n\r\n",
		"GET //../../etc/passwd HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
		"GET http://other/announce HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
		"\x13BitTorrent protocol" + strings.Repeat("\x00", 48) + "\r\n\r\n",
	} {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		_ = c.SetDeadline(time.Now().Add(5 * time.Second))
		go func() { _, _ = io.WriteString(c, in) }()
		line, err := bufio.NewReader(c).ReadString('\n')
		var wait net.Error
		if errors.As(err, &wait) && wait.Timeout() {
			t.Errorf("%.20q: left waiting", in)
		}
		if strings.Contains(line, " 200 ") && !strings.Contains(in, "other") {
			t.Errorf("%.20q: %s", in, line)
		}
		c.Close()
	}
	if code, _, _ := get(t, "http://"+addr+"/healthz"); code != 200 {
		t.Errorf("afterwards %d", code)
	}
}

func TestConnBound(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := newConnBound(2, 1, func(netip.Addr) bool { return false })
	bl := b.listen(l)
	one, two, three := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2"), netip.MustParseAddr("127.0.0.1")
	if !b.enter(one) || b.enter(one) || !b.enter(two) || !b.enter(three) || !b.enter(three) {
		t.Error("one connection an address, and loopback as it likes")
	}
	b.slots <- struct{}{}
	b.leave(one)
	if !b.enter(one) {
		t.Error("a place was not given back")
	}
	// Two in all: the third waits until one is closed, or for the end.
	dial := func() net.Conn {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	var conns []net.Conn
	for range 2 {
		dial()
		c, err := bl.Accept()
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, c)
	}
	dial()
	accepted := make(chan error, 2)
	go func() {
		for range 2 {
			c, err := bl.Accept()
			if err == nil {
				defer c.Close()
			}
			accepted <- err
		}
	}()
	select {
	case err := <-accepted:
		t.Errorf("a third connection was accepted: %v", err)
	case <-time.After(30 * time.Millisecond):
	}
	conns[0].Close()
	conns[0].Close() // twice is once
	if err := <-accepted; err != nil {
		t.Error(err)
	}
	b.stop()
	if err := <-accepted; !errors.Is(err, net.ErrClosed) {
		t.Errorf("at the end: %v", err)
	}
	conns[1].Close()
	l.Close()
}

func TestFormat(t *testing.T) {
	for n, want := range map[int64]string{-1: "?", 0: "0 B", 999: "999 B", 1000: "0.98 KiB", 1024: "1.00 KiB", 12_900: "12.6 KiB",
		1 << 20: "1.00 MiB", 1023 << 10: "1.00 MiB", 100 << 30: "100 GiB", 1 << 60: "1.00 EiB", 1<<63 - 1: "8.00 EiB"} {
		if got := formatBytes(n); got != want {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
	for d, want := range map[time.Duration]string{-1: "never", 0: "0s", 119 * time.Second: "119s", 3 * time.Hour: "3h", 10 * time.Minute: "10m", 100 * time.Hour: "4d"} {
		if got := formatAgo(d); got != want {
			t.Errorf("%s: %q, want %q", d, got, want)
		}
	}
	if got := readable("a\xff\x1b"); got != `a\xff\x1b` {
		t.Errorf("got %q", got)
	}
	if got := readable(strings.Repeat("x", 300)); len(got) != 203 {
		t.Errorf("%d bytes", len(got))
	}
}
