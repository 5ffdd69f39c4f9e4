package metainfo

import (
	"fmt"
	"math/bits"
	"slices"
)

// chunkHashes is the most hashes of one layer that are asked for at a time
// (BEP 52: "should not be greater than 512").
const (
	chunkHashes = 1 << chunkHeight
	chunkHeight = 9
)

// HashRange names a run of hashes of one layer of a file's tree, with the
// uncles that prove it: the payload of a hash request (BEP 52). Layers count
// upwards from the blocks.
type HashRange struct {
	Root        [hashSize]byte // of the file
	BaseLayer   uint32         // that of the run; answered here: the piece layer
	Index       uint32         // of the first hash in its layer, a multiple of Length
	Length      uint32         // hashes in the run, a power of two
	ProofLayers uint32         // layers above the base layer that are to be proven
}

// uncles is how many proof hashes stand behind the run. A layer that the run
// covers as a whole needs none, though it counts as a proof layer.
func (r HashRange) uncles() int {
	return max(0, int(r.ProofLayers)+1-r.height())
}

// height is that of the tree over the run.
func (r HashRange) height() int { return bits.TrailingZeros32(r.Length) }

// Size is the number of bytes that the answer's hashes take.
func (r HashRange) Size() int { return (int(r.Length) + r.uncles()) * hashSize }

// fault says why a tree of the given width cannot answer.
func (r HashRange) fault(pieceLayer, treeHeight int) string {
	switch {
	case r.Length == 0 || r.Length > chunkHashes || r.Length&(r.Length-1) != 0:
		return fmt.Sprintf("the length %d is not a power of two of at most %d", r.Length, chunkHashes)
	case r.BaseLayer != uint32(pieceLayer):
		return fmt.Sprintf("layer %d is not the piece layer, which is %d", r.BaseLayer, pieceLayer)
	case r.Index%r.Length != 0:
		return fmt.Sprintf("the index %d is no multiple of the length %d", r.Index, r.Length)
	case uint64(r.Index)+uint64(r.Length) > 1<<treeHeight:
		return fmt.Sprintf("hash %d lies behind the end of the layer", uint64(r.Index)+uint64(r.Length)-1)
	case int64(r.ProofLayers) >= int64(treeHeight):
		return fmt.Sprintf("there are no %d layers below the root to prove", r.ProofLayers)
	}
	return ""
}

// upperTree holds the nodes of a file's tree from chunkHeight layers above the
// piece layer upwards, so that no answer needs more than a chunk or two of
// hashing. levels[0] are the roots of the chunks; empty for small files.
type upperTree struct{ levels [][]byte }

// buildUpper folds a piece layer, whose hashes have height base, to its root.
func buildUpper(layer []byte, base int) (upperTree, [hashSize]byte) {
	n := len(layer) / hashSize
	top := base + heightFor(int64(n))
	if n <= chunkHashes {
		return upperTree{}, foldInto(slices.Clone(layer), base, top)
	}
	var t upperTree
	var scratch [chunkHashes * hashSize]byte
	var level []byte
	for at := 0; at < len(layer); at += len(scratch) {
		chunk := scratch[:copy(scratch[:], layer[at:])]
		root := foldInto(chunk, base, base+chunkHeight)
		level = append(level, root[:]...)
	}
	for h := base + chunkHeight; len(level) > hashSize; h++ {
		t.levels = append(t.levels, level)
		level = foldOnce(slices.Clone(level), h)
	}
	return t, [hashSize]byte(level)
}

// Answer makes the hashes that answer a request: the run, then the uncles from
// the bottom up. It returns false if the request has to be rejected: a layer
// that is not at hand, or a range that makes no sense.
func (h *Hashes) Answer(r HashRange) ([]byte, bool) {
	layer := h.layers[r.Root]
	if layer == nil {
		return nil, false
	}
	base := heightFor(h.info.PieceLength / BlockSize)
	n := len(layer) / hashSize
	if r.fault(base, heightFor(int64(n))) != "" {
		return nil, false
	}
	answer := make([]byte, 0, r.Size())
	for i := int(r.Index); i < int(r.Index+r.Length); i++ {
		if i < n {
			answer = append(answer, layer[i*hashSize:(i+1)*hashSize]...)
		} else {
			answer = append(answer, padRoots[base][:]...)
		}
	}
	for k := r.height(); len(answer) < cap(answer); k++ {
		uncle := h.node(r.Root, layer, base, k, int(r.Index>>k)^1)
		answer = append(answer, uncle[:]...)
	}
	return answer, true
}

// node is the i-th node k layers above the piece layer, which has height base.
func (h *Hashes) node(root [hashSize]byte, layer []byte, base, k, i int) [hashSize]byte {
	if levels := h.upper[root].levels; k >= chunkHeight && k-chunkHeight < len(levels) {
		if level := levels[k-chunkHeight]; i*hashSize < len(level) {
			return [hashSize]byte(level[i*hashSize:])
		}
		return padRoots[base+k]
	}
	from := min(i<<k*hashSize, len(layer))
	to := min((i+1)<<k*hashSize, len(layer))
	return foldInto(slices.Clone(layer[from:to]), base, base+k)
}

// verify checks an answer to a range whose ProofLayers reach up to the root, as
// those that LayerBuilder asks for do.
func (r HashRange) verify(hashes []byte) bool {
	if len(hashes) != r.Size() {
		return false
	}
	run, uncles := hashes[:int(r.Length)*hashSize], hashes[int(r.Length)*hashSize:]
	k := r.height()
	node := foldInto(slices.Clone(run), int(r.BaseLayer), int(r.BaseLayer)+k)
	for ; len(uncles) > 0; k++ {
		if r.Index>>k&1 == 0 {
			node = hashPair(node, [hashSize]byte(uncles))
		} else {
			node = hashPair([hashSize]byte(uncles), node)
		}
		uncles = uncles[hashSize:]
	}
	return node == r.Root
}
