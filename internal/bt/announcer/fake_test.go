package announcer

import (
	"context"
	"encoding/binary"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"shoal/internal/bt/announce"
	"shoal/internal/bt/metainfo"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patient = time.Minute // a busy machine may stop a test for a while

var (
	hashA = metainfo.InfoHash{0xaa, 0, '%', ' '}
	hashB = metainfo.InfoHash{0xbb}
	peerX = netip.MustParseAddrPort("127.0.0.9:6881")
)

// fake is a tracker that answers over HTTP or UDP what reply says and tells seen.
type fake struct {
	seen     chan announce.Request
	reply    func(announce.Request) (announce.Response, *announce.Failure)
	connects atomic.Int32
	mute     atomic.Bool   // answers nothing
	lose     atomic.Int32  // UDP: datagrams to drop
	idEpoch  atomic.Uint64 // UDP: part of the connection ids; a change makes old ones invalid
}

func newFake() *fake {
	f := &fake{seen: make(chan announce.Request, 100)}
	f.reply = func(announce.Request) (announce.Response, *announce.Failure) {
		r := announce.Response{Interval: 30 * time.Minute, Seeds: 1, Leeches: 2}
		r.Add(peerX)
		return r, nil
	}
	return f
}

func (f *fake) serveHTTP(w http.ResponseWriter, r *http.Request) {
	req, err := announce.ParseQuery(r.URL.RawQuery)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	f.seen <- req
	if f.mute.Load() {
		<-r.Context().Done()
		return
	}
	resp, refused := f.reply(req)
	if refused != nil {
		w.Write(refused.AppendReply(nil))
		return
	}
	w.Write(resp.AppendReply(nil, req.Full))
}

// http starts the fake on a free port and gives its announce URL.
func (f *fake) http(t *testing.T) string {
	s := httptest.NewServer(http.HandlerFunc(f.serveHTTP))
	t.Cleanup(s.Close)
	return s.URL + "/announce?pass=x"
}

// udp starts the fake on a free port.
func (f *fake) udp(t *testing.T) string {
	return "udp://" + f.udpAt(t, "127.0.0.1:0") + "/announce?pass=x"
}

func (f *fake) udpAt(t *testing.T, addr string) string {
	t.Helper()
	conn, err := net.ListenPacket("udp", addr)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { defer close(done); f.serveUDP(conn) }()
	t.Cleanup(func() { conn.Close(); <-done })
	return conn.LocalAddr().String()
}

func (f *fake) serveUDP(conn net.PacketConn) {
	buf := make([]byte, 4096)
	for {
		n, from, err := conn.ReadFrom(buf)
		if err != nil {
			return
		}
		if out := f.answerUDP(buf[:n], from.(*net.UDPAddr).IP.To4() == nil); out != nil {
			stray := binary.BigEndian.AppendUint64(nil, 12345) // of another transaction
			conn.WriteTo(stray, from)
			conn.WriteTo(out, from)
		}
	}
}

func (f *fake) answerUDP(pkt []byte, v6 bool) []byte {
	head, err := announce.ParseUDPHead(pkt)
	if err != nil || f.lose.Add(-1) >= 0 || f.mute.Load() {
		return nil
	}
	id := 0xabcd + f.idEpoch.Load()
	if head.Action == announce.ActionConnect {
		f.connects.Add(1)
		return announce.AppendUDPConnected(nil, head.Tx, id)
	}
	if head.ConnID != id {
		return (&announce.Failure{Reason: "connection id"}).AppendUDPError(nil, head.Tx)
	}
	req, err := announce.ParseUDPAnnounce(pkt)
	if err != nil {
		return nil
	}
	f.seen <- req
	resp, refused := f.reply(req)
	if refused != nil {
		return refused.AppendUDPError(nil, head.Tx)
	}
	return resp.AppendUDPReply(nil, head.Tx, v6)
}

// next is the next announce that the fake saw.
func (f *fake) next(t *testing.T) announce.Request {
	t.Helper()
	select {
	case r := <-f.seen:
		return r
	case <-time.After(patient):
		t.Fatal("the tracker saw no announce")
		panic("unreachable")
	}
}

// found is one call of Options.Found.
type found struct {
	swarm metainfo.InfoHash
	peers []netip.AddrPort
}

// running is an Announcer under test.
type running struct {
	*Announcer
	found chan found
	stop  func() // ends Run and waits
}

func start(t *testing.T, tiers [][]string, swarms ...metainfo.InfoHash) *running {
	return startWith(t, Options{Tiers: tiers, Swarms: swarms})
}

func startWith(t *testing.T, o Options) *running {
	t.Helper()
	r := &running{found: make(chan found, 100)}
	if len(o.Swarms) == 0 {
		o.Swarms = []metainfo.InfoHash{hashA}
	}
	o.PeerID = [20]byte([]byte("-SH0001-abcdefghijkl"))
	o.Port, o.Key, o.NumWant = 7000, 0xfeedbeef, 33
	o.Log = slog.New(slog.DiscardHandler)
	o.Stats = func() announce.Stats { return announce.Stats{Uploaded: 1, Downloaded: 2, Left: 3} }
	o.Found = func(swarm metainfo.InfoHash, peers []netip.AddrPort) { r.found <- found{swarm, peers} }
	a, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	r.Announcer = a
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
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

func (r *running) nextFound(t *testing.T) found {
	t.Helper()
	select {
	case f := <-r.found:
		return f
	case <-time.After(patient):
		t.Fatalf("no peers were found; trackers: %+v", r.Status())
		panic("unreachable")
	}
}

// await polls Status until the tracker at index i satisfies ok.
func (r *running) await(t *testing.T, i int, ok func(TrackerStatus) bool) TrackerStatus {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patient); time.Now().Before(end); <-tick.C {
		if s := r.Status()[i]; ok(s) {
			return s
		}
	}
	t.Fatalf("the status never came to be; last: %+v", r.Status())
	panic("unreachable")
}

func works(s TrackerStatus) bool  { return s.Working }
func failed(s TrackerStatus) bool { return s.Err != "" }
