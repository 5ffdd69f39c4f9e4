package storage

import (
	"crypto/sha1"
	"crypto/sha256"
	"sync"

	"shoal/internal/bt/bencode"
	"shoal/internal/bt/metainfo"
)

// holeFrom is the size from which a file is asked for its holes; smaller ones
// are read as fast.
const holeFrom = 1 << 20

// inHole tells whether a piece lies in holes altogether: reserved and never
// written, or zeros that were never stored. It need not be read then.
func (d *Disk) inHole(p metainfo.Piece) bool {
	off := d.info.PieceOffset(p)
	for s := range d.info.Segments(off, d.info.PieceData(p)) {
		if s.File >= 0 {
			file, fileOff := d.at(s, off)
			if d.length(s.File) < holeFrom {
				return false
			}
			h, err := d.hold(file, false)
			if err != nil {
				return false
			}
			end := fileOff + s.Length
			hole := dataAt(h.val.fd, fileOff, end) >= end
			h.release()
			if !hole {
				return false
			}
		}
		off += s.Length
	}
	return true
}

// zeroPieces knows which pieces are nothing but zeros, without hashing each: all
// zero pieces of one size have one hash.
type zeroPieces struct {
	info   *metainfo.Info
	hashes *metainfo.Hashes

	mu     sync.Mutex
	known  map[zeroShape]string // hashes of zeros
	pieces []byte               // v1: the row of SHA-1 hashes; read when first asked for
}

// zeroShape is all that the hash of a zero piece depends on.
type zeroShape struct {
	data, size int64
	whole      bool // v2: the piece is a whole file
}

func newZeroPieces(info *metainfo.Info, hashes *metainfo.Hashes) *zeroPieces {
	return &zeroPieces{info: info, hashes: hashes, known: map[zeroShape]string{}}
}

// matches tells whether a piece must be all zeros.
func (z *zeroPieces) matches(p metainfo.Piece) bool {
	z.mu.Lock()
	defer z.mu.Unlock()
	shape := zeroShape{data: z.info.PieceData(p), size: z.info.PieceSize(p)}
	var want string
	if z.hashes.UsesV2() {
		want, shape.whole = z.wantV2(p)
	} else {
		want = z.wantV1(p)
	}
	hash, ok := z.known[shape]
	if !ok {
		hash = z.hash(shape)
		z.known[shape] = hash
	}
	return hash == want
}

func (z *zeroPieces) wantV1(p metainfo.Piece) string {
	if z.pieces == nil {
		doc, err := bencode.Parse(z.info.Raw, bencode.Limits{Size: len(z.info.Raw), Values: len(z.info.Raw), Depth: metainfo.MaxDepth + 8})
		if err != nil {
			return "" // cannot happen: it was parsed before; then the piece is not known to be zero
		}
		z.pieces, _ = doc.Get("pieces").Bytes()
	}
	if at := int(p) * sha1.Size; at+sha1.Size <= len(z.pieces) {
		return string(z.pieces[at : at+sha1.Size])
	}
	return ""
}

func (z *zeroPieces) wantV2(p metainfo.Piece) (want string, whole bool) {
	for s := range z.info.Segments(z.info.PieceOffset(p), 1) {
		if s.File < 0 {
			return "", false
		}
		f := &z.info.Files[s.File]
		if f.Length <= z.info.PieceLength {
			return string(f.Root[:]), true
		}
		first, _ := z.info.FilePieces(s.File)
		layer := z.hashes.Layers()[f.Root]
		if at := int(p-first) * sha256.Size; at+sha256.Size <= len(layer) {
			return string(layer[at : at+sha256.Size]), false
		}
	}
	return "", false
}

// hash is the hash of a zero piece.
func (z *zeroPieces) hash(s zeroShape) string {
	zeros := make([]byte, metainfo.BlockSize)
	if !z.hashes.UsesV2() {
		h := sha1.New()
		for rest := s.size; rest > 0; rest -= metainfo.BlockSize {
			h.Write(zeros[:min(rest, metainfo.BlockSize)])
		}
		return string(h.Sum(nil))
	}
	var leaves []byte
	block := metainfo.LeafHash(zeros)
	rest := s.data
	for ; rest >= metainfo.BlockSize; rest -= metainfo.BlockSize {
		leaves = append(leaves, block[:]...)
	}
	if rest > 0 {
		last := metainfo.LeafHash(zeros[:rest])
		leaves = append(leaves, last[:]...)
	}
	root := metainfo.PieceRoot(leaves, z.info.PieceLength, s.whole)
	return string(root[:])
}
