package wire

import (
	"bytes"
	"net/netip"
	"reflect"
	"slices"
	"testing"
)

// Every target asks the same: no panic, and what is accepted survives being
// written and read again.

func FuzzHandshake(f *testing.F) {
	f.Add(NewHandshake([20]byte{1}, [20]byte{2}, CapExtended|CapFast|CapV2).Append(nil))
	f.Add([]byte("\x13BitTorrent protocol"))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := ParseHandshake(b)
		if err != nil {
			return
		}
		if got := h.Append(nil); !bytes.Equal(got, b) {
			t.Errorf("%x came back as %x", b, got)
		}
	})
}

// FuzzMessage takes id and payload of any message but an extension's.
func FuzzMessage(f *testing.F) {
	r := HashRange{Root: [32]byte{7}, BaseLayer: 3, Index: 8, Length: 4, ProofLayers: 2}
	for _, frame := range [][]byte{
		AppendID(nil, Choke), AppendHave(nil, 1), AppendBitfield(nil, []byte{0x80}),
		AppendBlock(nil, Request, Block{1, 2, 3}), append(AppendPieceHeader(nil, 1, 2, 2), 'a', 'b'),
		AppendPort(nil, 6881), AppendSuggest(nil, 9), AppendExtended(nil, 3, []byte("de")),
		AppendHashRequest(nil, r), AppendHashReject(nil, r), AppendHashes(nil, r, make([]byte, 5*32)),
	} {
		f.Add(frame[4], frame[5:])
	}
	f.Fuzz(func(t *testing.T, id uint8, payload []byte) {
		got, ok := reframe(ID(id), payload)
		want := append(head(nil, ID(id), len(payload)), payload...)
		if ok && !bytes.Equal(got, want) {
			t.Errorf("%v %x came back as %x", ID(id), want, got)
		}
	})
}

// reframe parses a payload and writes what came out; false if it was refused.
func reframe(id ID, payload []byte) ([]byte, bool) {
	switch id {
	case Have, Suggest, AllowedFast:
		i, err := ParseHave(payload)
		return appendIndex(nil, id, i), err == nil
	case Request, Cancel, Reject:
		b, err := ParseBlock(payload)
		return AppendBlock(nil, id, b), err == nil && b.End() >= int64(b.Begin)
	case Piece:
		i, begin, err := ParsePieceHeader(payload)
		if err != nil {
			return nil, false
		}
		return append(AppendPieceHeader(nil, i, begin, len(payload)-8), payload[8:]...), true
	case Port:
		p, err := ParsePort(payload)
		return AppendPort(nil, p), err == nil
	case Extended:
		ext, body, err := ParseExtended(payload)
		return AppendExtended(nil, ext, body), err == nil
	case HashRequest:
		r, err := ParseHashRequest(payload)
		return AppendHashRequest(nil, r), err == nil
	case HashReject:
		r, err := ParseHashRequest(payload)
		return AppendHashReject(nil, r), err == nil
	case Hashes:
		r, hashes, err := ParseHashes(payload)
		return AppendHashes(nil, r, hashes), err == nil
	}
	return nil, false
}

func FuzzExtHandshake(f *testing.F) {
	f.Add(fullHandshake().Encode())
	f.Add([]byte("d1:md6:ut_pexi1ee1:v1:xe"))
	f.Add([]byte("d5:shoald6:maxreqi16777216e6:reveali1e1:vi1eee"))
	f.Fuzz(func(t *testing.T, body []byte) {
		h, err := ParseExtHandshake(body)
		if err != nil {
			return
		}
		if h.M == nil {
			h.M = map[string]int{} // m is always sent
		}
		if got, err := ParseExtHandshake(h.Encode()); err != nil || !reflect.DeepEqual(got, h) {
			t.Errorf("%+v came back as %+v, %v", h, got, err)
		}
	})
}

func FuzzMetadata(f *testing.F) {
	f.Add(Metadata{Type: MetadataRequest, Piece: 2}.Encode())
	f.Add(Metadata{Type: MetadataData, TotalSize: 5, Data: []byte("abcde")}.Encode())
	f.Add([]byte("d8:msg_typei9ee"))
	f.Fuzz(func(t *testing.T, body []byte) {
		m, err := ParseMetadata(body)
		if err != nil || m.Type > MetadataReject {
			return
		}
		if got, err := ParseMetadata(m.Encode()); err != nil || !reflect.DeepEqual(got, m) {
			t.Errorf("%+v came back as %+v, %v", m, got, err)
		}
	})
}

func FuzzPex(f *testing.F) {
	f.Add(Pex{Added: []PexPeer{pexPeer("1.2.3.4:5", 2)}, Dropped: []PexPeer{pexPeer("[2001:db8::1]:1", 0)}}.Encode())
	f.Add([]byte("d5:added6:abcdef7:added.f0:e"))
	f.Fuzz(func(t *testing.T, body []byte) {
		p, err := ParsePex(body)
		if err != nil {
			return
		}
		if len(p.Added) > MaxPex || len(p.Dropped) > MaxPex {
			t.Fatalf("%d added, %d dropped", len(p.Added), len(p.Dropped))
		}
		if got, err := ParsePex(p.Encode()); err != nil || !reflect.DeepEqual(got, p) {
			t.Errorf("%+v came back as %+v, %v", p, got, err)
		}
	})
}

func FuzzDontHave(f *testing.F) {
	f.Add([]byte{0, 0, 0, 1})
	f.Fuzz(func(t *testing.T, body []byte) {
		if i, err := ParseDontHave(body); err == nil && !bytes.Equal(AppendDontHave(nil, i), body) {
			t.Errorf("%x is %d", body, i)
		}
	})
}

func FuzzShoal(f *testing.F) {
	f.Add(AppendShoalHaves(nil, []uint32{1, 2, 3, 9}))
	f.Add(AppendShoalCancels(nil, []uint32{5}))
	f.Add([]byte{9, 1})
	f.Add(AppendShoalTurn(nil, 2))
	f.Add([]byte{1, 0x80, 0, 0, 0, 0, 0x3f, 0xff, 0xff})
	f.Add(AppendShoalMembers(nil, []netip.AddrPort{netip.MustParseAddrPort("10.0.0.1:6881"), netip.MustParseAddrPort("[2001:db8::1]:6882")}))
	f.Fuzz(func(t *testing.T, body []byte) {
		m, err := ParseShoal(body)
		if again, wrong := ParseShoal(AppendShoalMembers(nil, m.Members)); err == nil && m.Members != nil && (wrong != nil || !slices.Equal(again.Members, m.Members)) {
			t.Errorf("%v came back as %v, %v", m.Members, again.Members, wrong)
		}
		if err != nil || m.Pieces == nil {
			return
		}
		n, last := m.Pieces.Count(), int64(-1)
		if n > MaxPieces {
			t.Fatalf("%d pieces", n)
		}
		if n > 1000 {
			return // one run of a few bytes may name millions
		}
		var pieces []uint32
		for p := range m.Pieces.All() {
			if int64(p) <= last || p >= MaxPieces {
				t.Fatalf("piece %d behind %d", p, last)
			}
			last, pieces = int64(p), append(pieces, p)
		}
		if n != int64(len(pieces)) {
			t.Fatalf("%d pieces, count says %d", len(pieces), n)
		}
		again, err := ParseShoal(append([]byte{byte(m.Kind)}, appendRuns(nil, pieces)...))
		if err != nil || again.Kind != m.Kind || again.Pieces.Count() != n {
			t.Errorf("%v came back as %v, %v", m.Pieces, again.Pieces, err)
		}
	})
}
