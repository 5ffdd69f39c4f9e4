package multihome

import (
	"net/netip"
	"reflect"
	"strings"
	"testing"
)

func addresses(texts ...string) (out []Address) {
	for _, text := range texts {
		a, err := Parse(text)
		if err != nil {
			panic(err)
		}
		out = append(out, a)
	}
	return out
}

func TestShared(t *testing.T) {
	for _, c := range []struct {
		name        string
		asker, peer []Address
		want        string
	}{
		{"one network", addresses("storage=10.0.0.1:1"), addresses("storage=10.0.0.2:2"), "10.0.0.2:2"},
		{"none in common", addresses("storage=10.0.0.1:1"), addresses("mgmt=10.0.0.2:2"), ""},
		{"the asker's preference counts", addresses("fast=10.1.0.1:1", "slow=10.2.0.1:1"), addresses("slow=10.2.0.2:2", "fast=10.1.0.2:2"), "10.1.0.2:2"},
		{"its second when the first is not shared", addresses("fast=10.1.0.1:1", "slow=10.2.0.1:1"), addresses("slow=10.2.0.2:2"), "10.2.0.2:2"},
		{"another family", addresses("storage=10.0.0.1:1"), addresses("storage=[fd00::2]:2"), ""},
		{"both families", addresses("storage=[fd00::1]:1", "storage=10.0.0.1:1"), addresses("storage=10.0.0.2:2", "storage=[fd00::2]:2"), "[fd00::2]:2"},
		{"addresses for everybody are no network", addresses("203.0.113.1:1"), addresses("203.0.113.2:2"), ""},
		{"nothing", nil, addresses("storage=10.0.0.2:2"), ""},
	} {
		got, ok := Shared(c.asker, c.peer)
		if ok != (c.want != "") || ok && got.String() != c.want {
			t.Errorf("%s: %v, %v; want %q", c.name, got, ok, c.want)
		}
	}
}

func TestParse(t *testing.T) {
	for text, want := range map[string]string{
		"10.0.0.5":                       "10.0.0.5",
		"storage=10.0.0.5":               "storage=10.0.0.5",
		"203.0.113.7:7001":               "203.0.113.7:7001",
		"storage=[fd00::5]:6881":         "storage=[fd00::5]:6881",
		"storage=fd00::5":                "storage=fd00::5",
		"storage=[fd00::5]":              "storage=fd00::5",
		"storage=::ffff:10.0.0.5":        "storage=10.0.0.5",
		"":                               "",
		"storage":                        "",
		"storage=":                       "",
		"=10.0.0.5":                      "",
		"a b=10.0.0.5":                   "",
		"storage=0.0.0.0":                "",
		"storage=224.0.0.1:1":            "",
		"storage=10.0.0.5:0":             "",
		"storage=fe80::1%eth0":           "",
		"storage=host.example:1":         "",
		strings.Repeat("x", 64) + "=::1": "",
	} {
		got, err := Parse(text)
		if (err == nil) != (want != "") || err == nil && got.String() != want {
			t.Errorf("%q: %v, %v; want %q", text, got, err, want)
		}
	}
}

func TestCheck(t *testing.T) {
	nine := make([]Address, MaxAddresses+1)
	for _, c := range []struct {
		list []Address
		ok   bool
	}{
		{nil, true},
		{addresses("storage=10.0.0.5", "203.0.113.7:7001", "2001:db8::1"), true},
		{addresses("storage=10.0.0.5", "mgmt=10.0.0.5"), false},
		{addresses("203.0.113.7:1", "203.0.113.7:2"), false},
		{nine, false},
	} {
		if err := Check(c.list); (err == nil) != c.ok {
			t.Errorf("%v: %v", c.list, err)
		}
	}
}

func TestHomesText(t *testing.T) {
	h := Homes{DC: "fra1", Addresses: addresses("storage=10.0.0.5:6881", "203.0.113.7:7001", "mgmt=[fd00::5]:1")}
	text := string(h.Append(nil))
	if text != "fra1~storage~10.0.0.5:6881~mgmt~[fd00::5]:1" {
		t.Error(text)
	}
	got, err := ParseHomes(text)
	if want := (Homes{"fra1", addresses("storage=10.0.0.5:6881", "mgmt=[fd00::5]:1")}); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := ParseHomes("~n~10.0.0.5:1"); err != nil || got.DC != "" || len(got.Addresses) != 1 {
		t.Errorf("no data centre: %+v, %v", got, err)
	}
	for _, bad := range []string{"", "fra1", "fra1~", "fra1~n", "fra1~~10.0.0.5:1", "fra1~n~10.0.0.5", "fra1~n~10.0.0.5:0", "f r~n~10.0.0.5:1",
		"~n~[::ffff:10.0.0.5]:1", "fra1~n~x:1", "fra1~n~10.0.0.5:1~", strings.Repeat("~n~10.0.0.5:1", MaxAddresses+1), strings.Repeat("x", 1<<16)} {
		if got, err := ParseHomes(bad); err == nil {
			t.Errorf("%.40q: %+v", bad, got)
		}
	}
}

func TestVia(t *testing.T) {
	at := netip.MustParseAddrPort
	a, b, c := at("203.0.113.1:1"), at("203.0.113.2:2"), at("[2001:db8::3]:3")
	peers4, peers6 := append(Compact(a), Compact(b)...), Compact(c)
	var v Via
	v.Add(1, false, at("10.0.0.2:2"))
	v.Add(0, false, at("[fd00::1]:1"))
	v.Add(0, true, at("10.0.0.3:3"))
	v.Add(0, true, netip.AddrPort{})
	v.Add(1<<15, false, at("10.0.0.2:2"))
	want := map[netip.AddrPort]netip.AddrPort{b: at("10.0.0.2:2"), a: at("[fd00::1]:1"), c: at("10.0.0.3:3")}
	if got := v.Resolve(peers4, peers6); !reflect.DeepEqual(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if got := v.Resolve(peers4[:6], nil); len(got) != 1 {
		t.Errorf("numbers of peers that are not there: %v", got)
	}
	if got := (&Via{V4: []byte{1}, V6: []byte{0, 0, 1}}).Resolve(peers4, peers6); got != nil {
		t.Errorf("half an entry: %v", got)
	}
}

func FuzzHomes(f *testing.F) {
	f.Add("fra1~storage~10.0.0.5:6881~mgmt~[fd00::5]:1")
	f.Add("~n~10.0.0.5:1")
	f.Fuzz(func(t *testing.T, text string) {
		h, err := ParseHomes(text)
		if err != nil {
			return
		}
		if len(h.Addresses) == 0 || len(h.Addresses) > MaxAddresses {
			t.Fatalf("%q: %d addresses", text, len(h.Addresses))
		}
		again, err := ParseHomes(string(h.Append(nil)))
		if err != nil || !reflect.DeepEqual(h, again) {
			t.Fatalf("%q: %+v, printed and read again %+v, %v", text, h, again, err)
		}
	})
}

func FuzzVia(f *testing.F) {
	f.Add([]byte{0, 0, 10, 0, 0, 1, 0, 1}, []byte{}, []byte{203, 0, 113, 1, 0, 9}, []byte{})
	f.Fuzz(func(t *testing.T, v4, v6, peers4, peers6 []byte) {
		for peer, at := range (&Via{v4, v6}).Resolve(peers4, peers6) {
			if !Usable(peer) || !Usable(at) {
				t.Fatalf("%v via %v", peer, at)
			}
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add("storage=10.0.0.5:6881")
	f.Add("[fd00::5]")
	f.Fuzz(func(t *testing.T, text string) {
		a, err := Parse(text)
		if err != nil {
			return
		}
		if again, err := Parse(a.String()); err != nil || again != a {
			t.Fatalf("%q: %v, again %v, %v", text, a, again, err)
		}
	})
}
