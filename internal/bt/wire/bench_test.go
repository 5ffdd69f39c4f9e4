package wire

import (
	"net/netip"
	"testing"
)

func BenchmarkAppendBlock(b *testing.B) {
	var buf [64]byte
	b.ReportAllocs()
	for i := range b.N {
		AppendBlock(buf[:0], Request, Block{Index: uint32(i), Length: MaxStockBlock})
	}
}

func BenchmarkParseBlock(b *testing.B) {
	payload := AppendBlock(nil, Request, Block{1, 2, 3})[5:]
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseBlock(payload); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkExtHandshake(b *testing.B) {
	h := fullHandshake()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseExtHandshake(h.Encode()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPex(b *testing.B) {
	var p Pex
	for i := range 50 {
		p.Added = append(p.Added, PexPeer{Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(i + 1)}), 6881)})
	}
	body := p.Encode()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParsePex(body); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkShoalHaves(b *testing.B) {
	var pieces []uint32
	for i := range uint32(1000) {
		pieces = append(pieces, i*3)
	}
	buf := make([]byte, 0, 8<<10)
	b.ReportAllocs()
	for b.Loop() {
		m, err := ParseShoal(AppendShoalHaves(buf[:0], pieces))
		if err != nil || m.Pieces.Count() != 1000 {
			b.Fatal(err)
		}
	}
}
