package announce

import (
	"bytes"
	"fmt"
	"net/netip"
	"net/url"
	"reflect"
	"strings"
	"testing"

	"shoal/internal/bt/multihome"
)

func TestSiteRoundTrip(t *testing.T) {
	self := netip.MustParseAddrPort("10.0.0.1:6881")
	for _, s := range []Site{
		{},
		{Epoch: 1},
		{DC: "fra1", Epoch: 1_700_000_000, Total: 2, Self: self, V4: []byte("aaaaPPbbbbQQ")},
		{DC: "b", Epoch: 9, V4: []byte{}, Names: []string{"fra1", "iad1"}, At4: []byte{1}},
		{Epoch: 9, Names: []string{"fra1"}, At4: []byte{Elsewhere}, At6: []byte{0, 0}},
		{Epoch: 9, Names: []string{"a", "b", "c"}, At4: []byte{2}, Ways: []byte{0, 1, 1}},
		{Epoch: 5, Total: 3000, Self: netip.MustParseAddrPort("[fd00::1]:1"), V4: []byte("aaaaPP"), V6: bytes.Repeat([]byte("x"), 2*Size6)},
	} {
		in := Response{Interval: 1e9, V4: []byte("ccccRR"), TrackerID: "x", Site: s}
		for _, full := range []bool{false, true} {
			out, err := ParseReply(in.AppendReply(nil, full))
			if err != nil {
				t.Fatal(err)
			}
			if len(s.V4) == 0 {
				out.Site.V4 = s.V4 // nil or empty
			}
			if len(s.V6) == 0 {
				out.Site.V6 = s.V6
			}
			if !reflect.DeepEqual(out.Site, s) || !bytes.Equal(out.V4, in.V4) || out.TrackerID != "x" {
				t.Errorf("got %+v, want %+v", out.Site, s)
			}
		}
	}
	r := Request{NumWant: -1, Shoal: true}
	u, err := url.Parse(string(r.AppendURL(nil, "http://h/announce")))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := ParseQuery(u.RawQuery); err != nil || !got.Shoal {
		t.Errorf("%s: %+v, %v", u, got, err)
	}
}

// TestWays: each pair once, the asker's data centre too, however many names; and a string that is too short.
func TestWays(t *testing.T) {
	s := Site{DC: "d", Names: []string{"a", "b", "c"}}
	s.SetWays(func(a, b string) byte { return a[0] ^ b[0] })
	if want := []byte{3, 2, 1, 5, 6, 7}; !bytes.Equal(s.Ways, want) || s.Names[3] != "d" {
		t.Errorf("ways %v between %v, want %v", s.Ways, s.Names, want)
	}
	s.Ways = s.Ways[:5]
	n := 0
	for pair, dear := range s.EachWay() {
		if n++; pair[0][0]^pair[1][0] != dear {
			t.Errorf("%v: %d", pair, dear)
		}
	}
	if n != 5 {
		t.Errorf("%d pairs of 5", n)
	}
	s = Site{}
	for i := range MaxNames {
		s.Names = append(s.Names, fmt.Sprint(i))
	}
	if s.SetWays(func(_, _ string) byte { return 1 }); len(s.Ways) != MaxWays*(MaxWays-1)/2 {
		t.Errorf("%d ways between %d", len(s.Ways), MaxNames)
	}
}

// TestParseSite is the table of what counts: nothing that a tracker says about places makes an answer useless.
func TestParseSite(t *testing.T) {
	many := strings.Repeat("aaaaPP", MaxMembers+5)
	for _, c := range []struct {
		in   string
		want Site
	}{
		{"i1e", Site{}},
		{"l5:epochi1ee", Site{}},
		{"de", Site{}},
		{"d5:epochi0ee", Site{}},
		{"d5:epochi-7ee", Site{}},
		{"d5:epoch1:xe", Site{}},
		{"d2:dci3e5:epochi7e7:membersi1e8:members6le4:self3:abc5:totali-1ee", Site{Epoch: 7}},
		{"d2:dc3:a\x00b5:epochi7e3:new4:like5:totali4ee", Site{Epoch: 7, DC: "a b", Total: 4}},
		{"d2:dc65:" + strings.Repeat("x", 65) + "5:epochi7ee", Site{Epoch: 7}},
		{"d5:epochi7e7:members8:aaaaPPxxe", Site{Epoch: 7, V4: []byte("aaaaPP")}},
		{"d5:epochi7e7:members12030:" + many + "e", Site{Epoch: 7, V4: []byte(many[:MaxMembers*Size4])}},
	} {
		r, err := ParseReply([]byte("d8:intervali60e5:peers0:5:shoal" + c.in + "e"))
		if err != nil {
			t.Errorf("%.60s: %v", c.in, err)
		}
		if got := r.Site; !reflect.DeepEqual(got, c.want) {
			t.Errorf("%.60s: got %+v, want %+v", c.in, got, c.want)
		}
	}
	names := strings.Repeat("1:a", MaxNames+3)
	r, err := ParseReply([]byte("d5:peers0:5:shoald2:at2:\x00\x013:dcsli1e" + names + "65:" + strings.Repeat("x", 65) + "e5:epochi7eee"))
	if err != nil || len(r.Site.Names) != MaxNames || r.Site.Names[0] != "" || r.Site.Names[1] != "a" || string(r.Site.At4) != "\x00\x01" {
		t.Errorf("names %q, %v", r.Site.Names, err)
	}
	s := Site{V4: []byte("aaaaPPaaaaPP\x00\x00\x00\x00\x00\x01bbbb\x00\x00")}
	if m := s.Members(); len(m) != 1 || m[0].String() != "97.97.97.97:20560" {
		t.Errorf("members %v", m)
	}
}

// TestLocated: peers by their index, members by the data centre of the list; what is not told is left out.
func TestLocated(t *testing.T) {
	r := Response{V4: []byte("aaaaPPbbbbQQccccRRddddSS"), V6: bytes.Repeat([]byte("x"), Size6)}
	for _, dc := range []string{"fra1", "", "iad1"} { // and nothing of d
		r.Site.Place(&r.Site.At4, dc)
	}
	r.Site.Place(&r.Site.At6, "fra1")
	r.Site.DC, r.Site.V4 = "sin1", []byte("eeeeTT")
	got := r.Located()
	want := map[netip.Addr]string{
		netip.MustParseAddr("97.97.97.97"): "fra1", netip.MustParseAddr("99.99.99.99"): "iad1",
		netip.MustParseAddr("7878:7878:7878:7878:7878:7878:7878:7878"): "fra1", netip.MustParseAddr("101.101.101.101"): "sin1",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	for range 3 * MaxNames {
		r.Site.Place(&r.Site.At4, strings.Repeat("x", len(r.Site.At4)))
	}
	if len(r.Site.Names) != MaxNames || r.Site.At4[len(r.Site.At4)-1] != Elsewhere {
		t.Errorf("%d names, the last peer is at %d", len(r.Site.Names), r.Site.At4[len(r.Site.At4)-1])
	}
}

// TestHomes: the further addresses of a host go to the tracker, and those of others come back.
func TestHomes(t *testing.T) {
	at := netip.MustParseAddrPort
	h := multihome.Homes{DC: "fra1", Addresses: []multihome.Address{{Net: "storage", At: at("10.0.0.1:1")}, {Net: "mgmt", At: at("[fd00::1]:2")}}}
	r := Request{Shoal: true, Homes: &h, Port: 5}
	_, query, _ := strings.Cut(string(r.AppendURL(nil, "http://t/announce")), "?")
	if got, err := ParseQuery(query); err != nil || !reflect.DeepEqual(got.Homes, &h) {
		t.Errorf("%s: %+v, %v", query, got.Homes, err)
	}
	if got, err := ParseQuery(strings.Replace(query, "storage", "a%20b", 1)); err != nil || got.Homes != nil {
		t.Errorf("a bad name: %+v, %v", got.Homes, err)
	}
	out := Response{V4: []byte("aaaaPPbbbbQQ"), Site: Site{Epoch: 1}}
	out.Site.Via.Add(1, false, at("10.0.0.2:2"))
	out.Site.Via.Add(0, false, at("[fd00::2]:2"))
	got, err := ParseReply(out.AppendReply(nil, false))
	if err != nil || !reflect.DeepEqual(got.Site.Via, out.Site.Via) {
		t.Errorf("%+v, %v", got.Site.Via, err)
	}
}
