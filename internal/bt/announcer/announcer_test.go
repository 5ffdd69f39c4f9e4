package announcer

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"shoal/internal/bt/announce"
	"shoal/internal/bt/metainfo"
)

// The whole life of an announce, over both protocols.
func TestLife(t *testing.T) {
	for name, serve := range map[string]func(*fake, *testing.T) string{"http": (*fake).http, "udp": (*fake).udp} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake()
			a := start(t, [][]string{{serve(f, t)}})
			got := f.next(t)
			want := announce.Request{
				InfoHash: hashA, PeerID: [20]byte([]byte("-SH0001-abcdefghijkl")),
				Stats: announce.Stats{Uploaded: 1, Downloaded: 2, Left: 3}, Event: announce.Started,
				Port: 7000, Key: 0xfeedbeef, HasKey: true, NumWant: 33,
			}
			if name == "udp" {
				want.URLData = "/announce?pass=x"
			}
			if got != want {
				t.Errorf("announced %+v, want %+v", got, want)
			}
			if fd := a.nextFound(t); fd.swarm != hashA || len(fd.peers) != 1 || fd.peers[0] != peerX {
				t.Errorf("found %+v", fd)
			}
			s := a.await(t, 0, works)
			if s.Peers != 1 || s.Seeds != 1 || s.Leeches != 2 || s.Swarm != hashA || s.Err != "" || time.Until(s.Next) < 29*time.Minute {
				t.Errorf("status %+v", s)
			}
			before := a.Status()[0].Last
			a.Completed()
			if got := f.next(t); got.Event != announce.Completed {
				t.Errorf("event %v, want completed", got.Event)
			}
			a.await(t, 0, func(s TrackerStatus) bool { return s.Last.After(before) })
			a.stop()
			if got := f.next(t); got.Event != announce.Stopped || got.NumWant != 0 {
				t.Errorf("event %v, numwant %d; want stopped, 0", got.Event, got.NumWant)
			}
			if n := len(f.seen); n != 0 {
				t.Errorf("%d more announces", n)
			}
			if name == "udp" && f.connects.Load() != 1 {
				t.Errorf("%d connects in a minute", f.connects.Load())
			}
		})
	}
}

func TestHybridAnnouncesBothSwarms(t *testing.T) {
	t.Parallel()
	f := newFake()
	a := start(t, [][]string{{f.http(t)}}, hashA, hashB)
	seen := map[metainfo.InfoHash]bool{f.next(t).InfoHash: true, f.next(t).InfoHash: true}
	if !seen[hashA] || !seen[hashB] {
		t.Errorf("announced %v", seen)
	}
	a.nextFound(t)
	a.nextFound(t)
	a.stop()
	if e1, e2 := f.next(t).Event, f.next(t).Event; e1 != announce.Stopped || e2 != announce.Stopped {
		t.Errorf("events %v and %v, want stopped twice", e1, e2)
	}
}

// What a tracker tells of our data centre is asked for over HTTP and handed on.
func TestSite(t *testing.T) {
	t.Parallel()
	f := newFake()
	want := announce.Site{DC: "fra", Epoch: 7, Total: 1, Self: peerX, V4: []byte("aaaaPP")}
	f.reply = func(r announce.Request) (announce.Response, *announce.Failure) {
		resp := announce.Response{Interval: 30 * time.Minute}
		if r.Shoal {
			resp.Site = want
		}
		return resp, nil
	}
	told := make(chan announce.Site, 10)
	a, err := New(Options{Tiers: [][]string{{f.http(t)}}, Swarms: []metainfo.InfoHash{hashA}, Log: slog.New(slog.DiscardHandler),
		Stats: func() announce.Stats { return announce.Stats{} }, Found: func(metainfo.InfoHash, []netip.AddrPort) {},
		Site: func(swarm metainfo.InfoHash, answer *announce.Response) {
			if swarm != hashA {
				t.Errorf("told of swarm %v", swarm)
			}
			told <- answer.Site
		},
		Ledger: func() announce.Ledger { return announce.Ledger{Size: 5, DC: "fra"} }})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	got := <-told
	if got.V6 = nil; !reflect.DeepEqual(got, want) {
		t.Errorf("told %+v, want %+v", got, want)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	// What was moved is told to whom it concerns: not before it has told of places.
	if first, last := f.next(t), f.next(t); first.Ledger != nil || last.Event != announce.Stopped || last.Ledger == nil || last.Ledger.Size != 5 {
		t.Errorf("told %+v, then %+v", first.Ledger, last.Ledger)
	}
}

// A completion before the tracker could be reached is told after "started".
func TestCompletedBeforeStarted(t *testing.T) {
	t.Parallel()
	f := newFake()
	up := make(chan struct{})
	inner := f.reply
	f.reply = func(r announce.Request) (announce.Response, *announce.Failure) { <-up; return inner(r) }
	a := start(t, [][]string{{f.http(t)}})
	first := f.next(t)
	a.Completed()
	close(up)
	second := f.next(t)
	if first.Event != announce.Started || second.Event != announce.Completed {
		t.Errorf("events %v, %v", first.Event, second.Event)
	}
}

// A get ends as soon as it is complete; the tracker shall count it all the same.
func TestStopAtCompletion(t *testing.T) {
	t.Parallel()
	f := newFake()
	a := start(t, [][]string{{f.http(t)}})
	a.nextFound(t)
	a.await(t, 0, works)
	f.next(t)
	a.lines[0].mu.Lock() // so that no announce can come between the two
	a.lines[0].completed = true
	a.lines[0].mu.Unlock()
	a.stop()
	if e1, e2 := f.next(t).Event, f.next(t).Event; e1 != announce.Completed || e2 != announce.Stopped {
		t.Errorf("events %v and %v, want completed and stopped", e1, e2)
	}
}

// A deploy may start a second before its tracker.
func TestTrackerStartsLate(t *testing.T) {
	for _, proto := range []string{"http", "udp"} {
		t.Run(proto, func(t *testing.T) {
			t.Parallel()
			addr := freeAddr(t, proto)
			a := start(t, [][]string{{proto + "://" + addr + "/announce"}})
			a.await(t, 0, failed)
			f := newFake()
			if proto == "udp" {
				f.udpAt(t, addr)
			} else {
				l, err := net.Listen("tcp", addr)
				if err != nil {
					t.Fatal(err)
				}
				s := httptest.NewUnstartedServer(http.HandlerFunc(f.serveHTTP))
				s.Listener = l
				s.Start()
				t.Cleanup(s.Close)
			}
			began := time.Now()
			a.nextFound(t)
			if d := time.Since(began); d > 4*time.Second {
				t.Errorf("found peers %v after the tracker came", d)
			}
		})
	}
}

// freeAddr is an address of 127.0.0.1 on which nobody listens. Each protocol has
// an address of its own, so that no other test takes the port meanwhile.
func freeAddr(t *testing.T, proto string) string {
	t.Helper()
	if proto == "udp" {
		c, err := net.ListenPacket("udp", "127.0.0.77:0")
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		return c.LocalAddr().String()
	}
	l, err := net.Listen("tcp", "127.0.0.78:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func TestTiers(t *testing.T) {
	t.Parallel()
	garbage := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Write([]byte("<html>all is well</html>"))
	}))
	t.Cleanup(garbage.Close)
	gone := newFake()
	gone.reply = func(announce.Request) (announce.Response, *announce.Failure) {
		return announce.Response{}, &announce.Failure{Reason: "unregistered", Never: true}
	}
	good, spare := newFake(), newFake()
	a := start(t, [][]string{{garbage.URL + "/announce", gone.http(t)}, {"ws://127.0.0.1:1"}, {good.udp(t)}, {spare.http(t)}})
	a.nextFound(t)
	a.await(t, 3, works)
	s := a.Status()
	errs := []string{s[0].Err, s[1].Err, s[2].Err}
	slices.Sort(errs)
	for i, want := range []string{"announce: ", errScheme.Error(), "tracker refused: unregistered"} {
		if !strings.HasPrefix(errs[i], want) {
			t.Errorf("error %q, want %q", errs[i], want)
		}
	}
	if len(spare.seen) != 0 || s[4].Working {
		t.Error("a later tier was asked though an earlier one works")
	}
	a.stop()
	if good.next(t); good.next(t).Event != announce.Stopped {
		t.Error("the working tracker was not told of the end")
	}
	if gone.next(t); len(gone.seen) != 0 {
		t.Error("a tracker that refused us was asked again")
	}
}

// Trackers that take a request and never answer cost a bounded time.
func TestSilentTrackers(t *testing.T) {
	t.Parallel()
	silent, good := newFake(), newFake()
	silent.mute.Store(true)
	a := start(t, [][]string{{silent.udp(t)}, {good.http(t)}})
	began := time.Now()
	a.nextFound(t)
	if d := time.Since(began); d > 7*time.Second {
		t.Errorf("the next tier had its turn after %v", d)
	}
	if s := a.Status()[0]; !strings.Contains(s.Err, "no answer") {
		t.Errorf("status %+v", s)
	}
}

func TestStopIsBounded(t *testing.T) {
	t.Parallel()
	f := newFake()
	a := start(t, [][]string{{f.http(t)}})
	a.nextFound(t)
	a.await(t, 0, works)
	f.mute.Store(true)
	began := time.Now()
	a.stop()
	if d := time.Since(began); d > stopTime+time.Second || d < stopTime/2 {
		t.Errorf("took %v", d)
	}
	if f.next(t); f.next(t).Event != announce.Stopped {
		t.Error("the tracker was not told")
	}
}

// Whoever stops while the first announce is under way says goodbye all the same.
func TestStopDuringAnnounce(t *testing.T) {
	t.Parallel()
	f := newFake()
	f.mute.Store(true)
	a := start(t, [][]string{{f.http(t)}})
	f.next(t)
	f.mute.Store(false)
	a.stop()
	if e := f.next(t).Event; e != announce.Stopped {
		t.Errorf("event %v", e)
	}
}

// A partial seed in a hurry: it may ask again soon, once, and says what it is.
func TestHurryOfPartialSeed(t *testing.T) {
	t.Parallel()
	f := newFake()
	a := startWith(t, Options{Tiers: [][]string{{f.udp(t)}}, Partial: func() bool { return true }})
	if e := f.next(t).Event; e != announce.Started {
		t.Errorf("first event %v", e)
	}
	a.await(t, 0, works)
	began := time.Now()
	for range 1000 {
		a.Hurry()
	}
	if e := f.next(t).Event; e != announce.Paused {
		t.Errorf("second event %v", e)
	}
	if d := time.Since(began); d < minInterval-time.Second || d > minInterval+3*time.Second {
		t.Errorf("hurried after %v", d)
	}
	a.await(t, 0, func(s TrackerStatus) bool { return time.Until(s.Next) > time.Minute })
	if len(f.seen) != 0 {
		t.Error("hurried more than once")
	}
}

func TestNewRefuses(t *testing.T) {
	if _, err := New(Options{}); err == nil {
		t.Error("no swarms are accepted")
	}
	if _, err := New(Options{Swarms: []metainfo.InfoHash{hashA}}); err == nil {
		t.Error("no callbacks are accepted")
	}
}

// A release may have no usable tracker at all.
func TestNoTrackers(t *testing.T) {
	a := start(t, [][]string{nil, {"wss://x"}})
	a.Hurry()
	a.Completed()
	a.stop()
	if s := a.Status(); len(s) != 1 || s[0].Err != errScheme.Error() || !s[0].Next.IsZero() {
		t.Errorf("status %+v", s)
	}
}

func TestTooManyTrackers(t *testing.T) {
	var tier []string
	for i := range 3 * maxTrackers {
		tier = append(tier, "wss://x/"+strings.Repeat("y", i))
	}
	a := start(t, [][]string{tier, tier})
	if n := len(a.Status()); n != maxTrackers {
		t.Errorf("%d trackers", n)
	}
}
