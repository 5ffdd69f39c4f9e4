package tracker

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"shoal/internal/bt/announce"
	"shoal/internal/bt/metainfo"
	"shoal/internal/bt/metainfo/build"
	"shoal/internal/topology"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// running is a tracker at work on 127.0.0.1, or wherever the options say.
type running struct {
	*Tracker
	t    *testing.T
	stop func()
}

func run(t *testing.T, o Options) *running {
	t.Helper()
	if o.Listen == "" {
		o.Listen = "127.0.0.1:0"
	}
	tr, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- tr.Run(ctx) }()
	r := &running{Tracker: tr, t: t}
	stopped := false
	r.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	}
	t.Cleanup(r.stop)
	return r
}

// from gives a client whose connections come from an address.
func from(ip string) *http.Client {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(ip)}}
	return &http.Client{Transport: &http.Transport{DialContext: d.DialContext, DisableKeepAlives: true}, Timeout: 10 * time.Second}
}

func (r *running) base() string { return "http://" + r.Addr().String() }

func (r *running) get(client *http.Client, url string) (int, string) {
	r.t.Helper()
	resp, err := client.Get(url)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func (r *running) http(ip string, req announce.Request) (announce.Response, error) {
	r.t.Helper()
	_, body := r.get(from(ip), string(req.AppendURL(nil, r.base()+"/announce")))
	return announce.ParseReply([]byte(body))
}

// udp exchanges datagrams from an address: connects, then sends what ask makes of the connection id.
func (r *running) udp(ip string, ask func(id uint64) []byte) []byte {
	r.t.Helper()
	c, err := net.DialUDP("udp", &net.UDPAddr{IP: net.ParseIP(ip)}, net.UDPAddrFromAddrPort(r.Addr()))
	if err != nil {
		r.t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	buf := make([]byte, 2048)
	exchange := func(pkt []byte) []byte {
		if _, err := c.Write(pkt); err != nil {
			r.t.Fatal(err)
		}
		n, err := c.Read(buf)
		if err != nil {
			r.t.Fatal(err)
		}
		return buf[:n]
	}
	id, err := announce.ParseUDPConnected(exchange(announce.AppendUDPConnect(nil, 1)))
	if err != nil {
		r.t.Fatal(err)
	}
	return exchange(ask(id))
}

func (r *running) announceUDP(ip string, req announce.Request) (announce.Response, error) {
	r.t.Helper()
	pkt := r.udp(ip, func(id uint64) []byte { return req.AppendUDP(nil, id, 2) })
	return announce.ParseUDPReply(pkt, r.Addr().Addr().Is6())
}

func peer(name byte, left int64) announce.Request {
	return announce.Request{InfoHash: metainfo.InfoHash{1}, PeerID: [20]byte{'-', name}, Port: 6881, NumWant: -1,
		Stats: announce.Stats{Left: left}, Event: announce.Started, Key: uint32(name), HasKey: true}
}

func wantPeers(t *testing.T, r announce.Response, err error, want ...string) {
	t.Helper()
	if err != nil {
		t.Error(err)
		return
	}
	got := []string{}
	for _, p := range r.Peers() {
		got = append(got, p.String())
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("got peers %q, want %q", got, want)
	}
}

// TestBothFronts meets the peers of both protocols in one swarm.
func TestBothFronts(t *testing.T) {
	tr := run(t, Options{Interval: 40 * time.Second})
	r, err := tr.http("127.0.0.1", peer('a', 0))
	wantPeers(t, r, err)
	if r.Interval != 40*time.Second || r.MinInterval != 20*time.Second || r.Seeds != 1 || r.ExternalIP.String() != "127.0.0.1" {
		t.Errorf("got %+v", r)
	}
	r, err = tr.announceUDP("127.0.0.2", peer('b', 5))
	wantPeers(t, r, err, "127.0.0.1:6881")
	if r.Interval != 40*time.Second || r.Seeds != 1 || r.Leeches != 1 {
		t.Errorf("got %+v", r)
	}
	r, err = tr.http("127.0.0.3", peer('c', 5))
	wantPeers(t, r, err, "127.0.0.1:6881", "127.0.0.2:6881")
	r, err = tr.announceUDP("127.0.0.4", peer('d', 0)) // a seed is told of leeches
	wantPeers(t, r, err, "127.0.0.2:6881", "127.0.0.3:6881")
	done := peer('b', 0)
	done.Event = announce.Completed
	r, err = tr.announceUDP("127.0.0.2", done)
	wantPeers(t, r, err, "127.0.0.3:6881")
	leave := peer('a', 0)
	leave.Event = announce.Stopped
	r, err = tr.http("127.0.0.1", leave)
	wantPeers(t, r, err)

	want := announce.Swarm{InfoHash: metainfo.InfoHash{1}, Seeds: 2, Leeches: 1, Downloaded: 1, Downloaders: 1}
	hashes := []metainfo.InfoHash{{1}, {9}}
	url, _ := announce.ScrapeURL(tr.base()+"/announce", hashes)
	_, body := tr.get(from("127.0.0.1"), url)
	got, err := announce.ParseScraped([]byte(body), 9)
	if err != nil || len(got) != 2 || got[0] != want || got[1] != (announce.Swarm{InfoHash: hashes[1]}) {
		t.Errorf("HTTP scrape: %+v, %v", got, err)
	}
	got, err = announce.ParseUDPScraped(tr.udp("127.0.0.1", func(id uint64) []byte {
		return announce.AppendUDPScrapeRequest(nil, id, 2, hashes)
	}), hashes)
	if want.Downloaders = -1; err != nil || got[0] != want {
		t.Errorf("UDP scrape: %+v, %v", got, err)
	}
	if _, body := tr.get(from("127.0.0.1"), tr.base()+"/scrape"); !strings.Contains(body, "does not tell about all") {
		t.Errorf("full scrape: %q", body)
	}
}

func TestFullScrape(t *testing.T) {
	tr := run(t, Options{FullScrape: true})
	for i := range 3 {
		p := peer('a', 1)
		p.InfoHash = metainfo.InfoHash{byte(i)}
		if _, err := tr.http("127.0.0.1", p); err != nil {
			t.Fatal(err)
		}
	}
	_, body := tr.get(from("127.0.0.1"), tr.base()+"/scrape")
	if got, err := announce.ParseScraped([]byte(body), 9); err != nil || len(got) != 3 {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestDualStack listens on all addresses of both families with one port.
func TestDualStack(t *testing.T) {
	tr := run(t, Options{Listen: ":0"})
	port := tr.Addr().Port()
	if len(tr.sockets.tcp) != 2 {
		t.Skip("no IPv6 here")
	}
	ask := func(ip string, req announce.Request) announce.Response {
		t.Helper()
		_, body := tr.get(from(ip), string(req.AppendURL(nil, "http://"+net.JoinHostPort(ip, fmt.Sprint(port))+"/announce")))
		r, err := announce.ParseReply([]byte(body))
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	ask("127.0.0.1", peer('a', 0))
	wantPeers(t, ask("::1", peer('b', 1)), nil, "127.0.0.1:6881")
	wantPeers(t, ask("127.0.0.2", peer('c', 1)), nil, "127.0.0.1:6881", "[::1]:6881")
	one := peer('c', 1)
	one.NumWant = 1
	wantPeers(t, ask("127.0.0.2", one), nil, "127.0.0.1:6881") // its own family first
	// UDP over IPv6 knows IPv6 peers only.
	c, err := net.Dial("udp", fmt.Sprintf("[::1]:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	buf := make([]byte, 2048)
	exchange := func(pkt []byte) []byte {
		if _, err := c.Write(pkt); err != nil {
			t.Fatal(err)
		}
		n, err := c.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		return buf[:n]
	}
	id, err := announce.ParseUDPConnected(exchange(announce.AppendUDPConnect(nil, 1)))
	if err != nil {
		t.Fatal(err)
	}
	d := peer('d', 1)
	d.Port = 7000
	r, err := announce.ParseUDPReply(exchange(d.AppendUDP(nil, id, 1)), true)
	wantPeers(t, r, err, "[::1]:6881")
}

// TestClaims: an address that is only claimed counts from loopback and trusted proxies, which here are given
// as what the requests were forwarded for.
func TestClaims(t *testing.T) {
	tr := run(t, Options{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32"), netip.MustParsePrefix("10.7.0.0/16")}})
	via := func(forwarded string, req announce.Request) (announce.Response, error) {
		hr, err := http.NewRequest("GET", string(req.AppendURL(nil, tr.base()+"/announce")), nil)
		if err != nil {
			t.Fatal(err)
		}
		if forwarded != "" {
			hr.Header.Set("X-Forwarded-For", forwarded)
		}
		resp, err := from("127.0.0.1").Do(hr)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		return announce.ParseReply(body)
	}
	a := peer('a', 1)
	a.IP = netip.MustParseAddr("192.0.2.99")
	if _, err := via("198.51.100.1", a); err != nil { // a stranger's claim
		t.Fatal(err)
	}
	b := peer('b', 1)
	b.IP, b.V6 = netip.MustParseAddr("192.0.2.50"), netip.MustParseAddrPort("[2001:db8::50]:7")
	r, err := via("", b) // loopback
	wantPeers(t, r, err, "198.51.100.1:6881")
	c := peer('c', 1)
	c.IP = netip.MustParseAddr("192.0.2.51")
	r, err = via("10.7.1.1", c) // a trusted one
	wantPeers(t, r, err, "198.51.100.1:6881", "192.0.2.50:6881", "[2001:db8::50]:7")
	d := peer('d', 1)
	d.IP = netip.MustParseAddr("0.0.0.0")
	r, err = via("198.51.100.2", d)
	wantPeers(t, r, err, "198.51.100.1:6881", "192.0.2.50:6881", "192.0.2.51:6881", "[2001:db8::50]:7")
}

func TestRateLimit(t *testing.T) {
	tr := run(t, Options{Limits: Limits{Rate: 0.001, Burst: 2}, TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.9/32")}})
	client := from("127.0.0.9")
	ask := func(path string) (int, string) {
		hr, err := http.NewRequest("GET", path, nil)
		if err != nil {
			t.Fatal(err)
		}
		hr.Header.Set("X-Forwarded-For", "198.51.100.1")
		resp, err := client.Do(hr)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(body)
	}
	p := peer('a', 1)
	url := string(p.AppendURL(nil, tr.base()+"/announce"))
	for i, want := range []string{"interval", "interval", "too many requests", "too many requests"} {
		if _, body := ask(url); !strings.Contains(body, want) {
			t.Errorf("request %d: %q", i, body)
		}
	}
	if code, _ := ask(tr.base() + "/"); code != 429 {
		t.Errorf("page: %d", code)
	}
	if _, err := tr.http("127.0.0.1", p); err != nil {
		t.Errorf("loopback: %v", err)
	}
	if _, body := tr.get(from("127.0.0.1"), tr.base()+"/metrics"); !strings.Contains(body, `shoal_tracker_refused_total{proto="http",reason="rate"} 2`) {
		t.Errorf("metrics: %s", grep(body, "refused"))
	}
}

func grep(text, what string) string {
	var out []string
	for _, l := range strings.Split(text, "\n") {
		if strings.Contains(l, what) {
			out = append(out, l)
		}
	}
	return strings.Join(out, "\n")
}

func TestFull(t *testing.T) {
	tr := run(t, Options{Limits: Limits{SwarmPeers: 1, Swarms: 1}})
	if _, err := tr.http("127.0.0.1", peer('a', 1)); err != nil {
		t.Fatal(err)
	}
	_, err := tr.http("127.0.0.2", peer('b', 1))
	if err == nil || !strings.Contains(err.Error(), "as many peers") {
		t.Errorf("second peer: %v", err)
	}
	p := peer('b', 1)
	p.InfoHash[5] = 1
	if _, err = tr.announceUDP("127.0.0.2", p); err == nil || !strings.Contains(err.Error(), "as many swarms") {
		t.Errorf("second swarm: %v", err)
	}
}

func metafile(t *testing.T, dir, name string) *metainfo.Metafile {
	t.Helper()
	src := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(src, []byte("content of "+name), 0o644); err != nil {
		t.Fatal(err)
	}
	m, err := build.Build(context.Background(), src, build.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name+".torrent"), m.Encode(), 0o644); err != nil {
		t.Fatal(err)
	}
	return m
}

// TestAllowDir serves only what is in the folder, as it comes and goes, and both swarms of a hybrid.
func TestAllowDir(t *testing.T) {
	dir := t.TempDir()
	m := metafile(t, dir, "app@1")
	tr := run(t, Options{AllowDir: dir, FullScrape: true})
	p := peer('a', 0)
	_, err := tr.http("127.0.0.1", p)
	if err == nil || !strings.Contains(err.Error(), "does not serve this swarm") {
		t.Errorf("unknown swarm: %v", err)
	}
	for _, h := range m.Info.Swarms() {
		p.InfoHash = h
		if _, err := tr.announceUDP("127.0.0.1", p); err != nil {
			t.Errorf("%s: %v", h, err)
		}
	}
	_, page := tr.get(from("127.0.0.1"), tr.base()+"/")
	for _, want := range []string{"app@1", "hybrid, v1 swarm", "hybrid, v2 swarm", "16 B", "/torrents/app@1.torrent"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if code, body := tr.get(from("127.0.0.1"), tr.base()+"/torrents/app@1.torrent"); code != 200 || body != string(m.Encode()) {
		t.Errorf("metafile: %d, %d bytes", code, len(body))
	}
	if _, body := tr.get(from("127.0.0.1"), tr.base()+"/scrape"); !strings.Contains(body, "4:name5:app@1") {
		t.Errorf("scrape: %q", body)
	}
	if err := os.Remove(filepath.Join(dir, "app@1.torrent")); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(15 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if _, err := tr.http("127.0.0.1", p); err != nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the swarm is served after its metafile was removed")
		}
	}
}

// TestRestart forgets no swarm, no completed count and no peer.
func TestRestart(t *testing.T) {
	state := filepath.Join(t.TempDir(), "state")
	tr := run(t, Options{StateFile: state})
	if _, err := tr.http("127.0.0.1", peer('a', 0)); err != nil {
		t.Fatal(err)
	}
	b := peer('b', 7)
	if _, err := tr.http("127.0.0.2", b); err != nil {
		t.Fatal(err)
	}
	b.Left, b.Downloaded, b.Event = 0, 7, announce.Completed
	if _, err := tr.http("127.0.0.2", b); err != nil {
		t.Fatal(err)
	}
	tr.stop()
	tr = run(t, Options{StateFile: state})
	r, err := tr.http("127.0.0.3", peer('c', 7))
	wantPeers(t, r, err, "127.0.0.1:6881", "127.0.0.2:6881")
	if r.Downloaded != 1 || r.Seeds != 2 {
		t.Errorf("got %+v", r)
	}
	if st, _ := tr.store.Swarm(metainfo.InfoHash{1}); st.Down != 7 {
		t.Errorf("%d bytes moved, want 7", st.Down)
	}
}

// TestCrash copies the state from under a running tracker, as a kill would leave it: a new swarm and a
// completed download are safe within seconds.
func TestCrash(t *testing.T) {
	dir := t.TempDir()
	state := filepath.Join(dir, "state")
	tr := run(t, Options{StateFile: state})
	done := peer('a', 0)
	done.Event = announce.Completed
	if _, err := tr.http("127.0.0.1", done); err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(dir, "copy")
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		raw, err := os.ReadFile(state)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(other, raw, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := restore(other, tr.storeOptions(), time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if st, ok := s.Swarm(metainfo.InfoHash{1}); ok && st.Completed == 1 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("not saved")
		}
	}
}

func TestStateErrors(t *testing.T) {
	dir := t.TempDir()
	old := filepath.Join(dir, "dstate")
	if err := os.WriteFile(old, []byte("d9:completedde5:peersdee"), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := New(Options{Listen: "127.0.0.1:0", StateFile: old})
	if err == nil || !strings.Contains(err.Error(), "will not be overwritten") {
		t.Errorf("a foreign file: %v", err)
	}
	_, err = New(Options{Listen: "127.0.0.1:0", StateFile: filepath.Join(dir, "none", "state")})
	if err == nil || !strings.Contains(err.Error(), "none") {
		t.Errorf("a missing folder: %v", err)
	}
	empty := filepath.Join(dir, "empty")
	if err := os.WriteFile(empty, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	tr, err := New(Options{Listen: "127.0.0.1:0", StateFile: empty})
	if err != nil {
		t.Fatal(err)
	}
	if err := tr.Close(); err != nil {
		t.Error(err)
	}
	raw, err := os.ReadFile(empty)
	if err != nil || len(raw) == 0 {
		t.Fatalf("%d bytes, %v", len(raw), err)
	}
	raw[len(raw)-1]++
	if err := os.WriteFile(empty, raw, 0o644); err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	tr, err = New(Options{Listen: "127.0.0.1:0", StateFile: empty, Log: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	tr.Close()
	if aside, err := os.ReadFile(empty + ".damaged"); err != nil || string(aside) != string(raw) || !strings.Contains(log.String(), "damaged") {
		t.Errorf("a damaged file was not put aside: %v, log %q", err, log.String())
	}
}

// TestRequestLog checks the lines, and that a renamed log goes on under its name.
func TestRequestLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tracker.log")
	tr := run(t, Options{LogFile: path})
	if _, err := tr.http("127.0.0.1", peer('a', 5)); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	if err := tr.Reopen(); err != nil {
		t.Fatal(err)
	}
	b := peer('b', 0)
	b.Event = announce.None
	if _, err := tr.announceUDP("127.0.0.2", b); err != nil {
		t.Fatal(err)
	}
	tr.get(from("127.0.0.1"), tr.base()+"/scrape")
	tr.stop()
	hash, id := "01"+strings.Repeat("00", 19), strings.Repeat("00", 18)
	when := `^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z `
	for file, want := range map[string][]string{
		path + ".1": {"http announce 127.0.0.1 " + hash + " peer=2d61" + id + " port=6881 event=started up=0 down=0 left=5 seeds=0 leeches=1 given=0"},
		path: {"udp announce 127.0.0.2 " + hash + " peer=2d62" + id + " port=6881 up=0 down=0 left=0 seeds=1 leeches=1 given=1",
			`http scrape 127.0.0.1 all refused="this tracker does not tell about all swarms; name them by info_hash"`},
	} {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSuffix(string(raw), "\n"), "\n")
		if len(lines) != len(want) {
			t.Errorf("%s: %q", file, lines)
			continue
		}
		for i, l := range lines {
			if ok, _ := regexp.MatchString(when+regexp.QuoteMeta(want[i])+"$", l); !ok {
				t.Errorf("got  %s\nwant %s", l, want[i])
			}
		}
	}
	if _, err := New(Options{Listen: "127.0.0.1:0", LogFile: filepath.Join(path, "x")}); err == nil {
		t.Error("a log that cannot be opened was taken")
	}
}

func TestPlaces(t *testing.T) {
	places, err := topology.Parse([]byte("datacenters: [{name: fra, cidrs: [127.0.1.0/24]}, {name: nyc, cidrs: [127.0.2.0/24]}]"))
	if err != nil {
		t.Fatal(err)
	}
	tr := run(t, Options{Topology: places})
	for i, ip := range []string{"127.0.1.1", "127.0.1.2", "127.0.2.1", "127.0.3.1"} {
		if _, err := tr.http(ip, peer('a'+byte(i), 1)); err != nil {
			t.Fatal(err)
		}
	}
	if _, page := tr.get(from("127.0.0.1"), tr.base()+"/"); !strings.Contains(page, "fra 2 · nyc 1 · unknown 1") {
		t.Errorf("the page lacks places:\n%s", page)
	}
}

// TestSite: a shoal peer is told over HTTP which data centre it is in and who else is; nobody else is told.
func TestSite(t *testing.T) {
	places, err := topology.Parse([]byte("datacenters: [{name: fra, cidrs: [127.0.1.0/24]}, {name: nyc, cidrs: [127.0.2.0/24]}]"))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		o      Options
		ip, dc string
	}{
		{Options{Topology: places}, "127.0.1.1", "fra"}, {Options{Topology: places}, "127.0.3.1", ""}, {Options{}, "127.0.1.1", ""},
	} {
		tr := run(t, c.o)
		if r, err := tr.http("127.0.2.1", peer('z', 1)); err != nil || r.Site.Epoch != 0 {
			t.Errorf("a stock client was told %+v, %v", r.Site, err)
		}
		req := peer('a', 1)
		req.Shoal = true
		r, err := tr.http(c.ip, req)
		if err != nil || r.Site.DC != c.dc || r.Site.Epoch == 0 || r.Site.Self.String() != c.ip+":6881" || !slices.Contains(r.Site.Members(), r.Site.Self) {
			t.Errorf("%s: told %+v, %v; want %q", c.ip, r.Site, err, c.dc)
		}
		wantPeers(t, r, err, "127.0.2.1:6881")
	}
}

// TestWays: where links or regions differ a shoal peer is told how dear the ways are.
func TestWays(t *testing.T) {
	const places = "datacenters: [{name: fra, region: eu, cidrs: [127.0.1.0/24]}, {name: ams, region: eu, cidrs: [127.0.2.0/24]}, " +
		"{name: nyc, region: us, cidrs: [127.0.3.0/24]}]\n"
	for _, c := range []struct {
		text string
		want map[string]byte
	}{
		{strings.NewReplacer("region: eu, ", "", "region: us, ", "").Replace(places), nil}, // all alike
		{places, map[string]byte{"ams-fra": 0, "fra-nyc": 1, "ams-nyc": 1}},
		{places + "links: [{between: [ams, nyc], cost: 3}, {between: [fra, nyc], cost: 0.5}]", map[string]byte{"fra-nyc": 0, "ams-fra": 1, "ams-nyc": 3}},
	} {
		file, err := topology.Parse([]byte(c.text))
		if err != nil {
			t.Fatal(err)
		}
		tr := run(t, Options{Topology: file})
		var r announce.Response
		for i, ip := range []string{"127.0.2.1", "127.0.3.1", "127.0.1.1"} {
			req := peer('a'+byte(i), 1)
			req.Shoal = true
			if r, err = tr.http(ip, req); err != nil {
				t.Fatal(err)
			}
		}
		n := 0
		for pair, dear := range r.Site.EachWay() {
			n++
			if want, known := c.want[min(pair[0], pair[1])+"-"+max(pair[0], pair[1])]; !known || dear != want {
				t.Errorf("%v: %d, want %d", pair, dear, want)
			}
		}
		if n != len(c.want) {
			t.Errorf("%d ways were told of %d", n, len(c.want))
		}
	}
}

func TestMetrics(t *testing.T) {
	tr := run(t, Options{StateFile: filepath.Join(t.TempDir(), "state")})
	if _, err := tr.http("127.0.0.1", peer('a', 0)); err != nil {
		t.Fatal(err)
	}
	if _, err := tr.announceUDP("127.0.0.2", peer('b', 1)); err != nil {
		t.Fatal(err)
	}
	tr.get(from("127.0.0.1"), tr.base()+"/announce?x")
	code, body := tr.get(from("127.0.0.1"), tr.base()+"/metrics")
	for _, want := range []string{
		`shoal_tracker_announces_total{event="started",proto="http"} 1`, `shoal_tracker_announces_total{event="started",proto="udp"} 1`,
		`shoal_tracker_malformed_total{proto="http"} 1`, "shoal_tracker_peers_given_total 1", "shoal_tracker_udp_connects_total 1",
		"shoal_tracker_swarms 1", `shoal_tracker_peers{kind="seed"} 1`, `shoal_tracker_peers{kind="leech"} 1`, "shoal_tracker_state_save_seconds ", "go_goroutines ",
	} {
		if code != 200 || !strings.Contains(body, want) {
			t.Errorf("%d, the metrics lack %q:\n%s", code, want, grep(body, "shoal"))
		}
	}
	if code, body := tr.get(from("127.0.0.1"), tr.base()+"/healthz"); code != 200 || body != "ok\n" {
		t.Errorf("healthz: %d %q", code, body)
	}
}

// TestConnectBack: of two peers that join, the one that does not listen is named.
func TestConnectBack(t *testing.T) {
	listen := func(port string) net.Listener {
		t.Helper()
		l, err := net.Listen("tcp", "127.0.0.1:"+port)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = l.Close() })
		return l
	}
	portOf := func(l net.Listener) string {
		_, port, _ := net.SplitHostPort(l.Addr().String())
		return port
	}
	open, shut := listen("0"), listen("0")
	_ = shut.Close()
	r := run(t, Options{ConnectBack: true})
	for n, l := range []net.Listener{open, shut} {
		id := fmt.Sprintf("-XX0000-%012d", n)
		if code, body := r.get(http.DefaultClient, r.base()+"/announce?info_hash="+strings.Repeat("h", 20)+"&peer_id="+id+"&left=1&event=started&port="+portOf(l)); code != 200 {
			t.Fatalf("%d %s", code, body)
		}
	}
	named := func(what string) (doc string) {
		t.Helper()
		for range 300 {
			if _, doc = r.get(http.DefaultClient, r.base()+"/ledger.json"); strings.Contains(doc, "unreachable") {
				return doc
			}
			time.Sleep(100 * time.Millisecond)
		}
		t.Fatalf("%s: %s", what, doc)
		return ""
	}
	doc := named("nobody is named")
	if want := `"unreachable":[{"peer":"127.0.0.1:` + portOf(shut) + `",`; !strings.Contains(doc, want) || strings.Contains(doc, portOf(open)) || !strings.Contains(doc, `"refused"`) {
		t.Errorf("%s, want %s", doc, want)
	}
	if _, page := r.get(http.DefaultClient, r.base()+"/"); !strings.Contains(page, "1 cannot be connected to") || !strings.Contains(page, shut.Addr().String()) {
		t.Errorf("the page does not say it: %s", page)
	}
	if _, metrics := r.get(http.DefaultClient, r.base()+"/metrics"); !strings.Contains(metrics, "\nshoal_tracker_unreachable_peers 1\n") {
		t.Error("the metrics do not count it")
	}
}

func TestNewErrors(t *testing.T) {
	busy := run(t, Options{})
	for _, c := range []struct {
		o    Options
		want string
	}{
		{Options{Listen: "6969"}, "host:port"},
		{Options{Listen: ":http:x"}, "host:port"},
		{Options{Listen: ":99999"}, "not a number from 0 to 65535"},
		{Options{Listen: "203.0.113.7:0"}, "cannot listen at 203.0.113.7:0"},
		{Options{Listen: busy.Addr().String()}, "address already in use"},
		{Options{Interval: time.Second}, "not between 10s and 24h"},
		{Options{Limits: Limits{Peers: -1}}, "below zero"},
		{Options{Listen: "127.0.0.1:0", AllowDir: "/does/not/exist"}, "folder of metafiles"},
	} {
		tr, err := New(c.o)
		if err == nil {
			tr.Close()
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %q", c.o, err, c.want)
		}
	}
	busy.stop()
	if err := busy.Run(context.Background()); err == nil {
		t.Error("it ran twice")
	}
}

func TestRateMeter(t *testing.T) {
	var m rateMeter
	t0 := time.Unix(1000, 0)
	for _, c := range []struct {
		n    uint64
		at   time.Duration
		want float64
	}{{0, 0, 0}, {50, 5 * time.Second, 10}, {100, 10 * time.Second, 10}, {100, 20 * time.Second, 0}, {300, 30 * time.Second, 20}} {
		if got := m.of(c.n, t0.Add(c.at)); got != c.want {
			t.Errorf("%d at %s: %v, want %v", c.n, c.at, got, c.want)
		}
	}
}
