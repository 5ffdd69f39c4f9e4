package metainfo

import (
	"crypto/sha1"
	"crypto/sha256"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"shoal/internal/bt/bencode"
)

// dict and list spell test input.
type (
	dict = map[string]any
	list = []any
)

func encode(t testing.TB, v any) []byte {
	t.Helper()
	raw, err := bencode.Append(nil, v)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// with returns d with some keys set to others, or left out where nil.
func with(d dict, keys dict) dict {
	out := dict{}
	for k, v := range d {
		out[k] = v
	}
	for k, v := range keys {
		if out[k] = v; v == nil {
			delete(out, k)
		}
	}
	return out
}

// rawValue is a value that is spelled by the test itself.
func rawValue(s string) bencode.Raw { return bencode.Raw(s) }

func hashes20(n int) string { return strings.Repeat("h", 20*n) }

func random(n int, seed uint64) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)}).Read(b)
	return b
}

// slowTree is all levels of the tree of BEP 52 over content, by its definition:
// leaves first, padded with zero hashes to a power of two of at least width.
func slowTree(content []byte, width int) [][][32]byte {
	var level [][32]byte
	for block := range slices.Chunk(content, BlockSize) {
		level = append(level, sha256.Sum256(block))
	}
	for len(level)&(len(level)-1) != 0 || len(level) < width {
		level = append(level, [32]byte{})
	}
	levels := [][][32]byte{level}
	for len(level) > 1 {
		up := make([][32]byte, len(level)/2)
		for i := range up {
			up[i] = sha256.Sum256(append(level[2*i][:], level[2*i+1][:]...))
		}
		level = up
		levels = append(levels, level)
	}
	return levels
}

func top(levels [][][32]byte) [32]byte { return levels[len(levels)-1][0] }

// content is a made-up torrent with its bytes.
type content struct {
	info   *Info
	layers Layers
	space  []byte // all of piece space
}

// size is a file to make up: "name" of so many bytes.
type size struct {
	name string
	n    int
}

// makeUp hashes files of random bytes by plain definitions.
func makeUp(t testing.TB, v Version, pieceLength int64, sizes ...size) content {
	t.Helper()
	d := Draft{Version: v, Name: "made up", PieceLength: pieceLength}
	for _, s := range sizes {
		d.Files = append(d.Files, File{Path: strings.Split(s.name, "/"), Length: int64(s.n)})
	}
	geometry, err := d.Layout()
	if err != nil {
		t.Fatal(err)
	}
	c := content{layers: Layers{}, space: make([]byte, geometry.Length())}
	for n := range d.Files {
		f := &d.Files[n]
		if f.Length == 0 {
			continue
		}
		b := random(int(f.Length), uint64(f.Length))
		copy(c.space[f.Offset:], b)
		if v == V1 {
			continue
		}
		levels := slowTree(b, 1)
		f.Root = top(levels)
		if f.Length > pieceLength {
			var layer []byte
			for _, h := range slowTree(b, 1)[heightFor(pieceLength/BlockSize)][:(f.Length+pieceLength-1)/pieceLength] {
				layer = append(layer, h[:]...)
			}
			c.layers[f.Root] = layer
		}
	}
	if v != V2 {
		for b := range slices.Chunk(c.space, int(pieceLength)) {
			sum := sha1.Sum(b)
			d.Pieces = append(d.Pieces, sum[:]...)
		}
	}
	raw, err := d.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if c.info, err = ParseInfo(raw); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c content) hashes(t testing.TB) *Hashes {
	t.Helper()
	h, err := NewHashes(c.info, c.layers)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// piece is the data of a piece.
func (c content) piece(p Piece) []byte {
	off := c.info.PieceOffset(p)
	return c.space[off : off+c.info.PieceData(p)]
}

// wantKeyError checks that err names the key and says a part of the reason.
func wantKeyError(t *testing.T, name string, err error, key, reason string) {
	t.Helper()
	var k *KeyError
	if !errors.As(err, &k) || k.Key != key || !strings.Contains(k.Reason, reason) {
		t.Errorf("%s: err = %v; want %s: ...%s...", name, err, key, reason)
	}
}
