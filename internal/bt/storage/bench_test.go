package storage_test

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"shoal/internal/bt/metainfo"
	"shoal/internal/bt/storage"
	"shoal/internal/bt/storage/storagetest"
)

// The benchmarks use TMPDIR: point it at a memory-backed folder to see our own
// cost, and at a disk to see the disk.

var (
	bigTorrent = sync.OnceValues(func() (*storagetest.Torrent, *storagetest.Torrent) {
		data := storagetest.Bytes(128<<20, 1)
		t := &testing.B{}
		make := func(v metainfo.Version) *storagetest.Torrent {
			return storagetest.Make(t, v, 1<<20, storagetest.Entry{Path: "big", Data: data, Mode: 0o644})
		}
		return make(metainfo.V1), make(metainfo.Hybrid)
	})
	smallTorrent = sync.OnceValues(func() (*storagetest.Torrent, *storagetest.Torrent) {
		var entries []storagetest.Entry
		for i := range 10_000 {
			entries = append(entries, storagetest.Entry{
				Path: fmt.Sprintf("d%03d/f%05d", i/100, i), Data: storagetest.Bytes(10_000, byte(i)), Mode: 0o644,
			})
		}
		t := &testing.B{}
		// In a hybrid every file is padded to a piece: a small one keeps that small.
		return storagetest.Make(t, metainfo.V1, 256<<10, entries...), storagetest.Make(t, metainfo.Hybrid, 16<<10, entries...)
	})
)

// cpu reports the processor time that the whole process spends per GB between
// now and the call of the function that it returns, which a busy machine does
// not change.
func cpu(b *testing.B, bytes int64) func() {
	spent := func() float64 {
		var u syscall.Rusage
		must(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
		return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
	}
	start := spent()
	return func() { b.ReportMetric((spent()-start)/float64(b.N)/float64(bytes)*1e9, "cpu-s/GB") }
}

// each runs a benchmark on the big file and on many small ones.
func each(b *testing.B, run func(b *testing.B, tor *storagetest.Torrent)) {
	for _, c := range []struct {
		name string
		get  func() (v1, hybrid *storagetest.Torrent)
	}{{"big", bigTorrent}, {"small", smallTorrent}} {
		b.Run(c.name+"/v1", func(b *testing.B) {
			v1, _ := c.get()
			run(b, v1)
		})
		b.Run(c.name+"/hybrid", func(b *testing.B) {
			_, hybrid := c.get()
			run(b, hybrid)
		})
	}
}

// BenchmarkFetch is all that storage does for a fetch: Check of nothing,
// Allocate, writes of up to 256 KiB by several writers, MarkHave, Finish.
func BenchmarkFetch(b *testing.B) {
	each(b, func(b *testing.B, tor *storagetest.Torrent) {
		b.SetBytes(tor.Info.ContentLength())
		defer cpu(b, tor.Info.ContentLength())()
		for b.Loop() {
			b.StopTimer()
			dir, err := os.MkdirTemp("", "shoal-bench")
			must(b, err)
			b.StartTimer()
			d, err := storage.Open(dir, tor.Info, tor.Hashes, storage.Options{})
			must(b, err, d.Preflight(b.Context()))
			check(b, d)
			must(b, d.Allocate(b.Context()))
			writeAll(b, tor, d)
			must(b, d.Finish(b.Context()), d.Close())
			b.StopTimer()
			must(b, os.RemoveAll(dir))
			b.StartTimer()
		}
	})
}

func writeAll(b *testing.B, tor *storagetest.Torrent, d *storage.Disk) {
	var next atomic.Int64
	var wg sync.WaitGroup
	for range 2 * runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for {
				p := metainfo.Piece(next.Add(1) - 1)
				if int(p) >= tor.Info.NumPieces() {
					return
				}
				data, start := tor.Piece(p), tor.Info.PieceOffset(p)
				for off := 0; off < len(data); off += 256 << 10 {
					if _, err := d.WriteAt(data[off:min(off+256<<10, len(data))], start+int64(off)); err != nil {
						b.Error(err)
						return
					}
				}
				d.MarkHave(p)
			}
		})
	}
	wg.Wait()
}

// complete makes a finished fetch for benchmarks that read.
func complete(b *testing.B, tor *storagetest.Torrent) string {
	dir, err := os.MkdirTemp("", "shoal-bench")
	must(b, err)
	b.Cleanup(func() { _ = os.RemoveAll(dir) })
	d, err := storage.Open(dir, tor.Info, tor.Hashes, storage.Options{})
	must(b, err)
	writeAll(b, tor, d)
	must(b, d.Finish(b.Context()), d.Close())
	return dir
}

func BenchmarkReadAt(b *testing.B) {
	for _, size := range []int{16 << 10, 1 << 20} {
		b.Run(strconv.Itoa(size>>10)+"KiB", func(b *testing.B) {
			_, tor := bigTorrent()
			d := open(b, complete(b, tor), tor, storage.Options{ReadOnly: true})
			b.SetBytes(int64(size))
			b.ReportAllocs()
			var next atomic.Int64
			b.RunParallel(func(pb *testing.PB) {
				buf := make([]byte, size)
				for pb.Next() {
					off := next.Add(int64(size)) % (tor.Info.Length() - int64(size))
					if _, err := d.ReadAt(buf, off); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
}

func BenchmarkExtent(b *testing.B) {
	_, tor := bigTorrent()
	d := open(b, complete(b, tor), tor, storage.Options{ReadOnly: true})
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			_, _, _, release, err := d.Extent(1<<20, 1<<20)
			if err != nil {
				b.Error(err)
				return
			}
			release()
		}
	})
}

// BenchmarkVerify is from the page cache; BenchmarkHash is the limit that it is
// measured against.
func BenchmarkVerify(b *testing.B) {
	each(b, func(b *testing.B, tor *storagetest.Torrent) {
		d := open(b, complete(b, tor), tor, storage.Options{ReadOnly: true})
		b.SetBytes(tor.Info.ContentLength())
		defer cpu(b, tor.Info.ContentLength())()
		for b.Loop() {
			if r, err := d.Verify(b.Context(), nil); err != nil || !r.OK() {
				b.Fatal(r, err)
			}
		}
	})
}

// BenchmarkHash hashes the same content from memory on all cores.
func BenchmarkHash(b *testing.B) {
	each(b, func(b *testing.B, tor *storagetest.Torrent) {
		b.SetBytes(tor.Info.ContentLength())
		defer cpu(b, tor.Info.ContentLength())()
		for b.Loop() {
			var next atomic.Int64
			var wg sync.WaitGroup
			for range runtime.GOMAXPROCS(0) {
				wg.Go(func() {
					c := tor.Hashes.NewChecker()
					for {
						p := metainfo.Piece(next.Add(1) - 1)
						if int(p) >= tor.Info.NumPieces() {
							return
						}
						c.Reset(p)
						if !c.WriteAt(tor.Piece(p), 0) || !c.OK() {
							b.Error("does not verify")
						}
					}
				})
			}
			wg.Wait()
		}
	})
}

// BenchmarkCheckKnown is the start of a seed whose record is good.
func BenchmarkCheckKnown(b *testing.B) {
	each(b, func(b *testing.B, tor *storagetest.Torrent) {
		dir := complete(b, tor)
		for b.Loop() {
			d, err := storage.Open(dir, tor.Info, tor.Hashes, storage.Options{ReadOnly: true})
			must(b, err)
			if have, hashed := check(b, d); !have.All() || hashed != 0 {
				b.Fatal("hashed", hashed)
			}
			must(b, d.Close())
		}
	})
}
