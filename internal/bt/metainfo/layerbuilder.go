package metainfo

import (
	"fmt"
	"iter"
)

// LayerBuilder puts the piece layers of a torrent together from answers of
// peers, which it checks one by one, when there is only the info dictionary (a
// magnet link). It is not safe for concurrent use.
type LayerBuilder struct {
	info  *Info
	files map[[hashSize]byte]*layerInMaking
	order [][hashSize]byte // roots in order of files, each once
	todo  int              // ranges that are missing
}

// layerInMaking is the layer of one file.
type layerInMaking struct {
	file   int    // the first one that has the root
	hashes int    // in the layer, without padding
	layer  []byte // nil until the first answer
	have   []bool // ranges that are there
	todo   int
}

// LayerRange is a range to ask for, and the pieces whose hashes it brings: a
// peer that has one of them can answer.
type LayerRange struct {
	HashRange
	First, End Piece // half-open
}

// NewLayerBuilder starts with the layers that are known and correct; others in
// layers are left out.
func NewLayerBuilder(info *Info, layers Layers) *LayerBuilder {
	b := &LayerBuilder{info: info, files: map[[hashSize]byte]*layerInMaking{}}
	base := heightFor(info.PieceLength / BlockSize)
	for n := range info.Files {
		f := &info.Files[n]
		if !info.HasV2() || f.Length <= info.PieceLength || b.files[f.Root] != nil {
			continue
		}
		size := layerSize(info, f)
		m := &layerInMaking{file: n, hashes: int(size / hashSize)}
		m.have = make([]bool, (m.hashes+chunkHashes-1)/chunkHashes)
		m.todo = len(m.have)
		if layer := layers[f.Root]; int64(len(layer)) == size {
			if _, root := buildUpper(layer, base); root == f.Root {
				m.layer, m.todo = layer, 0
			}
		}
		b.files[f.Root] = m
		b.order = append(b.order, f.Root)
		b.todo += m.todo
	}
	return b
}

// Missing is the number of ranges that have not come yet; 0 when all is there.
func (b *LayerBuilder) Missing() int { return b.todo }

// Requests walks the ranges that are missing, in order of files.
func (b *LayerBuilder) Requests() iter.Seq[LayerRange] {
	return func(yield func(LayerRange) bool) {
		for _, root := range b.order {
			m := b.files[root]
			for n := 0; m.todo > 0 && n < len(m.have); n++ {
				if !m.have[n] && !yield(b.request(root, m, n)) {
					return
				}
			}
		}
	}
}

// request is the n-th range of a layer. The last one is as short as a power of
// two can be, but has two hashes or more (BEP 52).
func (b *LayerBuilder) request(root [hashSize]byte, m *layerInMaking, n int) LayerRange {
	rest := min(m.hashes-n*chunkHashes, chunkHashes)
	first, _ := b.info.FilePieces(m.file)
	first += Piece(n * chunkHashes)
	return LayerRange{
		HashRange: HashRange{
			Root:        root,
			BaseLayer:   uint32(heightFor(b.info.PieceLength / BlockSize)),
			Index:       uint32(n * chunkHashes),
			Length:      uint32(max(2, 1<<heightFor(int64(rest)))),
			ProofLayers: uint32(heightFor(int64(m.hashes)) - 1),
		},
		First: first,
		End:   first + Piece(rest),
	}
}

// Add checks an answer and takes it. An error means that the peer sent hashes
// that do not belong to the file, or answered what Requests never asked. What
// is there already is checked again and changes nothing.
func (b *LayerBuilder) Add(r HashRange, hashes []byte) error {
	m := b.files[r.Root]
	if m == nil {
		return fmt.Errorf("hashes of a file that is not in the torrent: root %x", r.Root)
	}
	n := int(r.Index / chunkHashes)
	if n >= len(m.have) || b.request(r.Root, m, n).HashRange != r {
		return fmt.Errorf("hashes that nobody asked for: %d at %d of %q", r.Length, r.Index, b.info.display(&b.info.Files[m.file]))
	}
	if !r.verify(hashes) {
		return fmt.Errorf("hashes %d to %d of %q do not lead to its root", r.Index, r.Index+r.Length-1, b.info.display(&b.info.Files[m.file]))
	}
	if m.todo == 0 || m.have[n] {
		return nil
	}
	if m.layer == nil {
		m.layer = make([]byte, m.hashes*hashSize)
	}
	copy(m.layer[int(r.Index)*hashSize:], hashes[:int(r.Length)*hashSize])
	m.have[n] = true
	m.todo--
	b.todo--
	return nil
}

// Layers are the layers that are complete.
func (b *LayerBuilder) Layers() Layers {
	layers := Layers{}
	for root, m := range b.files {
		if m.todo == 0 {
			layers[root] = m.layer
		}
	}
	return layers
}
