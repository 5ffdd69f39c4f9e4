package announce

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"shoal/internal/bt/metainfo"
)

// TestUDPBytes holds the layout of BEP 15's tables.
func TestUDPBytes(t *testing.T) {
	for _, c := range []struct {
		name string
		got  []byte
		want string
	}{
		{"connect", AppendUDPConnect(nil, 0x01020304), "0000041727101980" + "00000000" + "01020304"},
		{"connected", AppendUDPConnected(nil, 5, 0x1122334455667788), "00000000" + "00000005" + "1122334455667788"},
		{"announce", (&Request{InfoHash: metainfo.InfoHash{0xaa}, PeerID: [20]byte{0xbb}, Stats: Stats{Uploaded: 3, Downloaded: 1, Left: 2},
			Event: Stopped, Port: 0x1ae1, Key: 7, NumWant: -1, URLData: "/a"}).AppendUDP(nil, 1, 2),
			"0000000000000001" + "00000001" + "00000002" + "aa" + zeros(19) + "bb" + zeros(19) + "0000000000000001" +
				"0000000000000002" + "0000000000000003" + "00000003" + "00000000" + "00000007" + "ffffffff" + "1ae1" + "02022f61"},
		{"announced", (&Response{Interval: time.Minute, Seeds: 1, Leeches: 2, V4: []byte("abcdef"), V6: make([]byte, 18)}).AppendUDPReply(nil, 9, false),
			"00000001" + "00000009" + "0000003c" + "00000002" + "00000001" + "616263646566"},
		{"scrape", AppendUDPScrapeRequest(nil, 1, 2, []metainfo.InfoHash{{3}}), "0000000000000001" + "00000002" + "00000002" + "03" + zeros(19)},
		{"scraped", AppendUDPScrape(nil, 2, []Swarm{{Seeds: 1, Downloaded: 2, Leeches: 3}}), "00000002" + "00000002" + "00000001" + "00000002" + "00000003"},
		{"error", (&Failure{Reason: "no"}).AppendUDPError(nil, 2), "00000003" + "00000002" + "6e6f"},
	} {
		if got := hex.EncodeToString(c.got); got != c.want {
			t.Errorf("%s: got\n%s, want\n%s", c.name, got, c.want)
		}
	}
}

func zeros(n int) string { return strings.Repeat("00", n) }

func TestUDPAnnounceRoundTrip(t *testing.T) {
	r := full()
	r.V4, r.V6, r.Full, r.NoPeerID, r.TrackerID = netip.AddrPort{}, netip.AddrPort{}, false, false, ""
	r.URLData = "/announce?" + strings.Repeat("x", 600)
	pkt := r.AppendUDP(nil, 77, 88)
	h, err := ParseUDPHead(pkt)
	if err != nil || h != (UDPHead{ConnID: 77, Action: ActionAnnounce, Tx: 88}) {
		t.Fatalf("%+v, %v", h, err)
	}
	got, err := ParseUDPAnnounce(pkt)
	if err != nil || got != r {
		t.Errorf("got\n%+v, %v, want\n%+v", got, err, r)
	}
	r.URLData = strings.Repeat("y", MaxURLData+9)
	if got, _ := ParseUDPAnnounce(r.AppendUDP(nil, 77, 88)); got.URLData != r.URLData[:MaxURLData] {
		t.Errorf("long URL data: %d bytes", len(got.URLData))
	}
	none := Request{NumWant: -5, Stats: Stats{Left: -1}}
	got, err = ParseUDPAnnounce(none.AppendUDP(nil, 1, 1))
	if want := (Request{NumWant: -1, Stats: Stats{Left: math.MaxInt64}}); err != nil || got != want {
		t.Errorf("got %+v, %v", got, err)
	}
	wild := none.AppendUDP(nil, 1, 1)
	copy(wild[56:80], bytes.Repeat([]byte{0xff}, 24))
	if got, err := ParseUDPAnnounce(wild); err != nil || got.Stats != (Stats{Left: -1}) {
		t.Errorf("wrapped counters: %+v, %v", got.Stats, err)
	}
	for _, bad := range [][]byte{pkt[:97], slices.Concat(pkt[:83], []byte{9}, pkt[84:])} {
		var f *Failure
		if _, err := ParseUDPAnnounce(bad); !errors.As(err, &f) {
			t.Errorf("got %v", err)
		}
	}
}

func TestUDPOptions(t *testing.T) {
	for in, want := range map[string]string{
		"":                              "",
		"\x01\x01\x02\x02/a":            "/a",
		"\x02\x02/a\x02\x02/b":          "/a/b",
		"\x02\x02/a\x00\x02\x02/b":      "/a",
		"\x02\x02/a\x02\x05/b":          "/a",
		"\x02":                          "",
		"\x09\x03xyz\x02\x01q\x01\x01":  "q",
		"\x02\x00\x02\x00\x01\x02\x01/": "/",
	} {
		if got := parseOptions([]byte(in)); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func TestUDPHeadErrors(t *testing.T) {
	for _, in := range [][]byte{nil, make([]byte, 15), make([]byte, 16)} {
		if _, err := ParseUDPHead(in); !errors.Is(err, ErrPacket) {
			t.Errorf("%x: %v", in, err)
		}
	}
	if h, err := ParseUDPHead(AppendUDPConnect(nil, 3)); err != nil || h.Tx != 3 || h.Action != ActionConnect {
		t.Errorf("%+v, %v", h, err)
	}
}

func TestUDPReplies(t *testing.T) {
	if id, err := ParseUDPConnected(AppendUDPConnected(nil, 1, 42)); err != nil || id != 42 {
		t.Errorf("connected: %d, %v", id, err)
	}
	want := Response{Interval: time.Minute, Seeds: 1, Leeches: 2, V4: []byte("abcdefghijkl")}
	if got, err := ParseUDPReply(want.AppendUDPReply(nil, 1, false), false); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v", got, err)
	}
	want.V4, want.V6 = nil, bytes.Repeat([]byte{1}, 36)
	raw := append(want.AppendUDPReply(nil, 1, true), 1, 2, 3)
	if got, err := ParseUDPReply(raw, true); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v", got, err)
	}
	if tx, ok := UDPTx(raw); !ok || tx != 1 {
		t.Errorf("tx %d, %v", tx, ok)
	}
	big := Response{V6: make([]byte, 200*Size6)}
	if n := len(big.AppendUDPReply(nil, 1, true)); n > MaxPacket {
		t.Errorf("an answer of %d bytes", n)
	}
	minus := (&Response{}).AppendUDPReply(nil, 1, false)
	copy(minus[8:], bytes.Repeat([]byte{0xff}, 12))
	if got, err := ParseUDPReply(minus, false); err != nil || !reflect.DeepEqual(got, Response{}) {
		t.Errorf("minus one: %+v, %v", got, err)
	}
	hashes := []metainfo.InfoHash{{1}, {2}}
	swarms := []Swarm{{InfoHash: hashes[0], Seeds: 1, Downloaded: 2, Leeches: 3, Downloaders: -1}, {InfoHash: hashes[1], Downloaders: -1}}
	if got, err := ParseUDPScraped(AppendUDPScrape(nil, 1, swarms), hashes); err != nil || !slices.Equal(got, swarms) {
		t.Errorf("got %+v, %v", got, err)
	}
	if _, err := ParseUDPScraped(AppendUDPScrape(nil, 1, swarms[:1]), hashes); !errors.Is(err, ErrPacket) {
		t.Errorf("short scrape: %v", err)
	}
	refusal := (&Failure{Reason: "no\x00\x1b"}).AppendUDPError(nil, 1)
	for _, parse := range []func([]byte) error{
		func(b []byte) error { _, err := ParseUDPConnected(b); return err },
		func(b []byte) error { _, err := ParseUDPReply(b, false); return err },
		func(b []byte) error { _, err := ParseUDPScraped(b, hashes); return err },
	} {
		var f *Failure
		if err := parse(refusal); !errors.As(err, &f) || f.Reason != "no  " {
			t.Errorf("refusal: %v", err)
		}
		for _, bad := range [][]byte{nil, make([]byte, 7), {0, 0, 0, 9, 0, 0, 0, 0, 1}, make([]byte, 8), {0, 0, 0, 1, 0, 0, 0, 0}, {0, 0, 0, 2, 0, 0, 0, 0}} {
			if err := parse(bad); !errors.Is(err, ErrPacket) {
				t.Errorf("%x: %v", bad, err)
			}
		}
	}
}

func TestUDPScrapeRequest(t *testing.T) {
	var many []metainfo.InfoHash
	for i := range 100 {
		many = append(many, metainfo.InfoHash{byte(i)})
	}
	got, err := ParseUDPScrape(nil, AppendUDPScrapeRequest(nil, 1, 2, many))
	if err != nil || !slices.Equal(got, many[:MaxScrapeUDP]) {
		t.Errorf("%d hashes, %v", len(got), err)
	}
	for _, n := range []int{0, 16, 35, 16 + 20*75} {
		if _, err := ParseUDPScrape(nil, make([]byte, n)); err == nil {
			t.Errorf("%d bytes were taken", n)
		}
	}
}

// FuzzParseQuery: nothing panics, and what was accepted is written and read back the same.
func FuzzParseQuery(f *testing.F) {
	r := full()
	_, query, _ := strings.Cut(string(r.AppendURL(nil, "http://h/announce")), "?")
	f.Add(query)
	f.Add(hash20 + "&" + id20 + "&port=1&left=-1&key=zz")
	f.Fuzz(func(t *testing.T, in string) {
		_, _ = ParseScrapeQuery(in, 5)
		r, err := ParseQuery(in)
		if err != nil {
			var fail *Failure
			if !errors.As(err, &fail) || fail.Reason == "" {
				t.Fatalf("%v is no refusal", err)
			}
			return
		}
		if r.Left < 0 {
			r.Left = math.MaxInt64
		}
		_, query, _ := strings.Cut(string(r.AppendURL(nil, "http://h/announce")), "?")
		if len(query) > MaxQuery {
			return
		}
		back, err := ParseQuery(query)
		if err != nil || back != r {
			t.Fatalf("%q became %q: %+v, %v, want %+v", in, query, back, err, r)
		}
	})
}

// FuzzParseReply: nothing panics, and what was accepted is written and read back the same.
func FuzzParseReply(f *testing.F) {
	r := response()
	f.Add(r.AppendReply(nil, false))
	f.Add(r.AppendReply(nil, true))
	f.Add((&Failure{Reason: "no", Never: true}).AppendReply(nil))
	f.Add(AppendScrape(nil, []Swarm{{Name: "x"}}))
	r.Site = Site{DC: "fra", Epoch: 9, Total: 3, Self: netip.MustParseAddrPort("10.0.0.1:1"), V4: []byte("aaaaPP"), V6: make([]byte, Size6)}
	f.Add(r.AppendReply(nil, false))
	f.Fuzz(func(t *testing.T, in []byte) {
		if swarms, err := ParseScraped(in, 100); err == nil {
			back, err := ParseScraped(AppendScrape(nil, slices.Clone(swarms)), 100)
			if err != nil || len(back) != len(swarms) {
				t.Fatalf("%+v became %+v, %v", swarms, back, err)
			}
		}
		r, err := ParseReply(in)
		if err != nil {
			return
		}
		if len(r.Peers()) > 2*MaxPeers || r.Interval < 0 || r.MinInterval < 0 {
			t.Fatalf("bounds: %+v", r)
		}
		back, err := ParseReply(r.AppendReply(nil, false))
		if err != nil || fmt.Sprintf("%+v", back) != fmt.Sprintf("%+v", r) {
			t.Fatalf("%q: %+v became %+v, %v", in, r, back, err)
		}
	})
}

// FuzzUDP feeds every UDP parser: nothing panics, and accepted announces are written and read back the same.
func FuzzUDP(f *testing.F) {
	r := full()
	r.URLData = "/announce?x"
	f.Add(AppendUDPConnect(nil, 1))
	f.Add(r.AppendUDP(nil, 1, 2))
	f.Add(AppendUDPScrapeRequest(nil, 1, 2, []metainfo.InfoHash{{1}}))
	f.Add((&Response{V4: []byte("abcdef")}).AppendUDPReply(nil, 1, false))
	f.Add((&Failure{Reason: "no"}).AppendUDPError(nil, 1))
	f.Fuzz(func(t *testing.T, in []byte) {
		_, _ = ParseUDPHead(in)
		_, _ = ParseUDPScrape(nil, in)
		_, _ = UDPTx(in)
		_, _ = ParseUDPConnected(in)
		_, _ = ParseUDPScraped(in, make([]metainfo.InfoHash, 3))
		for _, v6 := range []bool{false, true} {
			if r, err := ParseUDPReply(in, v6); err == nil && (len(r.V4)%Size4 != 0 || len(r.V6)%Size6 != 0) {
				t.Fatalf("half a peer in %x", in)
			}
		}
		r, err := ParseUDPAnnounce(in)
		if err != nil {
			return
		}
		if r.Left < 0 {
			r.Left = math.MaxInt64
		}
		if back, err := ParseUDPAnnounce(r.AppendUDP(nil, 1, 2)); err != nil || back != r {
			t.Fatalf("%x: %+v became %+v, %v", in, r, back, err)
		}
	})
}

func BenchmarkParseQuery(b *testing.B) {
	r := full()
	_, query, _ := strings.Cut(string(r.AppendURL(nil, "http://h/announce")), "?")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseQuery(query); err != nil {
			b.Fatal(err)
		}
	}
}
