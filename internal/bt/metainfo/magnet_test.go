package metainfo

import (
	"encoding/hex"
	"reflect"
	"strings"
	"testing"
)

func TestParseMagnet(t *testing.T) {
	hash1 := [20]byte([]byte("abcdefghijklmnopqrst"))
	hash2 := [32]byte([]byte("abcdefghijklmnopqrstuvwxyz012345"))
	hex1, hex2 := hex.EncodeToString(hash1[:]), hex.EncodeToString(hash2[:])
	for name, c := range map[string]struct {
		in   string
		want Magnet
	}{
		"v1":       {"magnet:?xt=urn:btih:" + hex1, Magnet{V1: &hash1}},
		"upper":    {"MAGNET:?XT=URN:BTIH:" + strings.ToUpper(hex1), Magnet{V1: &hash1}},
		"base32":   {"magnet:?xt=urn:btih:MFRGGZDFMZTWQ2LKNNWG23TPOBYXE43U", Magnet{V1: &hash1}},
		"v2":       {"magnet:?xt=urn:btmh:1220" + hex2, Magnet{V2: &hash2}},
		"hybrid":   {"magnet:?xt=urn:btih:" + hex1 + "&xt=urn:btmh:1220" + hex2, Magnet{V1: &hash1, V2: &hash2}},
		"numbered": {"magnet:?xt.1=urn:btih:" + hex1 + "&tr.1=a&tr.2=b", Magnet{V1: &hash1, Trackers: []string{"a", "b"}}},
		"all": {
			"magnet:?dn=a+b%20c&xt=urn:btih:" + hex1 + "&tr=http%3A%2F%2Ft%2F&ws=http://w/&x.pe=1.2.3.4:5&x.pe=%5B::1%5D:6&x.pe=host:7&so=1&&x",
			Magnet{V1: &hash1, Name: "a b c", Trackers: []string{"http://t/"}, WebSeeds: []string{"http://w/"}, Peers: []string{"1.2.3.4:5", "[::1]:6", "host:7"}},
		},
		"other topics": {"magnet:?xt=urn:sha1:XX&xt=urn:btih:" + hex1 + "&xt=urn:btih:" + hex1, Magnet{V1: &hash1}},
		"torn name":    {"magnet:?dn=100%&xt=urn:btih:" + hex1, Magnet{V1: &hash1, Name: "100%"}},
		"unknown torn": {"magnet:?foo=%&xt=urn:btih:" + hex1, Magnet{V1: &hash1}},
	} {
		got, err := ParseMagnet(c.in)
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %+v, %v", name, got, err)
			continue
		}
		again, err := ParseMagnet(got.String())
		if err != nil || !reflect.DeepEqual(again, got) {
			t.Errorf("%s: printed as %s, which is %+v, %v", name, got, again, err)
		}
	}
}

func TestParseMagnetRefuses(t *testing.T) {
	hex1 := strings.Repeat("ab", 20)
	for name, c := range map[string]struct{ in, reason string }{
		"not one":      {"http://x/", "not a magnet link"},
		"empty":        {"magnet:?", "names a torrent"},
		"no topic":     {"magnet:?dn=x", "names a torrent"},
		"short":        {"magnet:?xt=urn:btih:abcd", "40 hex digits"},
		"not hex":      {"magnet:?xt=urn:btih:" + strings.Repeat("z", 40), "40 hex digits"},
		"not base32":   {"magnet:?xt=urn:btih:" + strings.Repeat("1", 32), "40 hex digits"},
		"btmh short":   {"magnet:?xt=urn:btmh:1220abcd", "64 hex digits"},
		"btmh other":   {"magnet:?xt=urn:btmh:1114" + hex1, "64 hex digits"},
		"two torrents": {"magnet:?xt=urn:btih:" + hex1 + "&xt=urn:btih:" + strings.Repeat("cd", 20), "two different btih"},
		"two of v2":    {"magnet:?xt=urn:btmh:1220" + strings.Repeat("ab", 32) + "&xt=urn:btmh:1220" + strings.Repeat("cd", 32), "two different btmh"},
		"peer":         {"magnet:?x.pe=nowhere&xt=urn:btih:" + hex1, "x.pe"},
		"peer port":    {"magnet:?x.pe=h:0&xt=urn:btih:" + hex1, "x.pe"},
		"escape":       {"magnet:?tr=%zz&xt=urn:btih:" + hex1, "tr: "},
		"long":         {"magnet:?xt=urn:btih:" + hex1 + "&dn=" + strings.Repeat("x", maxMagnet), "limit"},
	} {
		if _, err := ParseMagnet(c.in); err == nil || !strings.Contains(err.Error(), c.reason) {
			t.Errorf("%s: err = %v, want %q", name, err, c.reason)
		}
	}
}

func TestMagnetOfMetafile(t *testing.T) {
	for _, v := range []Version{V1, V2, Hybrid} {
		m := &Metafile{Info: makeUp(t, v, 16<<10, size{"a", 5}).info, Announce: [][]string{{"http://a/?x=1&y"}, {"udp://b:1"}}, WebSeeds: []string{"http://w/"}}
		link, err := ParseMagnet(m.Magnet().String())
		if err != nil || !reflect.DeepEqual(link, m.Magnet()) {
			t.Errorf("%s: %+v, %v", v, link, err)
		}
		if !link.Names(m.Info) || len(link.Swarms()) != len(m.Info.Swarms()) {
			t.Errorf("%s: the link does not name its torrent", v)
		}
		other := makeUp(t, v, 16<<10, size{"b", 5}).info
		if link.Names(other) || (Magnet{}).Names(other) {
			t.Errorf("%s: the link names another torrent", v)
		}
	}
	hy := &Metafile{Info: makeUp(t, Hybrid, 16<<10, size{"a", 5}).info}
	for _, half := range []Magnet{{V1: &hy.Info.HashV1}, {V2: &hy.Info.HashV2}} {
		if !half.Names(hy.Info) {
			t.Errorf("%s does not name a hybrid", half)
		}
	}
	mixed := hy.Magnet()
	mixed.V2 = &[32]byte{1}
	if mixed.Names(hy.Info) {
		t.Error("half a wrong link names a torrent")
	}
}

func TestHostPort(t *testing.T) {
	for _, s := range []string{"h:1", "1.2.3.4:65535", "[::1]:6881", "[fe80::1%eth0]:1", "a-b.example:80"} {
		host, port, err := splitHostPort(s)
		if err != nil || joinHostPort(host, port) != s {
			t.Errorf("%q: %q %d, %v", s, host, port, err)
		}
	}
	for _, s := range []string{"", ":", "h", "h:", ":1", "h:0", "h:65536", "h:+1", "h:x", "::1:5", "[::1:5", "[::1]5", "[]:5", "a]:5", "[[x]]:5", strings.Repeat("x", 256) + ":5"} {
		if host, port, err := splitHostPort(s); err == nil {
			t.Errorf("%q was read as %q, %d", s, host, port)
		}
	}
}
