package metainfo

import (
	"crypto/sha256"
	"math/bits"
)

const (
	hashSize  = sha256.Size
	maxHeight = 48 // of any tree here: more leaves than MaxLength has blocks
)

// padRoots[h] is the root of a tree of height h whose leaves all lie behind the
// end of the file: zero hashes (BEP 52).
var padRoots = func() (roots [maxHeight + 1][hashSize]byte) {
	for h := range maxHeight {
		roots[h+1] = hashPair(roots[h], roots[h])
	}
	return roots
}()

func hashPair(a, b [hashSize]byte) [hashSize]byte {
	var pair [2 * hashSize]byte
	copy(pair[:hashSize], a[:])
	copy(pair[hashSize:], b[:])
	return sha256.Sum256(pair[:])
}

// heightFor is the height of the smallest tree of n >= 1 leaves.
func heightFor(n int64) int { return bits.Len64(uint64(n - 1)) }

// foldOnce replaces nodes, n hashes at height base, by their parents and
// returns how many these are. An odd last one is paired with padding.
func foldOnce(nodes []byte, base int) []byte {
	n := len(nodes) / hashSize
	for i := 0; i < n/2; i++ {
		parent := sha256.Sum256(nodes[2*i*hashSize : (2*i+2)*hashSize])
		copy(nodes[i*hashSize:], parent[:])
	}
	if n%2 == 1 {
		last := hashPair([hashSize]byte(nodes[(n-1)*hashSize:]), padRoots[base])
		copy(nodes[n/2*hashSize:], last[:])
	}
	return nodes[:(n+1)/2*hashSize]
}

// foldInto is the root, at height top, of a tree whose first nodes at height
// base are given and whose others are padding. It overwrites nodes.
func foldInto(nodes []byte, base, top int) [hashSize]byte {
	if len(nodes) == 0 {
		return padRoots[top]
	}
	for ; base < top && len(nodes) > hashSize; base++ {
		nodes = foldOnce(nodes, base)
	}
	root := [hashSize]byte(nodes)
	for ; base < top; base++ {
		root = hashPair(root, padRoots[base])
	}
	return root
}

// LeafHash is the leaf of a v2 tree for one block of at most BlockSize bytes.
func LeafHash(block []byte) [hashSize]byte { return sha256.Sum256(block) }

// AppendLeaves appends the leaves of b: of each block and of what is left at
// the end. It is faster than LeafHash for each.
func AppendLeaves(dst, b []byte) []byte {
	var two [2 * hashSize]byte
	for len(b) >= 2*BlockSize {
		leafPair(&two, (*[BlockSize]byte)(b), (*[BlockSize]byte)(b[BlockSize:]))
		dst, b = append(dst, two[:]...), b[2*BlockSize:]
	}
	for len(b) > 0 {
		n := min(len(b), BlockSize)
		leaf := LeafHash(b[:n])
		dst, b = append(dst, leaf[:]...), b[n:]
	}
	return dst
}

// PieceRoot is the v2 hash of a piece with the given leaves (32 bytes each, at
// least one), which it overwrites. pieceLength is that of the torrent; whole
// says that the piece is all there is of its file, whose tree then is no higher
// than it needs to be.
func PieceRoot(leaves []byte, pieceLength int64, whole bool) [hashSize]byte {
	if whole {
		return foldInto(leaves, 0, heightFor(int64(len(leaves)/hashSize)))
	}
	return foldInto(leaves, 0, heightFor(pieceLength/BlockSize))
}

// LayerRoot is the v2 root of a file of more than one piece, given the hashes
// of its pieces (32 bytes each). It leaves layer as it is.
func LayerRoot(layer []byte, pieceLength int64) [hashSize]byte {
	base := heightFor(pieceLength / BlockSize)
	return foldInto(append([]byte(nil), layer...), base, base+heightFor(int64(len(layer)/hashSize)))
}
