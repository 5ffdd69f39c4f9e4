package metainfo

import (
	"crypto/sha1"
	"testing"
)

// TestSHA1Pair compares with the standard library's hashes, in writes of
// several lengths and at odd addresses.
func TestSHA1Pair(t *testing.T) {
	all := random(3*BlockSize, 6)
	var pair SHA1Pair
	for _, n := range []int{0, 1, 2, 3, 64, 127} {
		for _, step := range []int{1, 2, 200} {
			for shift := range 3 {
				a := all[shift : shift+n*sha1.BlockSize]
				b := all[BlockSize-shift:][:n*sha1.BlockSize]
				pair.Reset()
				for at := 0; at < len(a); at += step * sha1.BlockSize {
					end := min(len(a), at+step*sha1.BlockSize)
					pair.Write(a[at:end], b[at:end])
				}
				if gotA, gotB := pair.Sums(); gotA != sha1.Sum(a) || gotB != sha1.Sum(b) {
					t.Fatalf("%d blocks, %d at a time, shifted by %d: other hashes", n, step, shift)
				}
			}
		}
	}
}

// BenchmarkSHA1Pair is to be compared with BenchmarkSHA1: what the standard
// library does on one core.
func BenchmarkSHA1Pair(b *testing.B) {
	data := make([]byte, 256<<10)
	var pair SHA1Pair
	pair.Reset()
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		pair.Write(data[:128<<10], data[128<<10:])
	}
}

func BenchmarkSHA1(b *testing.B) {
	data := make([]byte, 256<<10)
	state := sha1.New()
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		state.Write(data)
	}
}
