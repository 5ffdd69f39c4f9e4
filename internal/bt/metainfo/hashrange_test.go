package metainfo

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// layeredFile is a v2 torrent of one file of so many 16 KiB or 32 KiB pieces,
// made without hashing all its content: leaves are made up.
type layeredFile struct {
	info   *Info
	layers Layers
	levels [][][32]byte // of the whole tree, by definition
	base   int          // height of the piece layer
	pieces int
}

// layered makes a file of n pieces, the last of which has one block.
func layered(t testing.TB, pieceLength int64, n int) layeredFile {
	t.Helper()
	perPiece := int(pieceLength / BlockSize)
	blocks := (n-1)*perPiece + 1
	var level [][32]byte
	for b := range blocks {
		level = append(level, LeafHash(fmt.Append(nil, "leaf ", b)))
	}
	for len(level)&(len(level)-1) != 0 {
		level = append(level, [32]byte{})
	}
	f := layeredFile{levels: [][][32]byte{level}, base: heightFor(int64(perPiece)), pieces: n}
	for len(level) > 1 {
		up := make([][32]byte, len(level)/2)
		for i := range up {
			up[i] = hashPair(level[2*i], level[2*i+1])
		}
		level = up
		f.levels = append(f.levels, level)
	}
	d := Draft{Version: V2, Name: "n", PieceLength: pieceLength, SingleFile: true, Files: []File{{Length: int64(blocks) * BlockSize, Root: level[0]}}}
	if _, err := d.Layout(); err != nil {
		t.Fatal(err)
	}
	raw, err := d.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if f.info, err = ParseInfo(raw); err != nil {
		t.Fatal(err)
	}
	var layer []byte
	for _, h := range f.levels[f.base][:n] {
		layer = append(layer, h[:]...)
	}
	f.layers = Layers{level[0]: layer}
	return f
}

// slowAnswer is the answer by the words of BEP 52: the run, then one uncle a
// proof layer, of which those inside of the run are left out.
func (f layeredFile) slowAnswer(r HashRange) []byte {
	var answer []byte
	add := func(h [32]byte) { answer = append(answer, h[:]...) }
	for i := r.Index; i < r.Index+r.Length; i++ {
		add(f.levels[r.BaseLayer][i])
	}
	skipped := r.height() - 1
	for proof := range int(r.ProofLayers) {
		if proof < skipped {
			continue
		}
		// The ancestor of the run that is proof layers above the base layer.
		k := proof + 1
		i := int(r.Index) >> k
		add(f.levels[int(r.BaseLayer)+k][i^1])
	}
	return answer
}

var layerSizes = []int{2, 3, 4, 5, 8, 9, 511, 512, 513, 1024, 1025}

func TestAnswerAgainstDefinition(t *testing.T) {
	for _, n := range layerSizes {
		for _, pieceLength := range []int64{16 << 10, 32 << 10} {
			f := layered(t, pieceLength, n)
			h, err := NewHashes(f.info, f.layers)
			if err != nil {
				t.Fatalf("%d pieces: %v", n, err)
			}
			height := heightFor(int64(n))
			for k := 1; k <= min(height, 9); k++ {
				for i := 0; i < 1<<height; i += max(1<<k, 1<<height/4) {
					for _, proof := range []int{0, k - 1, k, height - 1} {
						if proof > height-1 {
							continue
						}
						r := HashRange{f.info.Files[0].Root, uint32(f.base), uint32(i), 1 << k, uint32(proof)}
						got, ok := h.Answer(r)
						if want := f.slowAnswer(r); !ok || !bytes.Equal(got, want) || len(got) != r.Size() {
							t.Fatalf("%d pieces, %+v: %v, %d hashes, want %d", n, r, ok, len(got)/32, len(want)/32)
						}
					}
				}
			}
		}
	}
}

// TestAnswerOfOne is a range that BEP 52 does not allow and that libtorrent
// asks for when a chunk of 512 has one hash left. It counts on the sibling.
func TestAnswerOfOne(t *testing.T) {
	f := layered(t, 16<<10, 513)
	h, err := NewHashes(f.info, f.layers)
	if err != nil {
		t.Fatal(err)
	}
	r := HashRange{f.info.Files[0].Root, 0, 512, 1, 9}
	got, ok := h.Answer(r)
	if !ok || len(got) != 11*32 || !r.verify(got) {
		t.Errorf("%v, %d hashes", ok, len(got)/32)
	}
}

func TestAnswerRejects(t *testing.T) {
	f := layered(t, 32<<10, 5) // height 3 above the piece layer, which is 1
	h, err := NewHashes(f.info, f.layers)
	if err != nil {
		t.Fatal(err)
	}
	root := f.info.Files[0].Root
	for name, r := range map[string]HashRange{
		"root":         {[32]byte{1}, 1, 0, 2, 0},
		"no length":    {root, 1, 0, 0, 0},
		"odd length":   {root, 1, 0, 3, 0},
		"long":         {root, 1, 0, 1024, 0},
		"huge":         {root, 1, 0, 1 << 31, 0},
		"blocks":       {root, 0, 0, 2, 0},
		"above":        {root, 2, 0, 2, 0},
		"far above":    {root, 1<<32 - 1, 0, 2, 0},
		"not aligned":  {root, 1, 1, 2, 0},
		"behind":       {root, 1, 8, 2, 0},
		"far behind":   {root, 1, 1<<32 - 2, 2, 0},
		"wider":        {root, 1, 0, 16, 0},
		"above root":   {root, 1, 0, 2, 3},
		"far too high": {root, 1, 0, 2, 1<<32 - 1},
	} {
		if answer, ok := h.Answer(r); ok || answer != nil {
			t.Errorf("%s: %+v was answered", name, r)
		}
	}
	if _, ok := h.Answer(HashRange{root, 1, 6, 2, 2}); !ok {
		t.Error("a range of padding was not answered")
	}
}

func TestLayerBuilder(t *testing.T) {
	for _, n := range layerSizes {
		f := layered(t, 32<<10, n)
		h, err := NewHashes(f.info, f.layers)
		if err != nil {
			t.Fatal(err)
		}
		b := NewLayerBuilder(f.info, nil)
		if want := (n + 511) / 512; b.Missing() != want {
			t.Errorf("%d pieces: %d ranges, want %d", n, b.Missing(), want)
		}
		next := Piece(0)
		for r := range b.Requests() {
			if r.Length < 2 || r.Length > 512 || r.Index%r.Length != 0 || r.First != next || r.End <= r.First {
				t.Errorf("%d pieces: %+v", n, r)
			}
			next = r.End
			answer, ok := h.Answer(r.HashRange)
			if !ok {
				t.Fatalf("%d pieces: %+v is not answered", n, r)
			}
			for _, at := range []int{0, len(answer) - 1, int(r.Length)*32 - 1} {
				bad := slices.Clone(answer)
				bad[at] ^= 1
				if err := b.Add(r.HashRange, bad); err == nil || !strings.Contains(err.Error(), `of "n" do not lead to its root`) {
					t.Errorf("%d pieces: byte %d may be wrong: %v", n, at, err)
				}
			}
			if err := b.Add(r.HashRange, answer[:len(answer)-32]); err == nil {
				t.Errorf("%d pieces: a short answer was taken", n)
			}
			for range 2 { // the second one changes nothing
				if err := b.Add(r.HashRange, answer); err != nil {
					t.Errorf("%d pieces: %v", n, err)
				}
			}
		}
		if int(next) != n || b.Missing() != 0 {
			t.Errorf("%d pieces: requests end at %d, %d missing", n, next, b.Missing())
		}
		if _, err := NewHashes(f.info, b.Layers()); err != nil {
			t.Errorf("%d pieces: %v", n, err)
		}
		if !bytes.Equal(b.Layers()[f.info.Files[0].Root], f.layers[f.info.Files[0].Root]) {
			t.Errorf("%d pieces: another layer", n)
		}
		if b := NewLayerBuilder(f.info, f.layers); b.Missing() != 0 || len(b.Layers()) != 1 {
			t.Errorf("%d pieces: %d missing of what is there", n, b.Missing())
		}
	}
}

func TestLayerBuilderRefusesWhatItDidNotAsk(t *testing.T) {
	f := layered(t, 32<<10, 600)
	b := NewLayerBuilder(f.info, Layers{f.info.Files[0].Root: make([]byte, 600*32)})
	if b.Missing() != 2 {
		t.Errorf("%d missing: a wrong layer was taken", b.Missing())
	}
	var first LayerRange
	for r := range b.Requests() {
		first = r
		break
	}
	for name, change := range map[string]func(r *HashRange){
		"root":   func(r *HashRange) { r.Root[0]++ },
		"base":   func(r *HashRange) { r.BaseLayer++ },
		"index":  func(r *HashRange) { r.Index = 1 << 31 },
		"length": func(r *HashRange) { r.Length = 256 },
		"proof":  func(r *HashRange) { r.ProofLayers = 0 },
		"nil":    func(r *HashRange) { *r = HashRange{} },
	} {
		r := first.HashRange
		change(&r)
		if err := b.Add(r, make([]byte, 1<<16)); err == nil {
			t.Errorf("%s: %+v was taken", name, r)
		}
	}
	if len(b.Layers()) != 0 {
		t.Error("a layer out of nothing")
	}
}

func TestLayerBuilderNeedsNothing(t *testing.T) {
	small := makeUp(t, V2, 64<<10, size{"a", 64 << 10}, size{"b", 0}, size{"c", 5}).info
	if b := NewLayerBuilder(small, nil); b.Missing() != 0 {
		t.Errorf("small files: %d missing", b.Missing())
	}
	if b := NewLayerBuilder(makeUp(t, V1, 64<<10, size{"a", 1 << 20}).info, nil); b.Missing() != 0 {
		t.Errorf("v1: %d missing", b.Missing())
	}
	twins := makeUp(t, V2, 32<<10, size{"a", 100_000}, size{"b", 100_000}).info
	if b := NewLayerBuilder(twins, nil); b.Missing() != 1 {
		t.Errorf("two files of the same content: %d missing", b.Missing())
	}
}

func TestPieceRoot(t *testing.T) {
	for _, blocks := range []int{1, 2, 3, 4, 5, 7, 8} {
		b := random(blocks*BlockSize-7, uint64(blocks))
		leaves := func() []byte {
			var out []byte
			for block := range slices.Chunk(b, BlockSize) {
				h := LeafHash(block)
				out = append(out, h[:]...)
			}
			return out
		}
		if got, want := PieceRoot(leaves(), 8*BlockSize, true), top(slowTree(b, 1)); got != want {
			t.Errorf("whole file of %d blocks: %x, want %x", blocks, got, want)
		}
		if got, want := PieceRoot(leaves(), 8*BlockSize, false), top(slowTree(b, 8)); got != want {
			t.Errorf("piece of %d blocks: %x, want %x", blocks, got, want)
		}
	}
}
