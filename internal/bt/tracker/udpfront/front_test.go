package udpfront

import (
	"bytes"
	"context"
	"encoding/binary"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"shoal/internal/bt/announce"
	"shoal/internal/bt/metainfo"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// scripted answers every announce with one peer, and refuses swarms that start with 'x'.
type scripted struct{ connected, dropped atomic.Int64 }

func (s *scripted) Connected() { s.connected.Add(1) }
func (s *scripted) Dropped()   { s.dropped.Add(1) }

func (s *scripted) Announce(_ time.Time, from netip.Addr, r *announce.Request, out *announce.Response) *announce.Failure {
	if r.InfoHash[0] == 'x' {
		return &announce.Failure{Reason: "not here"}
	}
	out.Interval, out.Seeds, out.Leeches = time.Minute, int(r.Key), len(r.URLData)
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

// start runs a front on one socket bound to an address, and gives its port.
func start(t *testing.T, network, at string) (*scripted, int) {
	t.Helper()
	s, err := net.ListenUDP(network, net.UDPAddrFromAddrPort(netip.MustParseAddrPort(at)))
	if err != nil {
		t.Skipf("no %s here: %v", network, err)
	}
	logic := &scripted{}
	f, err := New([]*net.UDPConn{s}, logic, logic, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return logic, s.LocalAddr().(*net.UDPAddr).Port
}

type client struct {
	t *testing.T
	*net.UDPConn
}

func dial(t *testing.T, from, to string, port int) client {
	t.Helper()
	raddr := &net.UDPAddr{IP: net.ParseIP(to), Port: port}
	var laddr *net.UDPAddr
	if from != "" {
		laddr = &net.UDPAddr{IP: net.ParseIP(from)}
	}
	c, err := net.DialUDP("udp", laddr, raddr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return client{t, c}
}

func (c client) ask(pkt []byte) []byte {
	c.t.Helper()
	if _, err := c.Write(pkt); err != nil {
		c.t.Fatal(err)
	}
	_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
	buf := make([]byte, 4096)
	n, err := c.Read(buf)
	if err != nil {
		c.t.Fatalf("no answer: %v", err)
	}
	return buf[:n]
}

// silent checks that datagrams get no answer: the next answer is that of a connect sent behind them.
func (c client) silent(pkts ...[]byte) {
	c.t.Helper()
	for _, p := range pkts {
		if _, err := c.Write(p); err != nil {
			c.t.Fatal(err)
		}
	}
	if tx, _ := announce.UDPTx(c.ask(announce.AppendUDPConnect(nil, 0xffff))); tx != 0xffff {
		c.t.Errorf("an answer to what should get none")
	}
}

func (c client) connect() uint64 {
	c.t.Helper()
	id, err := announce.ParseUDPConnected(c.ask(announce.AppendUDPConnect(nil, 7)))
	if err != nil {
		c.t.Fatal(err)
	}
	return id
}

func TestServe(t *testing.T) {
	for _, c := range []struct{ network, bind, from, to string }{
		{"udp4", "127.0.0.1:0", "", "127.0.0.1"},
		{"udp4", "0.0.0.0:0", "127.0.0.3", "127.0.0.9"}, // answered from .9, or the connected socket would not get it
		{"udp6", "[::1]:0", "", "::1"},
		{"udp6", "[::]:0", "", "::1"},
	} {
		t.Run(c.network+c.bind, func(t *testing.T) {
			logic, port := start(t, c.network, c.bind)
			cl := dial(t, c.from, c.to, port)
			id := cl.connect()
			r := announce.Request{InfoHash: metainfo.InfoHash{1}, Port: 99, Key: 5, NumWant: -1, URLData: "/announce"}
			v6 := c.network == "udp6"
			got, err := announce.ParseUDPReply(cl.ask(r.AppendUDP(nil, id, 8)), v6)
			if err != nil {
				t.Fatal(err)
			}
			self := netip.AddrPortFrom(cl.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap(), 99)
			if got.Interval != time.Minute || got.Seeds != 5 || got.Leeches != 9 || !slices.Equal(got.Peers(), []netip.AddrPort{self}) {
				t.Errorf("got %+v with peers %v", got, got.Peers())
			}
			hashes := []metainfo.InfoHash{{3}, {1}}
			swarms, err := announce.ParseUDPScraped(cl.ask(announce.AppendUDPScrapeRequest(nil, id, 9, hashes)), hashes)
			if err != nil || swarms[0].Seeds != 3 || swarms[1].Seeds != 1 {
				t.Errorf("scrape: %+v, %v", swarms, err)
			}
			if n := logic.connected.Load(); n != 1 {
				t.Errorf("%d connects counted", n)
			}
		})
	}
}

// TestHostile: what is not of the protocol gets nothing, what may be forged gets nothing longer than itself,
// and what the protocol can refuse gets its error.
func TestHostile(t *testing.T) {
	logic, port := start(t, "udp4", "127.0.0.1:0")
	cl := dial(t, "", "127.0.0.1", port)
	id := cl.connect()
	ok := (&announce.Request{InfoHash: metainfo.InfoHash{1}}).AppendUDP(nil, id, 1)
	forged := (&announce.Request{InfoHash: metainfo.InfoHash{1}}).AppendUDP(nil, id+1, 1)
	notConnect := announce.AppendUDPConnect(nil, 1)
	notConnect[0]++
	cl.silent([]byte{}, []byte("x"), ok[:15], notConnect, bytes.Repeat([]byte{0xff}, 2000), forged[:20], make([]byte, 60000))
	if logic.dropped.Load() == 0 {
		t.Error("nothing was counted as dropped")
	}
	errorOf := func(pkt []byte, want string) {
		t.Helper()
		got := cl.ask(pkt)
		if binary.BigEndian.Uint32(got) != uint32(announce.ActionError) || string(got[8:]) != want {
			t.Errorf("got %q, want %q", got, want)
		}
		if tx, _ := announce.UDPTx(got); tx != binary.BigEndian.Uint32(pkt[12:]) {
			t.Errorf("transaction %d", tx)
		}
	}
	errorOf(forged, "connection id expired")
	errorOf(ok[:97], "announce is shorter than 98 bytes")
	errorOf((&announce.Request{InfoHash: metainfo.InfoHash{'x'}}).AppendUDP(nil, id, 1), "not here")
	errorOf(announce.AppendUDPScrapeRequest(nil, id, 1, nil), "scrape names no info-hash")
	errorOf(announce.AppendUDPScrapeRequest(nil, id, 1, []metainfo.InfoHash{{'x'}}), "not here")
	strange := slices.Clone(ok[:16])
	strange[11] = 3
	errorOf(strange, "action 3 is not known")
	// The id of one address is not good for another.
	other := dial(t, "127.0.0.2", "127.0.0.1", port)
	if got := other.ask(ok); binary.BigEndian.Uint32(got) != uint32(announce.ActionError) {
		t.Errorf("a stolen connection id was taken: %x", got)
	}
}

func TestConnIDs(t *testing.T) {
	key, err := newKey()
	if err != nil {
		t.Fatal(err)
	}
	c, err := newConnIDs(key)
	if err != nil {
		t.Fatal(err)
	}
	twin, _ := newConnIDs(key)
	a, b := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("fd00::1")
	now := time.Unix(1_700_000_000, 0).Truncate(slotTime)
	id := c.make(a, now.Add(59*time.Second))
	for _, x := range []struct {
		id   uint64
		from netip.Addr
		at   time.Duration
		want bool
	}{
		{id, a, 59 * time.Second, true}, {id, a, 179 * time.Second, true}, {id, a, 180 * time.Second, false},
		{id, a, -time.Second, false}, {id, b, 0, false}, {id ^ 1, a, 0, false}, {0, a, 0, false},
		{c.make(b, now), b, 0, true},
	} {
		if got := twin.valid(x.id, x.from, now.Add(x.at)); got != x.want {
			t.Errorf("%x of %s after %s: %v", x.id, x.from, x.at, got)
		}
	}
	if _, err := newConnIDs(nil); err == nil {
		t.Error("a key of no bytes was taken")
	}
}

// FuzzAnswer: whatever comes in, nothing panics, and who is not trusted gets no more bytes than he sent.
func FuzzAnswer(f *testing.F) {
	logic := &scripted{}
	w := testWorker(f, logic)
	ids := w.ids
	from, now := netip.MustParseAddr("10.0.0.1"), time.Unix(1_700_000_000, 0)
	f.Add(announce.AppendUDPConnect(nil, 1), false)
	f.Add((&announce.Request{URLData: "/x"}).AppendUDP(nil, 1, 1), true)
	f.Add(announce.AppendUDPScrapeRequest(nil, 1, 1, []metainfo.InfoHash{{1}}), true)
	f.Add([]byte{}, false)
	f.Fuzz(func(t *testing.T, pkt []byte, trusted bool) {
		pkt = slices.Clone(pkt) // the fuzzer keeps what it made
		if trusted && len(pkt) >= 8 {
			binary.BigEndian.PutUint64(pkt, ids.make(from, now))
		}
		got := w.answer(nil, pkt, from, now)
		if len(got) > announce.MaxPacket {
			t.Fatalf("an answer of %d bytes", len(got))
		}
		if !trusted && len(got) > len(pkt) {
			t.Fatalf("%d bytes for %d", len(got), len(pkt))
		}
	})
}

func testWorker(tb testing.TB, logic *scripted) *worker {
	ids, err := newConnIDs([]byte("0123456789abcdef"))
	if err != nil {
		tb.Fatal(err)
	}
	front := &Front{logic: logic, counters: logic, log: slog.New(slog.DiscardHandler)}
	return &worker{Front: front, ids: ids}
}

func BenchmarkAnswer(b *testing.B) {
	logic := &scripted{}
	w := testWorker(b, logic)
	from, now := netip.MustParseAddr("10.0.0.1"), time.Unix(1_700_000_000, 0)
	pkt := (&announce.Request{InfoHash: metainfo.InfoHash{1}}).AppendUDP(nil, w.ids.make(from, now), 1)
	buf := make([]byte, 0, 1500)
	b.ReportAllocs()
	for b.Loop() {
		w.answer(buf, pkt, from, now)
	}
}
