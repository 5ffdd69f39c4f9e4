package metainfo

import (
	"bytes"
	"crypto/sha256"
	"testing"
)

// TestAppendLeaves compares with the standard library's hashes, at every length
// around blocks, and at odd addresses.
func TestAppendLeaves(t *testing.T) {
	all := random(7*BlockSize+64, 5)
	for _, blocks := range []int{0, 1, 2, 3, 4, 7} {
		for _, more := range []int{0, 1, 55, 56, 63, 64, BlockSize - 1} {
			for shift := range 3 {
				b := all[shift:min(len(all), shift+blocks*BlockSize+more)]
				want := []byte("before")
				for rest := b; len(rest) > 0; {
					n := min(len(rest), BlockSize)
					sum := sha256.Sum256(rest[:n])
					want, rest = append(want, sum[:]...), rest[n:]
				}
				if got := AppendLeaves([]byte("before"), b); !bytes.Equal(got, want) {
					t.Fatalf("%d blocks and %d bytes, shifted by %d: other leaves", blocks, more, shift)
				}
			}
		}
	}
}

// BenchmarkLeaves is to be compared with BenchmarkLeafHash: what the standard
// library does on one core.
func BenchmarkLeaves(b *testing.B) {
	data := make([]byte, 256<<10)
	var leaves []byte
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		leaves = AppendLeaves(leaves[:0], data)
	}
}

func BenchmarkLeafHash(b *testing.B) {
	data := make([]byte, 256<<10)
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		for rest := data; len(rest) > 0; rest = rest[BlockSize:] {
			LeafHash(rest[:BlockSize])
		}
	}
}
