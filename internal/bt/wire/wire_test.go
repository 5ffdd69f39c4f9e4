package wire

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"
)

func TestHandshakeBits(t *testing.T) {
	all := []Cap{0, CapExtended, CapFast, CapV2, CapDHT, CapExtended | CapFast | CapV2, CapExtended | CapFast | CapV2 | CapDHT}
	for _, caps := range all {
		h := NewHandshake([20]byte{1, 2}, [20]byte{'-', 'S', 'H'}, caps)
		if h.Caps() != caps {
			t.Errorf("caps %04b came back as %04b", caps, h.Caps())
		}
		got, err := ParseHandshake(h.Append(nil))
		if err != nil || got != h {
			t.Errorf("handshake %v came back as %v, %v", h, got, err)
		}
	}
	h := NewHandshake([20]byte{}, [20]byte{}, CapExtended|CapFast|CapV2|CapDHT)
	if want := [8]byte{5: 0x10, 7: 0x15}; h.Reserved != want {
		t.Errorf("reserved %x, want %x", h.Reserved, want)
	}
}

func TestHandshakeRefuses(t *testing.T) {
	good := NewHandshake([20]byte{}, [20]byte{}, 0).Append(nil)
	bad := [][]byte{nil, good[:67], append(slices.Clone(good), 0), bytes.Repeat([]byte("GET / HTTP/1.1\r\n"), 5)[:68]}
	for _, b := range bad {
		if _, err := ParseHandshake(b); !errors.Is(err, ErrMalformed) {
			t.Errorf("%q: error %v", b, err)
		}
	}
}

// The bytes are written out from the BEPs, not made by the code under test.
func TestFrames(t *testing.T) {
	block := Block{Index: 1, Begin: 0x4000, Length: 0x4000}
	r := HashRange{Root: [32]byte{0xaa}, BaseLayer: 1, Index: 4, Length: 2, ProofLayers: 3}
	root := "aa" + fmt.Sprintf("%062x", 0)
	tests := []struct {
		got  []byte
		want string
	}{
		{AppendKeepAlive(nil), "00000000"},
		{AppendID(nil, Choke), "0000000100"},
		{AppendID(nil, NotInterested), "0000000103"},
		{AppendID(nil, HaveAll), "000000010e"},
		{AppendID(nil, HaveNone), "000000010f"},
		{AppendHave(nil, 258), "000000050400000102"},
		{AppendSuggest(nil, 1), "000000050d00000001"},
		{AppendAllowedFast(nil, 1), "000000051100000001"},
		{AppendBitfield(nil, []byte{0xf0, 0x80}), "0000000305f080"},
		{AppendBlock(nil, Request, block), "0000000d06000000010000400000004000"},
		{AppendBlock(nil, Cancel, block), "0000000d08000000010000400000004000"},
		{AppendBlock(nil, Reject, block), "0000000d10000000010000400000004000"},
		{AppendPieceHeader(nil, 1, 2, 16384), "00004009070000000100000002"},
		{AppendPort(nil, 6881), "00000003091ae1"},
		{AppendExtended(nil, 3, []byte("de")), "0000000414036465"},
		{AppendHashRequest(nil, r), "0000003115" + root + "00000001000000040000000200000003"},
		{AppendHashReject(nil, r), "0000003117" + root + "00000001000000040000000200000003"},
		{AppendHashes(nil, r, []byte{1}), "0000003216" + root + "0000000100000004000000020000000301"},
		{AppendDontHave(nil, 7), "00000007"},
	}
	for _, tt := range tests {
		if got := hex.EncodeToString(tt.got); got != tt.want {
			t.Errorf("got %s, want %s", got, tt.want)
		}
	}
	if n := len(AppendPieceHeader(nil, 0, 0, 5)); n != PieceHeaderLen {
		t.Errorf("piece header has %d bytes, PieceHeaderLen is %d", n, PieceHeaderLen)
	}
}

func TestFrameLimits(t *testing.T) {
	tests := []struct {
		id    ID
		frame []byte
	}{
		{Choke, AppendID(nil, Choke)},
		{Have, AppendHave(nil, 1)},
		{Port, AppendPort(nil, 1)},
		{Request, AppendBlock(nil, Request, Block{})},
		{Bitfield, AppendBitfield(nil, make([]byte, MaxBitfield))},
		{Extended, AppendExtended(nil, 1, make([]byte, MaxExtended))},
		{HashRequest, AppendHashRequest(nil, HashRange{})},
		{Hashes, AppendHashes(nil, HashRange{}, make([]byte, 32*(MaxHashes+MaxProofLayers)))},
	}
	for _, tt := range tests {
		if got, want := FrameLimit(tt.id, 1<<14), len(tt.frame)-4; got != want {
			t.Errorf("%v: limit %d, longest frame %d", tt.id, got, want)
		}
		if FrameLimit(tt.id, 1<<14) > MaxFrame {
			t.Errorf("%v: limit is above MaxFrame", tt.id)
		}
	}
	if got := FrameLimit(Piece, 1<<20); got != 9+1<<20 {
		t.Errorf("piece: limit %d", got)
	}
}

func TestIDNames(t *testing.T) {
	seen := map[string]ID{}
	for i := range 256 {
		name := ID(i).String()
		if other, twice := seen[name]; twice || name == "" {
			t.Errorf("%d and %d are both %q", other, i, name)
		}
		seen[name] = ID(i)
	}
	if Extended.String() != "extended" || ID(99).String() != "message(99)" {
		t.Errorf("got %q and %q", Extended, ID(99))
	}
}

func TestParseHashes(t *testing.T) {
	r := HashRange{Index: 4, Length: 4, ProofLayers: 2}
	for n, ok := range map[int]bool{0: false, 3: false, 4: true, 5: true, 6: true, 7: false} {
		_, hashes, err := ParseHashes(AppendHashes(nil, r, make([]byte, 32*n))[5:])
		if (err == nil) != ok || ok && len(hashes) != 32*n {
			t.Errorf("%d hashes: %d bytes, %v", n, len(hashes), err)
		}
	}
	bad := []HashRange{
		{Length: 0}, {Length: 1}, {Length: 3}, {Length: 2 * MaxHashes}, {Length: 4, Index: 2},
		{Length: 2, BaseLayer: 65}, {Length: 2, ProofLayers: 1 << 31},
	}
	for _, r := range bad {
		if _, err := ParseHashRequest(AppendHashRequest(nil, r)[5:]); !errors.Is(err, ErrMalformed) {
			t.Errorf("%+v: error %v", r, err)
		}
	}
}

// The two sets are the examples of BEP 6.
func TestAllowedFastSet(t *testing.T) {
	hash := [20]byte(bytes.Repeat([]byte{0xaa}, 20))
	want := []uint32{1059, 431, 808, 1217, 287, 376, 1188, 353, 508}
	addr := netip.MustParseAddr("80.4.4.200")
	for _, k := range []int{7, 9} {
		if got := AllowedFastSet(addr, hash, 1313, k); !slices.Equal(got, want[:k]) {
			t.Errorf("k=%d: got %v", k, got)
		}
	}
	if got := AllowedFastSet(netip.MustParseAddr("::ffff:80.4.4.200"), hash, 1313, 9); !slices.Equal(got, want) {
		t.Errorf("mapped: got %v", got)
	}
	if got := AllowedFastSet(addr, hash, 3, 10); len(got) != 3 {
		t.Errorf("3 pieces: got %v", got)
	}
	for _, got := range [][]uint32{
		AllowedFastSet(netip.MustParseAddr("2001:db8::1"), hash, 1313, 9),
		AllowedFastSet(netip.Addr{}, hash, 1313, 9),
		AllowedFastSet(addr, hash, 0, 9),
		AllowedFastSet(addr, hash, 9, 0),
	} {
		if got != nil {
			t.Errorf("got %v, want none", got)
		}
	}
}

// The first two are the examples of BEP 40.
func TestPeerPriority(t *testing.T) {
	tests := []struct {
		a, b string
		want uint32
	}{
		{"123.213.32.10:1", "98.76.54.32:2", 0xec2d7224},
		{"123.213.32.10:1", "123.213.32.234:2", 0x99568189},
		{"[::ffff:123.213.32.10]:1", "98.76.54.32:2", 0xec2d7224},
	}
	for _, tt := range tests {
		a, b := netip.MustParseAddrPort(tt.a), netip.MustParseAddrPort(tt.b)
		if got := PeerPriority(a, b); got != tt.want || PeerPriority(b, a) != got {
			t.Errorf("%s %s: got %08x, want %08x", a, b, got, tt.want)
		}
	}
}

// Which bits of an address count depends on how near the two are.
func TestPeerPriorityMasks(t *testing.T) {
	base := "2001:db8:1:200::aaaa"
	tests := []struct {
		a, b, c string // b and c give a the same priority or not
		same    bool
	}{
		{base, "2001:db8:2:200::1", "2001:db8:2:2aa::1", true},  // far: bit 0x80 of byte 7 is masked
		{base, "2001:db8:2:200::1", "2001:db8:2:201::1", false}, // far: 0x01 is not
		{base, "2001:db8:1:300::1", "2001:db8:1:380::1", true},  // same /48: byte 7 still masked
		{base, "2001:db8:1:300::1", "2001:db8:1:b00::1", false}, // same /48: byte 6 whole
		{base, "2001:db8:1:202::1", "2001:db8:1:282::1", false}, // same /56: byte 7 whole
		{"10.1.0.1", "10.2.0.1", "10.2.128.1", true},
		{"10.1.0.1", "10.1.1.1", "10.1.129.1", false},
	}
	for _, tt := range tests {
		a := netip.AddrPortFrom(netip.MustParseAddr(tt.a), 1)
		b := PeerPriority(a, netip.AddrPortFrom(netip.MustParseAddr(tt.b), 1))
		c := PeerPriority(a, netip.AddrPortFrom(netip.MustParseAddr(tt.c), 1))
		if (b == c) != tt.same {
			t.Errorf("%s with %s and %s: same is %v", tt.a, tt.b, tt.c, b == c)
		}
	}
	one := netip.MustParseAddrPort("10.0.0.1:1")
	if PeerPriority(one, netip.MustParseAddrPort("10.0.0.1:2")) == PeerPriority(one, netip.MustParseAddrPort("10.0.0.1:3")) {
		t.Error("ports do not count between equal addresses")
	}
}
