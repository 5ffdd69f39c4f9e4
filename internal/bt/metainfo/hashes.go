package metainfo

import (
	"errors"
	"fmt"
)

// Layers are v2 piece layers (BEP 52): the root of each file that is longer
// than a piece, to the concatenated 32-byte hashes of its pieces.
type Layers map[[hashSize]byte][]byte

// ErrLayersMissing says that a v2 torrent's piece layers are not all there yet.
var ErrLayersMissing = errors.New("piece layers are missing")

// Hashes knows what each piece must hash to, everything checked against the
// info dictionary. It does not change after it was made and may be shared.
type Hashes struct {
	info   *Info
	layers Layers
	upper  map[[hashSize]byte]upperTree // of the layers with more than chunkHashes hashes
	v2     bool                         // pieces are checked by SHA-256
}

// NewHashes checks layers against the roots in info. A v2-only torrent needs
// all of them (else ErrLayersMissing); a hybrid that lacks some is checked by
// SHA-1. Layers of files that info does not have are left out.
func NewHashes(info *Info, layers Layers) (*Hashes, error) {
	h := &Hashes{info: info, layers: Layers{}, upper: map[[hashSize]byte]upperTree{}, v2: info.HasV2()}
	if !info.HasV2() {
		return h, nil
	}
	for n := range info.Files {
		f := &info.Files[n]
		if f.Length <= info.PieceLength || h.layers[f.Root] != nil {
			continue
		}
		layer := layers[f.Root]
		if layer == nil {
			if !info.HasV1() {
				return nil, fmt.Errorf("%w: %q has none", ErrLayersMissing, info.display(f))
			}
			h.v2 = false
			continue
		}
		if fault := h.add(f, layer); fault != "" {
			return nil, &KeyError{"piece layers", fmt.Sprintf("%q: %s", info.display(f), fault)}
		}
	}
	return h, nil
}

// add checks one layer and takes it.
func (h *Hashes) add(f *File, layer []byte) (fault string) {
	if want := layerSize(h.info, f); int64(len(layer)) != want {
		return fmt.Sprintf("%d bytes, want %d", len(layer), want)
	}
	upper, root := buildUpper(layer, heightFor(h.info.PieceLength/BlockSize))
	if root != f.Root {
		return "its hashes do not lead to the root in the info dictionary"
	}
	h.layers[f.Root] = layer
	if len(upper.levels) > 0 {
		h.upper[f.Root] = upper
	}
	return ""
}

// layerSize is the size in bytes of the piece layer of a file.
func layerSize(info *Info, f *File) int64 {
	return (f.Length + info.PieceLength - 1) / info.PieceLength * hashSize
}

// display names a file for people, in a single-file torrent too.
func (i *Info) display(f *File) string {
	if i.SingleFile {
		return i.Name
	}
	return DisplayPath(f.Path)
}

// Layers are the checked piece layers; do not write to them.
func (h *Hashes) Layers() Layers { return h.layers }

// UsesV2 reports whether pieces are checked by SHA-256, so that their blocks
// may be hashed in any order.
func (h *Hashes) UsesV2() bool { return h.v2 }

// want is the v2 hash of a piece, and whether the piece is a whole file.
func (h *Hashes) want(p Piece) (hash [hashSize]byte, whole bool) {
	i := h.info
	f := i.solidFile(i.firstEndingBehind(i.PieceOffset(p)))
	if f.Length <= i.PieceLength {
		return f.Root, true
	}
	first := Piece(f.Offset / i.PieceLength)
	return [hashSize]byte(h.layers[f.Root][int(p-first)*hashSize:]), false
}

// wantV1 is the SHA-1 of a piece.
func (h *Hashes) wantV1(p Piece) [20]byte { return [20]byte(h.info.pieces[int(p)*20:]) }

// MatchesSHA1 reports whether a piece has the SHA-1 that it must have, where
// pieces are checked by SHA-1.
func (h *Hashes) MatchesSHA1(p Piece, sum [20]byte) bool { return !h.v2 && sum == h.wantV1(p) }
