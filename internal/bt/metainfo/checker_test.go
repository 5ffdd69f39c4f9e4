package metainfo

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
)

var checkedTree = []size{{"a", 100_000}, {"b", 70_000}, {"c", 16 << 10}, {"d", 5}, {"e", 128 << 10}, {"f", 64<<10 + 1}}

func TestCheckerInOrder(t *testing.T) {
	for _, v := range []Version{V1, V2, Hybrid} {
		c := makeUp(t, v, 64<<10, checkedTree...)
		for _, step := range []int{1 << 20, 64 << 10, 16 << 10, 5000, 16<<10 + 1} {
			check := c.hashes(t).NewChecker()
			for n := range c.info.NumPieces() {
				p := Piece(n)
				check.Reset(p)
				for b := range slices.Chunk(c.piece(p), step) {
					if check.OK() {
						t.Fatalf("%s piece %d: OK before its end", v, n)
					}
					if !check.WriteAt(b, check.Next()) {
						t.Fatalf("%s piece %d: bytes in order refused at %d", v, n, check.Next())
					}
				}
				for range 2 { // asked twice, it says the same
					if !check.OK() || check.Next() != c.info.PieceData(p) {
						t.Errorf("%s piece %d in steps of %d: not OK", v, n, step)
					}
				}
			}
		}
	}
}

func TestCheckerSeesEveryByte(t *testing.T) {
	for _, v := range []Version{V1, V2, Hybrid} {
		c := makeUp(t, v, 64<<10, checkedTree...)
		check := c.hashes(t).NewChecker()
		for n := range c.info.NumPieces() {
			p := Piece(n)
			b := slices.Clone(c.piece(p))
			for _, at := range []int{0, len(b) / 2, len(b) - 1} {
				b[at] ^= 1
				check.Reset(p)
				check.WriteAt(b, 0)
				if check.OK() {
					t.Errorf("%s piece %d: byte %d may be wrong", v, n, at)
				}
				b[at] ^= 1
			}
			check.Reset(p)
			check.WriteAt(b[:len(b)-1], 0)
			if check.OK() {
				t.Errorf("%s piece %d: OK without its last byte", v, n)
			}
		}
	}
}

func TestCheckerOrderBySHA1(t *testing.T) {
	c := makeUp(t, V1, 64<<10, checkedTree...)
	check := c.hashes(t).NewChecker()
	b := c.piece(0)
	if check.WriteAt(b[BlockSize:2*BlockSize], BlockSize) || check.Next() != 0 {
		t.Error("a block ahead of its turn was taken")
	}
	if !check.WriteAt(b[:BlockSize], 0) || check.WriteAt(b[:BlockSize], 0) {
		t.Error("a block twice was taken")
	}
	if !check.WriteAt(b[BlockSize:], BlockSize) || !check.OK() {
		t.Error("not OK")
	}
}

func TestCheckerAnyOrderBySHA256(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for _, v := range []Version{V2, Hybrid} {
		c := makeUp(t, v, 64<<10, checkedTree...)
		check := c.hashes(t).NewChecker()
		for n := range c.info.NumPieces() {
			b := c.piece(Piece(n))
			blocks := (len(b) + BlockSize - 1) / BlockSize
			for range 10 {
				check.Reset(Piece(n))
				order := append(rng.Perm(blocks), rng.Perm(blocks)[:blocks/2]...) // some come twice
				for _, block := range order {
					at := block * BlockSize
					if !check.WriteAt(b[at:min(at+BlockSize, len(b))], int64(at)) {
						t.Fatalf("%s piece %d: block %d of %v refused", v, n, block, order)
					}
				}
				if !check.OK() {
					t.Errorf("%s piece %d: not OK in order %v", v, n, order)
				}
			}
		}
	}
}

// TestCheckerAgainstMemory writes at random what is accepted and what is not,
// and compares with a plain copy of the piece.
func TestCheckerAgainstMemory(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	c := makeUp(t, V2, 64<<10, checkedTree...)
	check := c.hashes(t).NewChecker()
	passed := 0
	for n := range c.info.NumPieces() {
		good := c.piece(Piece(n))
		for range 3 {
			check.Reset(Piece(n))
			disk := make([]byte, len(good))
			for range 40 {
				off := rng.IntN(len(good)/BlockSize+1) * BlockSize
				if rng.IntN(3) > 0 {
					off = int(check.Next())
				}
				off = min(off, len(good))
				size := rng.IntN(3 * BlockSize)
				if rng.IntN(2) == 0 {
					size = (1 + rng.IntN(2)) * BlockSize
				}
				b := slices.Clone(good[off:min(off+size, len(good))])
				if rng.IntN(20) == 0 && len(b) > 0 {
					b[rng.IntN(len(b))] ^= 1
				}
				if check.WriteAt(b, int64(off)) {
					copy(disk[off:], b)
				}
				if !check.OK() {
					continue
				}
				if passed++; !slices.Equal(disk, good) {
					t.Fatalf("piece %d: OK, but the bytes are not those of the piece", n)
				}
			}
		}
	}
	if passed < 5 {
		t.Errorf("only %d times OK: the test tests little", passed)
	}
}

func TestCheckerRefusesNonsense(t *testing.T) {
	for _, v := range []Version{V1, V2, Hybrid} {
		c := makeUp(t, v, 64<<10, checkedTree...)
		check := c.hashes(t).NewChecker()
		last := Piece(c.info.NumPieces() - 1) // of one byte in V2
		check.Reset(last)
		data := c.info.PieceData(last)
		for _, w := range []struct{ n, off int64 }{{1, -1}, {1, data}, {data + 1, 0}, {1, 1 << 62}, {BlockSize, BlockSize}} {
			if data > BlockSize && w.off == BlockSize {
				continue
			}
			if check.WriteAt(make([]byte, w.n), w.off) {
				t.Errorf("%s: %d bytes at %d of a piece of %d were taken", v, w.n, w.off, data)
			}
		}
	}
	c := makeUp(t, V2, 64<<10, checkedTree...)
	check := c.hashes(t).NewChecker()
	b := c.piece(0)
	if check.WriteAt(b[100:BlockSize], 100) || check.WriteAt(b[BlockSize:BlockSize+100], BlockSize) {
		t.Error("part of a block out of turn was taken")
	}
}

// TestCheckerAllocatesNothing: one runs for each piece in flight.
func TestCheckerAllocatesNothing(t *testing.T) {
	for _, v := range []Version{V1, V2, Hybrid} {
		c := makeUp(t, v, 64<<10, checkedTree...)
		check := c.hashes(t).NewChecker()
		b := c.piece(0)
		check.Reset(0) // the first one makes room
		if n := testing.AllocsPerRun(10, func() {
			check.Reset(0)
			for at := 0; at < len(b); at += 5000 {
				check.WriteAt(b[at:min(at+5000, len(b))], int64(at))
			}
			if !check.OK() {
				t.Error("not OK")
			}
		}); n > 0 {
			t.Errorf("%s: %.0f allocations a piece", v, n)
		}
	}
}

func TestNewHashes(t *testing.T) {
	c := makeUp(t, V2, 64<<10, checkedTree...)
	if _, err := NewHashes(c.info, nil); !errors.Is(err, ErrLayersMissing) {
		t.Errorf("v2 without layers: %v", err)
	}
	hy := makeUp(t, Hybrid, 64<<10, checkedTree...)
	h, err := NewHashes(hy.info, Layers{})
	if err != nil || h.UsesV2() {
		t.Errorf("hybrid without layers: %v", err)
	}
	if h := hy.hashes(t); !h.UsesV2() || len(h.Layers()) != 4 {
		t.Errorf("hybrid: %d layers", len(h.Layers()))
	}
	for root, layer := range c.layers {
		for _, bad := range [][]byte{layer[:len(layer)-32], append(slices.Clone(layer), layer[:32]...), append([]byte{layer[0] ^ 1}, layer[1:]...)} {
			layers := Layers{}
			for r, l := range c.layers {
				layers[r] = l
			}
			layers[root] = bad
			_, err := NewHashes(c.info, layers)
			wantKeyError(t, "bad layer", err, "piece layers", "")
		}
	}
	other := Layers{{1}: []byte("not of this torrent")}
	for r, l := range c.layers {
		other[r] = l
	}
	if h, err := NewHashes(c.info, other); err != nil || len(h.Layers()) != len(c.layers) {
		t.Errorf("with a foreign layer: %v", err)
	}
}
