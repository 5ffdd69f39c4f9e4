package metainfo

import (
	"crypto/sha1"
	"crypto/sha256"
	"hash"

	"shoal/internal/bt/bitfield"
)

// Checker verifies one piece while its bytes arrive. It is used again and again
// by Reset, allocates nothing between, and is not safe for concurrent use.
type Checker struct {
	hashes *Hashes
	piece  Piece
	data   int64 // bytes of the piece that are hashed
	next   int64 // bytes hashed contiguously from the start
	state  hash.Hash
	sum    [hashSize]byte // where state.Sum puts its result

	// SHA-1 only.
	padded bool // the trailing padding has been hashed

	// SHA-256 only. state holds the block of which [start of block, next) has come.
	leaves  []byte // 32 bytes a block
	scratch []byte // leaves, to be folded
	blocks  *bitfield.Set
}

// NewChecker returns a Checker for piece 0; Reset sets it to another.
func (h *Hashes) NewChecker() *Checker {
	c := &Checker{hashes: h}
	if h.v2 {
		c.state = sha256.New()
		c.blocks = bitfield.New(int(min(h.info.PieceLength, h.info.length)+BlockSize-1) / BlockSize)
	} else {
		c.state = sha1.New()
	}
	c.Reset(0)
	return c
}

// Reset makes the checker ready for a piece of which no byte has come.
func (c *Checker) Reset(p Piece) {
	c.piece, c.data, c.next, c.padded = p, c.hashes.info.PieceData(p), 0, false
	c.state.Reset()
	if c.hashes.v2 {
		for b := c.blocks.Next(0); b >= 0; b = c.blocks.Next(b + 1) {
			c.blocks.Clear(b)
		}
		n := int(c.data+BlockSize-1) / BlockSize * hashSize
		if cap(c.leaves) < n {
			c.leaves, c.scratch = make([]byte, n), make([]byte, n)
		}
		c.leaves = c.leaves[:n]
	}
}

// Next is the number of bytes that are hashed contiguously from the start.
func (c *Checker) Next() int64 { return c.next }

// WriteAt hashes b, which lies at off inside of the piece, and of which no byte
// lies behind PieceData. It returns false, and has done nothing, if it does not
// accept the order; the caller then feeds the piece again from the start, or
// from Next, when it has the bytes.
//
// By SHA-1 bytes come in order: off == Next(). By SHA-256 blocks come in any
// order: off == Next() or a multiple of BlockSize, and b ends at such a
// multiple or at PieceData, unless it began at Next(). A block that comes again
// takes the place of the one before, as it does on disk.
func (c *Checker) WriteAt(b []byte, off int64) bool {
	if off < 0 || off > c.data || int64(len(b)) > c.data-off {
		return false
	}
	if off == c.next {
		c.inOrder(b)
		return true
	}
	end := off + int64(len(b))
	if !c.hashes.v2 || off%BlockSize != 0 || (end%BlockSize != 0 && end != c.data) {
		return false
	}
	c.setLeaves(off/BlockSize, b)
	c.advance()
	return true
}

// inOrder hashes bytes that begin at next.
func (c *Checker) inOrder(b []byte) {
	if !c.hashes.v2 {
		c.state.Write(b)
		c.next += int64(len(b))
		return
	}
	for len(b) > 0 {
		block := c.next / BlockSize
		start := block * BlockSize
		end := min(start+BlockSize, c.data)
		n := min(int64(len(b)), end-c.next)
		switch {
		case n == end-start: // whole blocks in one go, the usual case
			n = int64(len(b))
			if c.next+n < c.data {
				n -= n % BlockSize
			}
			c.setLeaves(block, b[:n])
		case c.next == start:
			c.state.Reset()
			c.state.Write(b[:n])
			c.blocks.Clear(int(block)) // it came before, and its start changes now
		default:
			c.state.Write(b[:n])
			if c.next+n == end {
				c.setLeaf(block, [hashSize]byte(c.state.Sum(c.sum[:0])))
			}
		}
		c.next, b = c.next+n, b[n:]
	}
	c.advance()
}

// setLeaves hashes whole blocks from the given one on; the last may be the
// piece's, which is shorter.
func (c *Checker) setLeaves(block int64, b []byte) {
	AppendLeaves(c.leaves[:block*hashSize], b)
	for end := block + int64(len(b)+BlockSize-1)/BlockSize; block < end; block++ {
		c.blocks.Set(int(block))
	}
}

func (c *Checker) setLeaf(block int64, leaf [hashSize]byte) {
	copy(c.leaves[block*hashSize:], leaf[:])
	c.blocks.Set(int(block))
}

// advance moves next over the blocks that came early. A block that has begun in
// order is overtaken if it came again as a whole.
func (c *Checker) advance() {
	block := c.next / BlockSize
	if !c.blocks.Has(int(block)) {
		return
	}
	free := c.blocks.NextClear(int(block))
	if free < 0 {
		free = c.blocks.Len()
	}
	c.next = min(int64(free)*BlockSize, c.data)
}

// OK reports whether every byte of the piece was hashed and the hash is right.
func (c *Checker) OK() bool {
	if c.next != c.data {
		return false
	}
	if c.hashes.v2 {
		want, whole := c.hashes.want(c.piece)
		scratch := c.scratch[:copy(c.scratch[:cap(c.scratch)], c.leaves)]
		return PieceRoot(scratch, c.hashes.info.PieceLength, whole) == want
	}
	if !c.padded {
		for rest := c.hashes.info.PieceSize(c.piece) - c.data; rest > 0; {
			n := min(rest, BlockSize)
			c.state.Write(zeros[:n])
			rest -= n
		}
		c.padded = true
	}
	return [sha1.Size]byte(c.state.Sum(c.sum[:0])) == c.hashes.wantV1(c.piece)
}

// zeros is padding; nothing writes to it.
var zeros [BlockSize]byte
