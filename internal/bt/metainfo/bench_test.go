package metainfo

import (
	"fmt"
	"testing"
)

// manyFiles is a metafile of 100,000 files in 1,000 folders.
func manyFiles(b *testing.B, v Version) []byte {
	b.Helper()
	d := Draft{Version: v, Name: "many", PieceLength: 64 << 10}
	for n := range 100_000 {
		d.Files = append(d.Files, File{Path: []string{"some", fmt.Sprintf("folder%03d", n%1000), fmt.Sprintf("file-%06d.dat", n)},
			Length: 10_000, Mode: 0o644, HasMode: true, Root: [32]byte{1}})
	}
	info, err := d.Layout()
	if err != nil {
		b.Fatal(err)
	}
	if v != V2 {
		d.Pieces = make([]byte, 20*info.NumPieces())
	}
	raw, err := d.Encode()
	if err != nil {
		b.Fatal(err)
	}
	m := Metafile{Raw: raw}
	if m.Info, err = ParseInfo(raw); err != nil {
		b.Fatal(err)
	}
	return m.Encode()
}

// oneHuge is a metafile of one file of 1 TB: tens of MB of hashes.
func oneHuge(b *testing.B, v Version) []byte {
	b.Helper()
	const length, pieceLength = 1 << 40, 1 << 20
	d := Draft{Version: v, Name: "huge", PieceLength: pieceLength, SingleFile: true, Files: []File{{Length: length}}}
	layer := random(length/pieceLength*32, 1)
	d.Files[0].Root = LayerRoot(layer, pieceLength)
	if _, err := d.Layout(); err != nil {
		b.Fatal(err)
	}
	if v != V2 {
		d.Pieces = make([]byte, length/pieceLength*20)
	}
	raw, err := d.Encode()
	if err != nil {
		b.Fatal(err)
	}
	m := Metafile{Layers: Layers{d.Files[0].Root: layer}}
	if m.Info, err = ParseInfo(raw); err != nil {
		b.Fatal(err)
	}
	return m.Encode()
}

func BenchmarkParse(b *testing.B) {
	for _, v := range []Version{V1, V2, Hybrid} {
		for name, make := range map[string]func(*testing.B, Version) []byte{"100k files": manyFiles, "1 TB": oneHuge} {
			b.Run(name+"/"+v.String(), func(b *testing.B) {
				raw := make(b, v)
				b.SetBytes(int64(len(raw)))
				b.ReportAllocs()
				for b.Loop() {
					if _, err := Parse(raw); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// BenchmarkNewHashes checks the piece layers of 1 TB.
func BenchmarkNewHashes(b *testing.B) {
	m, err := Parse(oneHuge(b, V2))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := NewHashes(m.Info, m.Layers); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkChecker(b *testing.B) {
	for _, v := range []Version{V1, V2} {
		for _, step := range []int{16 << 10, 256 << 10} {
			b.Run(fmt.Sprintf("%s/%dKiB", v, step>>10), func(b *testing.B) {
				c := makeUp(b, v, 4<<20, size{"a", 4 << 20})
				check, piece := c.hashes(b).NewChecker(), c.piece(0)
				b.SetBytes(int64(len(piece)))
				b.ReportAllocs()
				for b.Loop() {
					check.Reset(0)
					for at := 0; at < len(piece); at += step {
						check.WriteAt(piece[at:at+step], int64(at))
					}
					if !check.OK() {
						b.Fatal("not OK")
					}
				}
			})
		}
	}
}

func BenchmarkSegments(b *testing.B) {
	m, err := Parse(manyFiles(b, V1))
	if err != nil {
		b.Fatal(err)
	}
	p := uint32(0)
	b.ReportAllocs()
	for b.Loop() {
		p = (p + 7919) % uint32(m.Info.NumPieces())
		for s := range m.Info.Segments(m.Info.PieceOffset(Piece(p)), m.Info.PieceLength) {
			_ = s
		}
		_ = m.Info.PieceData(Piece(p))
	}
}

func BenchmarkAnswer(b *testing.B) {
	f := layered(b, 16<<10, 5000)
	h, err := NewHashes(f.info, f.layers)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := h.Answer(HashRange{f.info.Files[0].Root, 0, 1024, 512, 12}); !ok {
			b.Fatal("rejected")
		}
	}
}
