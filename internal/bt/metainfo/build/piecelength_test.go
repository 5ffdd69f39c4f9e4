package build

import (
	"testing"

	"shoal/internal/bt/metainfo"
)

func TestPieceLength(t *testing.T) {
	for _, c := range []struct{ content, want int64 }{
		{1, 64 << 10},
		{100 << 20, 64 << 10},
		{2000 * 128 << 10, 128 << 10},
		{2000*128<<10 - 1, 64 << 10},
		{10 << 30, 4 << 20},
		{1 << 40, 16 << 20},
	} {
		if got := PieceLength(c.content); got != c.want {
			t.Errorf("PieceLength(%d) = %d, want %d", c.content, got, c.want)
		}
		if got := PieceLength(c.content); got > 64<<10 && c.content/got < aimPieces {
			t.Errorf("PieceLength(%d) makes only %d pieces", c.content, c.content/got)
		}
	}
	small := &tree{bytes: 1 << 30}
	for range 100_000 {
		small.files = append(small.files, found{file: metainfo.File{Length: 1 << 30 / 100_000}})
	}
	for v, want := range map[metainfo.Version]int64{metainfo.V1: 512 << 10, metainfo.V2: 512 << 10, metainfo.Hybrid: 64 << 10} {
		if got := choosePieceLength(small, v); got != want {
			t.Errorf("%s of many small files: %d, want %d", v, got, want)
		}
	}
}
