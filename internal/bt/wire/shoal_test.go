package wire

import (
	"encoding/hex"
	"errors"
	"net/netip"
	"slices"
	"testing"
)

func TestShoalHaves(t *testing.T) {
	tests := []struct {
		pieces []uint32
		want   string
		runs   Runs
	}{
		{[]uint32{0}, "0100000000", Runs{{0, 0}}},
		{[]uint32{5, 7}, "010000000500000007", Runs{{5, 5}, {7, 7}}},
		{[]uint32{7, 5, 6, 5}, "018000000500000007", Runs{{5, 7}}},
		{[]uint32{1, 2, 9, 4, MaxPieces - 1}, "01800000010000000200000004000000" + "0900ffffff", Runs{{1, 2}, {4, 4}, {9, 9}, {MaxPieces - 1, MaxPieces - 1}}},
	}
	for _, tt := range tests {
		given := slices.Clone(tt.pieces)
		body := AppendShoalHaves(nil, tt.pieces)
		if got := hex.EncodeToString(body); got != tt.want {
			t.Errorf("%v: got %s, want %s", tt.pieces, got, tt.want)
		}
		if !slices.Equal(given, tt.pieces) {
			t.Errorf("the caller's slice changed from %v to %v", given, tt.pieces)
		}
		m, err := ParseShoal(body)
		if err != nil || m.Kind != ShoalHaves || !slices.Equal(m.Pieces, tt.runs) {
			t.Errorf("%v: parsed %+v, %v", tt.pieces, m, err)
		}
		want := slices.Compact(slices.Sorted(slices.Values(tt.pieces)))
		if got := slices.Collect(m.Pieces.All()); !slices.Equal(got, want) || m.Pieces.Count() != int64(len(want)) {
			t.Errorf("%v: all %v, count %d", tt.pieces, got, m.Pieces.Count())
		}
	}
}

func TestShoalCancels(t *testing.T) {
	m, err := ParseShoal(AppendShoalCancels(nil, []uint32{3}))
	if err != nil || m.Kind != ShoalCancels || m.Pieces.Count() != 1 {
		t.Errorf("got %+v, %v", m, err)
	}
}

func TestShoalRelays(t *testing.T) {
	m, err := ParseShoal(AppendShoalRelays(nil, []uint32{3, 4, 7}))
	if err != nil || m.Kind != ShoalRelays || !slices.Equal(slices.Collect(m.Pieces.All()), []uint32{3, 4, 7}) {
		t.Errorf("got %+v, %v", m, err)
	}
}

func TestShoalClaims(t *testing.T) {
	for _, pieces := range [][]uint32{nil, {4}, {1, 2, 9}} {
		m, err := ParseShoal(AppendShoalClaims(nil, pieces))
		if err != nil || m.Kind != ShoalClaims || !slices.Equal(slices.Collect(m.Pieces.All()), pieces) {
			t.Errorf("%v: got %+v, %v", pieces, m, err)
		}
	}
}

func TestShoalTurn(t *testing.T) {
	for pieces, want := range map[int]int{0: 0, 2: 2, MaxPieces: MaxPieces, 1<<32 - 1: MaxPieces} {
		m, err := ParseShoal(AppendShoalTurn(nil, pieces))
		if err != nil || m.Kind != ShoalTurn || m.Turn != want {
			t.Errorf("%d pieces: got %+v, %v", pieces, m, err)
		}
	}
}

func TestShoalMembers(t *testing.T) {
	four, six := netip.MustParseAddrPort("10.0.0.1:6881"), netip.MustParseAddrPort("[2001:db8::1]:6882")
	body := AppendShoalMembers(nil, []netip.AddrPort{six, four})
	if got, want := hex.EncodeToString(body), "060001"+"0a0000011ae1"+"20010db80000000000000000000000011ae2"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	m, err := ParseShoal(body)
	if err != nil || m.Kind != ShoalMembers || !slices.Equal(m.Members, []netip.AddrPort{four, six}) {
		t.Errorf("parsed %+v, %v", m, err)
	}
	if m, err := ParseShoal(AppendShoalMembers(nil, slices.Repeat([]netip.AddrPort{four}, 2*MaxShoalMembers))); err != nil || len(m.Members) != MaxShoalMembers {
		t.Errorf("of too many %d are told, %v", len(m.Members), err)
	}
	if m, err := ParseShoal(AppendShoalMembers(nil, []netip.AddrPort{netip.MustParseAddrPort("0.0.0.0:1"), netip.MustParseAddrPort("10.0.0.1:0")})); err != nil || len(m.Members) != 0 {
		t.Errorf("nobody can connect to %v, %v", m.Members, err)
	}
}

func TestShoalUnknownKindIsIgnored(t *testing.T) {
	for _, body := range []string{"\x00", "\x08", "\xffanything", "\x09\x00\x00"} {
		m, err := ParseShoal([]byte(body))
		if err != nil || m.Kind != ShoalKind(body[0]) || m.Pieces != nil {
			t.Errorf("%q: %+v, %v", body, m, err)
		}
	}
}

func TestShoalRefuses(t *testing.T) {
	for name, body := range map[string]string{
		"empty":            "",
		"no pieces":        "01",
		"torn word":        "01000000",
		"torn turn":        "04000001",
		"long turn":        "040000000100",
		"run without end":  "0180000001",
		"backward run":     "018000000500000004",
		"descending":       "010000000500000004",
		"same twice":       "010000000500000005",
		"overlapping runs": "01800000010000000500000005",
		"beyond the bound": "0101000000",
		"endless run":      "0180000000ffffffff",
		"end with run bit": "018000000080000001",
		"no members":       "06",
		"torn member":      "0600010a0000011a",
		"fewer than said":  "0600020a0000011ae1",
		"torn member of 6": "06000020010db8",
	} {
		b, err := hex.DecodeString(body)
		if err != nil {
			t.Fatal(name, err)
		}
		if m, err := ParseShoal(b); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: got %+v, %v", name, m, err)
		}
	}
}

func TestLooksShoal(t *testing.T) {
	if !LooksShoal([20]byte([]byte("-SH0001-abcdefghijkl"))) || LooksShoal([20]byte([]byte("-LT2080-abcdefghijkl"))) {
		t.Error("the prefix does not tell shoal from libtorrent")
	}
}

// The examples of docs/protocol.md.
func TestShoalExamples(t *testing.T) {
	if got := hex.EncodeToString(AppendShoalHaves(nil, []uint32{3, 8, 9, 10})); got != "0100000003800000080000000a" {
		t.Errorf("haves: %s", got)
	}
	h := ExtHandshake{
		M: map[string]int{ExtMetadata: 2, ExtShoal: 4}, V: "shoal/1.0",
		Shoal: ShoalCaps{Version: ShoalVersion, MaxRequest: 16 << 20, Reveal: true},
	}
	want := "d1:md5:shoali4e11:ut_metadatai2ee5:shoald6:maxreqi16777216e6:reveali1e1:vi1ee1:v9:shoal/1.0e"
	if got := string(h.Encode()); got != want {
		t.Errorf("ext handshake: %s", got)
	}
}
