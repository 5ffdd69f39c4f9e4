package wire

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"shoal/internal/bt/multihome"
)

func fullHandshake() ExtHandshake {
	return ExtHandshake{
		M:            map[string]int{ExtMetadata: 2, ExtPex: 1, ExtDontHave: 7, ExtShoal: 8},
		V:            "shoal/1.0",
		P:            6881,
		Reqq:         2000,
		MetadataSize: 31235,
		YourIP:       netip.MustParseAddr("2001:db8::7"),
		IPv4:         netip.MustParseAddr("10.0.0.1"),
		IPv6:         netip.MustParseAddr("2001:db8::1"),
		UploadOnly:   true,
		CompleteAgo:  90,
		Shoal:        ShoalCaps{Version: 1, MaxRequest: 16 << 20, Reveal: true, Source: true, DC: "fra1", Net: "10.2.0.0/16"},
	}
}

func TestExtHandshake(t *testing.T) {
	h := fullHandshake()
	got, err := ParseExtHandshake(h.Encode())
	if err != nil || !reflect.DeepEqual(got, h) {
		t.Errorf("came back as %+v, %v", got, err)
	}
	small := ExtHandshake{M: map[string]int{}, V: "x"}
	if got := string(small.Encode()); got != "d1:mde1:v1:xe" {
		t.Errorf("empty fields are sent: %q", got)
	}
	if id, ok := h.ID(ExtPex); id != 1 || !ok {
		t.Errorf("ut_pex is %d, %v", id, ok)
	}
	h.M[ExtPex] = 0
	if _, ok := h.ID(ExtPex); ok {
		t.Error("ut_pex is 0 and still wanted")
	}
}

// What libtorrent and others send, as it goes over the wire.
func TestExtHandshakeOfOthers(t *testing.T) {
	const lt = "d12:complete_agoi1e1:md11:lt_donthavei7e10:share_modei8e11:upload_onlyi3e12:ut_holepunchi4e" +
		"11:ut_metadatai2e6:ut_pexi1ee13:metadata_sizei31235e4:reqqi500e1:v18:libtorrent/2.0.8.06:yourip4:\x7f\x00\x00\x01e"
	h, err := ParseExtHandshake([]byte(lt))
	if err != nil || h.M["ut_pex"] != 1 || h.M["ut_holepunch"] != 4 || h.MetadataSize != 31235 || h.Reqq != 500 ||
		h.V != "libtorrent/2.0.8.0" || h.YourIP != netip.MustParseAddr("127.0.0.1") || !reflect.DeepEqual(h.Shoal, ShoalCaps{}) {
		t.Errorf("got %+v, %v", h, err)
	}
	h, err = ParseExtHandshake([]byte("d1:md11:LT_metadatai1e7:\xc2\xb5T_PEXi2ee1:pi6881e1:v13:\xc2\xb5Torrent 1.2e"))
	if err != nil || h.P != 6881 || len(h.M) != 2 {
		t.Errorf("got %+v, %v", h, err)
	}
}

func TestExtHandshakeIgnoresNonsense(t *testing.T) {
	nonsense := "d4:ipv43:abc4:ipv64:abcd1:md1:ai-1e1:bi256e1:c1:xe13:metadata_sizei99999999999999e1:pi70000e" +
		"4:reqq3:abc5:shoald6:maxreqi5ee11:upload_only3:yes1:vi5e6:yourip5:abcdee"
	h, err := ParseExtHandshake([]byte(nonsense))
	if err != nil || !reflect.DeepEqual(h, ExtHandshake{M: map[string]int{}}) {
		t.Errorf("got %+v, %v", h, err)
	}
	many := ExtHandshake{M: map[string]int{strings.Repeat("n", MaxExtName+1): 1}, V: strings.Repeat("v", 1000)}
	for i := range 2 * MaxExtensions {
		many.M[fmt.Sprint("ext", i)] = 1 + i%200
	}
	h, err = ParseExtHandshake(many.Encode())
	if err != nil || len(h.M) != MaxExtensions || len(h.V) != MaxClientName {
		t.Errorf("%d extensions, name of %d bytes, %v", len(h.M), len(h.V), err)
	}
	for _, body := range []string{"", "de1", "le", "i1e", "d1:m", strings.Repeat("l", 10000), "d1:m" + strings.Repeat("d1:a", 100)} {
		if _, err := ParseExtHandshake([]byte(body)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%.20q: error %v", body, err)
		}
	}
}

// The strings are the examples of BEP 9.
func TestMetadata(t *testing.T) {
	data := bytes.Repeat([]byte{'x'}, 3425)
	tests := []struct {
		m    Metadata
		want string
	}{
		{Metadata{Type: MetadataRequest}, "d8:msg_typei0e5:piecei0ee"},
		{Metadata{Type: MetadataReject, Piece: 3}, "d8:msg_typei2e5:piecei3ee"},
		{Metadata{Type: MetadataData, TotalSize: 3425, Data: data}, "d8:msg_typei1e5:piecei0e10:total_sizei3425ee" + string(data)},
	}
	for _, tt := range tests {
		if got := string(tt.m.Encode()); got != tt.want {
			t.Errorf("got %.60q, want %.60q", got, tt.want)
		}
		if got, err := ParseMetadata([]byte(tt.want)); err != nil || !reflect.DeepEqual(got, tt.m) {
			t.Errorf("%.60q: parsed %+v, %v", tt.want, got, err)
		}
	}
	if m, err := ParseMetadata([]byte("d8:msg_typei7ee")); err != nil || m.Type != 7 {
		t.Errorf("unknown type: %+v, %v", m, err)
	}
}

func TestMetadataRefuses(t *testing.T) {
	for _, body := range []string{
		"", "i0e", "de", "d8:msg_typei-1e5:piecei0ee", "d8:msg_typei0ee", "d8:msg_typei0e5:piecei-1ee",
		"d8:msg_typei0e5:piecei99999999ee",
		"d8:msg_typei1e5:piecei0ee",                    // no size
		"d8:msg_typei1e5:piecei0e10:total_sizei4eexxx", // too short
		"d8:msg_typei1e5:piecei0e10:total_sizei4eexxxxx",
		"d8:msg_typei1e5:piecei1e10:total_sizei4eexxxx", // no such part
		"d8:msg_typei1e5:piecei0e10:total_sizei20000ee" + strings.Repeat("x", 20000),
	} {
		if m, err := ParseMetadata([]byte(body)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%.60q: %+v, %v", body, m, err)
		}
	}
}

func TestMetadataSpan(t *testing.T) {
	const block = MetadataBlock
	tests := []struct {
		piece  int
		total  int64
		off, n int64
		ok     bool
	}{
		{0, 1, 0, 1, true}, {0, block, 0, block, true}, {1, block, 0, 0, false}, {1, block + 1, block, 1, true},
		{-1, 5, 0, 0, false}, {0, 0, 0, 0, false}, {1 << 40, block, 0, 0, false},
	}
	for _, tt := range tests {
		if off, n, ok := MetadataSpan(tt.piece, tt.total); off != tt.off || n != tt.n || ok != tt.ok {
			t.Errorf("part %d of %d: %d, %d, %v", tt.piece, tt.total, off, n, ok)
		}
	}
}

func pexPeer(s string, flags uint8) PexPeer {
	return PexPeer{Addr: netip.MustParseAddrPort(s), Flags: flags}
}

func TestPex(t *testing.T) {
	p := Pex{
		Added:   []PexPeer{pexPeer("1.2.3.4:258", PexSeed|PexReachable), pexPeer("5.6.7.8:1", 0), pexPeer("[2001:db8::1]:6881", PexSeed)},
		Dropped: []PexPeer{pexPeer("9.9.9.9:9", 0), pexPeer("[2001:db8::2]:1", 0)},
	}
	got, err := ParsePex(p.Encode())
	if err != nil || !reflect.DeepEqual(got, p) {
		t.Errorf("came back as %+v, %v", got, err)
	}
	p.Added[1].Via, p.Added[2].Via = netip.MustParseAddrPort("10.0.0.1:2"), netip.MustParseAddrPort("[fd00::1]:3") // the second of one family, the first of the other
	if got, err := ParsePex(p.Encode()); err != nil || !reflect.DeepEqual(got, p) {
		t.Errorf("with other addresses it came back as %+v, %v", got, err)
	}
	want := "d5:added6:\x01\x02\x03\x04\x01\x027:added.f1:\x126:added60:8:added6.f0:7:dropped0:8:dropped60:e"
	if got := string(Pex{Added: p.Added[:1]}.Encode()); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestPexBounds(t *testing.T) {
	body := func(key string, n, size int) []byte {
		return fmt.Appendf(nil, "d%d:%s%d:%se", len(key), key, n*size, strings.Repeat("\x01", n*size))
	}
	p, err := ParsePex(body("added", 5000, 6))
	if err != nil || len(p.Added) != MaxPex {
		t.Errorf("%d added, %v", len(p.Added), err)
	}
	p, err = ParsePex(body("dropped6", 5000, 18))
	if err != nil || len(p.Dropped) != MaxPex {
		t.Errorf("%d dropped, %v", len(p.Dropped), err)
	}
	unreachable := "d5:added12:\x01\x02\x03\x04\x00\x00\x00\x00\x00\x00\x00\x056:added618:" +
		strings.Repeat("\x00", 10) + "\xff\xff\x01\x02\x03\x04\x00\x05e"
	if p, err = ParsePex([]byte(unreachable)); err != nil || len(p.Added) != 0 {
		t.Errorf("port 0, 0.0.0.0 or a mapped address was taken: %+v, %v", p, err)
	}
	for _, bad := range []string{"", "le", "d5:added5:abcdee", "d8:dropped66:abcdefe"} {
		if p, err := ParsePex([]byte(bad)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%q: %+v, %v", bad, p, err)
		}
	}
}

func TestDontHave(t *testing.T) {
	if i, err := ParseDontHave(AppendDontHave(nil, 77)); i != 77 || err != nil {
		t.Errorf("got %d, %v", i, err)
	}
	if _, err := ParseDontHave([]byte{1}); !errors.Is(err, ErrMalformed) {
		t.Errorf("error %v", err)
	}
}

// TestShoalNets: what a multi-homed host says of itself comes back; what makes no sense in it is left out.
func TestShoalNets(t *testing.T) {
	at := netip.MustParseAddrPort
	h := ExtHandshake{Shoal: ShoalCaps{Version: 1, Self: at("203.0.113.1:7001"),
		Nets: []multihome.Address{{Net: "storage", At: at("10.0.0.1:1")}, {Net: "mgmt", At: at("[fd00::1]:2")}}}}
	got, err := ParseExtHandshake(h.Encode())
	if err != nil || !reflect.DeepEqual(got.Shoal, h.Shoal) {
		t.Errorf("came back as %+v, %v", got, err)
	}
	one := "1:n6:\x0a\x00\x00\x01\x00\x01"
	for nets, want := range map[string]int{
		"l" + strings.Repeat(one, multihome.MaxAddresses+3) + "e": multihome.MaxAddresses,
		"l" + one + "1:ne":                               1,
		"l1:n6:\x0a\x00\x00\x01\x00\x00" + one + "e":     1, // port 0
		"l1:n6:\x00\x00\x00\x00\x00\x01" + "0:6:aaaaaae": 0,
		"l64:" + strings.Repeat("x", 64) + "6:aaaaaae":   0,
		"3:abc": 0,
	} {
		h, err := ParseExtHandshake([]byte("d5:shoald4:nets" + nets + "4:self3:abc1:vi1eee"))
		if err != nil || len(h.Shoal.Nets) != want || h.Shoal.Self.IsValid() || h.Shoal.Version != 1 {
			t.Errorf("%.60q: %+v, %v", nets, h.Shoal, err)
		}
	}
}
