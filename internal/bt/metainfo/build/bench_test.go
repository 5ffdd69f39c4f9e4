package build

import (
	"crypto/sha1"
	"crypto/sha256"
	"fmt"
	"path/filepath"
	"testing"

	"shoal/internal/bt/metainfo"
)

// BenchmarkBuild hashes from the page cache. Compare with BenchmarkRate, which
// is what the cores can do at most.
func BenchmarkBuild(b *testing.B) {
	big := filepath.Join(b.TempDir(), "big")
	put(b, big, "a", 200<<20, 0o644)
	put(b, big, "b", 56<<20, 0o644)
	many := filepath.Join(b.TempDir(), "many")
	for n := range 10_000 {
		put(b, many, fmt.Sprintf("d%02d/sub/f%04d", n%100, n), 10_000, 0o644)
	}
	for _, tree := range []string{big, many} {
		for _, v := range versions {
			b.Run(filepath.Base(tree)+"/"+v.String(), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					m, err := Build(b.Context(), tree, Options{Version: v})
					if err != nil {
						b.Fatal(err)
					}
					b.SetBytes(m.Info.ContentLength())
				}
			})
		}
	}
}

// BenchmarkRate is hashing alone, on all cores.
func BenchmarkRate(b *testing.B) {
	for _, v := range versions {
		b.Run(v.String(), func(b *testing.B) {
			b.SetBytes(bufSize)
			b.RunParallel(func(pb *testing.PB) {
				buf := make([]byte, bufSize)
				for pb.Next() {
					if v != metainfo.V2 {
						sha1.Sum(buf)
					}
					for n := 0; v != metainfo.V1 && n < len(buf); n += metainfo.BlockSize {
						sha256.Sum256(buf[n : n+metainfo.BlockSize])
					}
				}
			})
		})
	}
}
