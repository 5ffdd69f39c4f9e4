package announce

import (
	"errors"
	"math"
	"net/netip"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"shoal/internal/bt/metainfo"
)

func full() Request {
	return Request{
		InfoHash: metainfo.InfoHash([]byte("\x00\x01 +%&=#?\xff\xfe~abcdefgh")), PeerID: [20]byte([]byte("-SH0100-\x00\x80\xff ./+%&=?x")),
		Stats: Stats{Uploaded: 1, Downloaded: 1 << 40, Left: 3}, Event: Started, Port: 6881, Key: 0xdeadbeef, HasKey: true,
		NumWant: 80, IP: netip.MustParseAddr("10.1.2.3"), V4: netip.MustParseAddrPort("10.1.2.4:0"),
		V6: netip.MustParseAddrPort("[fd00::1]:99"), Full: true, NoPeerID: true, TrackerID: "a b&c",
	}
}

func TestQueryRoundTrip(t *testing.T) {
	small := Request{InfoHash: metainfo.InfoHash{1}, NumWant: -1}
	unknown := small
	unknown.Left = -1
	sent := unknown
	sent.Left = math.MaxInt64 // how "unknown" travels
	for i, c := range []struct{ in, want Request }{{full(), full()}, {small, small}, {unknown, sent}} {
		u := string(c.in.AppendURL(nil, "http://t.example:6969/announce"))
		parsed, err := url.Parse(u)
		if err != nil {
			t.Fatal(err)
		}
		got, err := ParseQuery(parsed.RawQuery)
		if err != nil {
			t.Fatalf("%d: %s: %v", i, u, err)
		}
		if got != c.want {
			t.Errorf("%d: %s: got\n%+v, want\n%+v", i, u, got, c.want)
		}
		// What the standard library makes of it is the same.
		if h := parsed.Query().Get("info_hash"); h != string(c.in.InfoHash[:]) {
			t.Errorf("%d: info_hash is %q", i, h)
		}
	}
}

func TestAppendURLBase(t *testing.T) {
	r := Request{NumWant: -1}
	for base, want := range map[string]string{
		"http://h/announce":            "http://h/announce?info_hash=",
		"http://h/announce?":           "http://h/announce?info_hash=",
		"http://h/announce?k=1":        "http://h/announce?k=1&info_hash=",
		"http://h/announce?k=1&":       "http://h/announce?k=1&info_hash=",
		"http://h/announce?k=1#f?x":    "http://h/announce?k=1&info_hash=",
		"http://[fd00::1]:80/announce": "http://[fd00::1]:80/announce?info_hash=",
	} {
		if got := string(r.AppendURL(nil, base)); !strings.HasPrefix(got, want) {
			t.Errorf("%s: got %s", base, got)
		}
	}
}

const id20 = "peer_id=-SH0100-abcdefghijkl"
const hash20 = "info_hash=01234567890123456789"

func TestParseQuery(t *testing.T) {
	base := hash20 + "&" + id20 + "&port=1"
	for _, c := range []struct {
		in   string
		want func(*Request)
	}{
		{base, func(*Request) {}},
		{base + "&&=&x&ip=&ip=host.example&numwant=lots&compact=1&no_peer_id=0&key=&event=", func(*Request) {}},
		{base + "&left=0", func(r *Request) { r.Left = 0 }},
		{base + "&left=-5", func(*Request) {}},
		{base + "&left=18446744073709551615", func(*Request) {}},
		{base + "&left=1&left=2", func(r *Request) { r.Left = 2 }},
		{base + "&uploaded=18446744073709551615&downloaded=5", func(r *Request) { r.Downloaded = 5 }},
		{base + "&event=paused", func(r *Request) { r.Event = Paused }},
		{base + "&event=completed", func(r *Request) { r.Event = Completed }},
		{base + "&event=empty", func(*Request) {}},
		{base + "&numwant=-1", func(*Request) {}},
		{base + "&numwant=0", func(r *Request) { r.NumWant = 0 }},
		{base + "&key=1A2b", func(r *Request) { r.Key, r.HasKey = 0x1a2b, true }},
		{base + "&key=DEADBEEF", func(r *Request) { r.Key, r.HasKey = 0xdeadbeef, true }},
		{base + "&key=secret", func(r *Request) { r.Key, r.HasKey = parseKey("secret"), true }},
		{base + "&compact=0&no_peer_id=1", func(r *Request) { r.Full, r.NoPeerID = true, true }},
		{base + "&ip=%3a%3Affff:10.0.0.1", func(r *Request) { r.IP = netip.MustParseAddr("10.0.0.1") }},
		{base + "&ipv6=fd00::2&ipv4=10.0.0.1:7", func(r *Request) {
			r.V6, r.V4 = netip.AddrPortFrom(netip.MustParseAddr("fd00::2"), 0), netip.MustParseAddrPort("10.0.0.1:7")
		}},
		{base + "&ipv4=fd00::2&ipv6=10.0.0.1", func(*Request) {}},
		{base + "&trackerid=a+b%2b", func(r *Request) { r.TrackerID = "a b+" }},
		{base + "&trackerid=%g0", func(*Request) {}},
		{strings.Replace(base, "port=1", "port=0", 1), func(r *Request) { r.Port = 0 }},
		{"info_hash=0%31234567890123456+%2b9&" + id20 + "&port=1", func(r *Request) { copy(r.InfoHash[:], "01234567890123456 +9") }},
	} {
		want := Request{InfoHash: metainfo.InfoHash([]byte("01234567890123456789")), PeerID: [20]byte([]byte("-SH0100-abcdefghijkl")),
			Port: 1, NumWant: -1, Stats: Stats{Left: -1}}
		c.want(&want)
		if got, err := ParseQuery(c.in); err != nil || got != want {
			t.Errorf("%s: got\n%+v, %v, want\n%+v", c.in, got, err, want)
		}
	}
}

func TestParseQueryErrors(t *testing.T) {
	base := hash20 + "&" + id20 + "&port=1"
	for in, want := range map[string]string{
		"":                                        "info_hash is missing",
		id20 + "&port=1":                          "info_hash is missing",
		hash20 + "&port=1":                        "peer_id is missing",
		hash20 + "&" + id20:                       "port is missing",
		base + "&" + hash20:                       "came twice",
		"info_hash=short&" + base:                 "info_hash is not 20 bytes",
		"info_hash=012345678901234567890":         "info_hash is not 20 bytes",
		"info_hash=0123456789012345678%":          "info_hash is not 20 bytes",
		"info_hash=0123456789012345678%2":         "info_hash is not 20 bytes",
		"info_hash=0123456789012345678%zz":        "info_hash is not 20 bytes",
		base + "&port=65536":                      "port is not",
		base + "&port=-1":                         "port is not",
		base + "&port=":                           "port is not",
		base + "&uploaded=-1":                     "uploaded is not a number",
		base + "&downloaded=1e3":                  "downloaded is not a number",
		base + "&left=many":                       "left is not a number",
		base + "&event=exploded":                  "event is not one of",
		base + "&x=" + strings.Repeat("x", 1<<14): "query is longer than",
	} {
		_, err := ParseQuery(in)
		var f *Failure
		if !errors.As(err, &f) || !strings.Contains(f.Reason, want) {
			t.Errorf("%.80s: got %v, want %q", in, err, want)
		}
	}
}

func TestScrapeURL(t *testing.T) {
	h := []metainfo.InfoHash{{1, ' '}, {2}}
	for in, want := range map[string]string{
		"http://h/announce":             "http://h/scrape?info_hash=%01%20",
		"http://h/x/announce":           "http://h/x/scrape?",
		"http://h/announce.php":         "http://h/scrape.php?",
		"http://h/announce?x2=4":        "http://h/scrape?x2=4&info_hash=",
		"http://h/a":                    "",
		"http://h/announce/x":           "",
		"http://h/announce?x=/announce": "http://h/scrape?x=/announce&",
		"announce":                      "",
	} {
		got, ok := ScrapeURL(in, h)
		if ok != (want != "") || !strings.HasPrefix(got, want) {
			t.Errorf("%s: got %q, %v", in, got, ok)
		}
		if !ok {
			continue
		}
		_, query, _ := strings.Cut(got, "?")
		if back, err := ParseScrapeQuery(query, 2); err != nil || !slices.Equal(back, h) {
			t.Errorf("%s: %v, %v", got, back, err)
		}
	}
	if got, _ := ScrapeURL("http://h/announce", nil); got != "http://h/scrape" {
		t.Errorf("all: %s", got)
	}
	if _, err := ParseScrapeQuery(hash20+"&"+hash20, 1); err == nil {
		t.Error("too many hashes were taken")
	}
	if _, err := ParseScrapeQuery("info_hash=1", 1); err == nil {
		t.Error("a short hash was taken")
	}
}

func response() Response {
	r := Response{Interval: 1800 * time.Second, MinInterval: time.Minute, Seeds: 3, Leeches: 4, Downloaded: 5,
		ExternalIP: netip.MustParseAddr("192.0.2.7"), Warning: "old client", TrackerID: "\x00id"}
	r.Add(netip.MustParseAddrPort("10.0.0.1:6881"))
	r.Add(netip.MustParseAddrPort("10.0.0.2:1"))
	r.Add(netip.MustParseAddrPort("[fd00::1]:6881"))
	return r
}

func TestReplyBytes(t *testing.T) {
	r := response()
	want := "d8:completei3e10:downloadedi5e11:external ip4:\xc0\x00\x02\x0710:incompletei4e8:intervali1800e12:min intervali60e" +
		"5:peers12:\x0a\x00\x00\x01\x1a\xe1\x0a\x00\x00\x02\x00\x016:peers618:\xfd" + strings.Repeat("\x00", 14) + "\x01\x1a\xe1" +
		"10:tracker id3:\x00id15:warning message10:old cliente"
	if got := string(r.AppendReply(nil, false)); got != want {
		t.Errorf("got\n%q, want\n%q", got, want)
	}
	r = Response{Interval: time.Second, IDs4: []byte("-SH0100-abcdefghijkl")}
	r.Add(netip.MustParseAddrPort("10.0.0.1:6881"))
	r.Add(netip.MustParseAddrPort("[fd00::1]:6881"))
	want = "d8:completei0e10:downloadedi0e10:incompletei0e8:intervali1e5:peers" +
		"ld2:ip8:10.0.0.17:peer id20:-SH0100-abcdefghijkl4:porti6881eed2:ip7:fd00::14:porti6881eeee"
	if got := string(r.AppendReply(nil, true)); got != want {
		t.Errorf("got\n%q, want\n%q", got, want)
	}
}

func TestReplyRoundTrip(t *testing.T) {
	want := response()
	got, err := ParseReply(want.AppendReply(nil, false))
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("compact: got\n%+v, %v, want\n%+v", got, err, want)
	}
	got, err = ParseReply(want.AppendReply(nil, true))
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("dictionaries: got\n%+v, %v, want\n%+v", got, err, want)
	}
	for _, f := range []Failure{{Reason: "no"}, {Reason: "later", RetryIn: 5 * time.Minute}, {Reason: "gone", Never: true}} {
		_, err := ParseReply(f.AppendReply(nil))
		var back *Failure
		if !errors.As(err, &back) || *back != f {
			t.Errorf("got %+v, want %+v", back, f)
		}
	}
	up := Failure{Reason: "x", RetryIn: time.Second}
	if got := string(up.AppendReply(nil)); got != "d14:failure reason1:x8:retry ini1ee" {
		t.Errorf("retry is rounded up: %s", got)
	}
}

// TestParseReplyWild reads what trackers in the wild send.
func TestParseReplyWild(t *testing.T) {
	for in, want := range map[string]Response{
		"de":                                  {},
		"d8:intervali-1e5:peers0:e\r\n":       {},
		"d8:interval4:1800e":                  {},
		"d8:intervali99999999999e5:peersi1ee": {Interval: math.MaxInt32 * time.Second},
		"d5:peers7:abcdef\x00e":               {V4: []byte("abcdef")},
		"d6:peers64:abcd11:external ip3:abce": {},
		"d5:peersld2:ip11:foo.example4:porti1eed2:ip8:10.0.0.14:porti0eed2:ip8:10.0.0.14:porti70000eei1e" +
			"d2:ip8:10.0.0.14:porti1eeee": {V4: []byte("\x0a\x00\x00\x01\x00\x01")},
		"d15:warning message7:a\x1b[0m\xff\x00e":                     {Warning: "a [0m\ufffd "},
		"d10:tracker id" + "1025:" + strings.Repeat("x", 1025) + "e": {},
	} {
		if got, err := ParseReply([]byte(in)); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: got %+v, %v, want %+v", in, got, err, want)
		}
	}
	for _, in := range []string{"", "<html>", "le", "i1e", "d", "d5:peers", "d5:peers9999999999:e",
		strings.Repeat("l", 1<<16), "d1:a" + strings.Repeat("l", 100), strings.Repeat("x", MaxResponse+1)} {
		if got, err := ParseReply([]byte(in)); err == nil {
			t.Errorf("%.20q was taken: %+v", in, got)
		}
	}
	if _, err := ParseReply([]byte("d14:failure reasoni1ee")); err == nil || err.Error() != "tracker refused: " {
		t.Errorf("a failure that is no text: %v", err)
	}
}

func TestPeers(t *testing.T) {
	var r Response
	for _, s := range []string{"10.0.0.1:1", "10.0.0.1:1", "10.0.0.1:0", "0.0.0.0:1", "224.0.0.1:1", "[::ffff:10.0.0.2]:2", "[::]:1", "[ff02::1]:1", "[fd00::1]:1"} {
		r.Add(netip.MustParseAddrPort(s))
	}
	r.V4 = append(r.V4, 1, 2, 3)
	want := []netip.AddrPort{netip.MustParseAddrPort("10.0.0.1:1"), netip.MustParseAddrPort("10.0.0.2:2"), netip.MustParseAddrPort("[fd00::1]:1")}
	if got := r.Peers(); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestScrapeRoundTrip(t *testing.T) {
	in := []Swarm{{InfoHash: metainfo.InfoHash{9}, Seeds: 1, Leeches: 2, Downloaded: 3, Downloaders: 1, Name: "app@1"},
		{InfoHash: metainfo.InfoHash{1}, Downloaders: -1}, {InfoHash: metainfo.InfoHash{9}, Seeds: 7}}
	raw := AppendScrape(nil, in)
	want := []Swarm{in[0], in[1]}
	got, err := ParseScraped(raw, 10)
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%s: got %+v, %v, want %+v", raw, got, err, want)
	}
	if got, _ := ParseScraped(raw, 1); len(got) != 1 {
		t.Errorf("more than one: %v", got)
	}
	if got := string(AppendScrape(nil, nil)); got != "d5:filesdee" {
		t.Errorf("none: %s", got)
	}
	if _, err := ParseScraped([]byte("d14:failure reason2:noe"), 1); err == nil || err.Error() != "tracker refused: no" {
		t.Errorf("refusal: %v", err)
	}
	if got, err := ParseScraped([]byte("d5:filesd3:abcde20:aaaaaaaaaaaaaaaaaaaai1eee"), 9); err != nil || len(got) != 0 {
		t.Errorf("nonsense: %v, %v", got, err)
	}
}
