package metainfo

import (
	"bytes"
	"slices"
	"strings"
	"testing"
)

// oddTrees are sizes of files at which arithmetic can go wrong.
var oddTrees = [][]size{
	{{"a", 1}},
	{{"a", 32 << 10}},
	{{"a", 32<<10 + 1}},
	{{"a", 0}, {"b", 5}, {"c", 0}},
	{{"a", 100_000}, {"b", 0}, {"c/d", 40_000}, {"c/e", 1}, {"f", 32 << 10}, {"g", 0}},
	{{"a", 10}, {"b", 20}, {"c", 30}, {"d", 32<<10 - 60}, {"e", 7}},
}

func TestGeometryAgainstBytes(t *testing.T) {
	for _, v := range []Version{V1, V2, Hybrid} {
		for _, sizes := range oddTrees {
			c := makeUp(t, v, 32<<10, sizes...)
			// owner[b] is the file of each byte of piece space, -1 for padding.
			owner := slices.Repeat([]int{-1}, int(c.info.Length()))
			sum := int64(0)
			for n, f := range c.info.Files {
				sum += f.Length
				for b := range f.Length {
					owner[f.Offset+b] = n
				}
				first, end := c.info.FilePieces(n)
				if f.Length == 0 && first != end {
					t.Errorf("%s %v: empty file has pieces %d to %d", v, sizes, first, end)
				}
				if f.Length > 0 && (int64(first) != f.Offset/c.info.PieceLength || int64(end-1) != (f.Offset+f.Length-1)/c.info.PieceLength) {
					t.Errorf("%s %v: file %d has pieces %d to %d", v, sizes, n, first, end)
				}
			}
			if c.info.ContentLength() != sum || c.info.Padding() != c.info.Length()-sum {
				t.Errorf("%s %v: content %d and padding %d of %d", v, sizes, c.info.ContentLength(), c.info.Padding(), c.info.Length())
			}
			if owner[len(owner)-1] < 0 {
				t.Errorf("%s %v: the last byte is padding", v, sizes)
			}
			checkPieces(t, c.info, owner)
			checkSegments(t, c.info, owner)
		}
	}
}

func checkPieces(t *testing.T, i *Info, owner []int) {
	t.Helper()
	covered := int64(0)
	for n := range i.NumPieces() {
		p, ok := i.Piece(uint32(n))
		if !ok || i.PieceOffset(p) != covered || i.PieceSize(p) < 1 || i.PieceSize(p) > i.PieceLength {
			t.Fatalf("piece %d: %v at %d, %d bytes", n, ok, i.PieceOffset(p), i.PieceSize(p))
		}
		data := i.PieceSize(p)
		for data > 0 && owner[covered+data-1] < 0 {
			data--
		}
		if i.PieceData(p) != data {
			t.Errorf("%s piece %d: PieceData %d, want %d", i.Version, n, i.PieceData(p), data)
		}
		covered += i.PieceSize(p)
	}
	if covered != i.Length() {
		t.Errorf("pieces cover %d of %d bytes", covered, i.Length())
	}
	if _, ok := i.Piece(uint32(i.NumPieces())); ok {
		t.Error("a piece behind the last is taken for one")
	}
}

func checkSegments(t *testing.T, i *Info, owner []int) {
	t.Helper()
	for _, from := range []int64{-5, 0, 1, 9, 10, 32<<10 - 1, 32 << 10, 32<<10 + 1, 99_999, 100_000, i.Length() - 1, i.Length(), i.Length() + 5} {
		for _, n := range []int64{-1, 0, 1, 50, 32 << 10, 1 << 40, 1<<63 - 1} {
			at := max(from, 0)
			end := i.Length()
			if n < end-at {
				end = at + n
			}
			for s := range i.Segments(from, n) {
				if s.Length < 1 || at+s.Length > end {
					t.Fatalf("Segments(%d, %d): %+v at %d", from, n, s, at)
				}
				for b := range s.Length {
					if owner[at+b] != s.File && !(s.File < 0 && owner[at+b] < 0) {
						t.Fatalf("Segments(%d, %d): %+v, but byte %d is of file %d", from, n, s, at+b, owner[at+b])
					}
				}
				if s.File >= 0 && i.Files[s.File].Offset+s.FileOffset != at {
					t.Fatalf("Segments(%d, %d): %+v at %d", from, n, s, at)
				}
				at += s.Length
			}
			if at < end {
				t.Fatalf("Segments(%d, %d) end at %d, want %d", from, n, at, end)
			}
			for range i.Segments(from, n) {
				break // to stop early is allowed
			}
		}
	}
}

// TestPieceOfPadding has pieces of nothing but padding, which only odd v1
// torrents have: all of it is asked for.
func TestPieceOfPadding(t *testing.T) {
	raw := encode(t, dict{"name": "n", "piece length": 10, "pieces": hashes20(6), "files": list{
		dict{"length": 15, "attr": "p"}, dict{"length": 1, "path": list{"a"}}, dict{"length": 27, "attr": "p"},
		dict{"length": 1, "path": list{"b"}}, dict{"length": 12, "attr": "p"},
	}})
	i, err := ParseInfo(raw)
	if err != nil {
		t.Fatal(err)
	}
	var got []int64
	for n := range i.NumPieces() {
		got = append(got, i.PieceData(Piece(n)))
	}
	if want := []int64{10, 6, 10, 10, 4, 6}; !slices.Equal(got, want) {
		t.Errorf("PieceData %v, want %v", got, want)
	}
}

func TestSwarms(t *testing.T) {
	for _, v := range []Version{V1, V2, Hybrid} {
		i := makeUp(t, v, 1<<14, size{"a", 5}).info
		swarms := i.Swarms()
		if v != V2 && (swarms[0] != i.HashV1 || swarms[0] == InfoHash{}) {
			t.Errorf("%s: %v", v, swarms)
		}
		if v != V1 && !bytes.Equal(swarms[len(swarms)-1][:], i.HashV2[:20]) {
			t.Errorf("%s: %v", v, swarms)
		}
		if want := map[Version]int{V1: 1, V2: 1, Hybrid: 2}[v]; len(swarms) != want {
			t.Errorf("%s: %d swarms", v, len(swarms))
		}
	}
}

func TestVersionNames(t *testing.T) {
	for _, v := range []Version{V1, V2, Hybrid} {
		if got, err := ParseVersion(v.String()); got != v || err != nil {
			t.Errorf("%s: %v, %v", v, got, err)
		}
	}
	if _, err := ParseVersion("v3"); err == nil || !strings.Contains(err.Error(), "v1, v2 or hybrid") {
		t.Errorf("err = %v", err)
	}
}
