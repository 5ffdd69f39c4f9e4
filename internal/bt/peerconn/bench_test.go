package peerconn

import (
	"context"
	"crypto/sha1"
	"hash"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"shoal/internal/bt/wire"
)

// writer is a Handler that does with blocks what a swarm does: it hashes each
// buffer and writes it in place, and asks for the next block.
type writer struct {
	f    *os.File
	conn *Conn
	next func() (wire.Block, bool)
	left sync.WaitGroup
}

func (w *writer) Message(wire.ID, []byte) error { return nil }
func (w *writer) Flush()                        {}
func (w *writer) Sent([]Upload, []error)        {}

func (w *writer) Begin(b wire.Block) (Sink, error) {
	return &inPlace{w: w, hash: sha1.New(), off: int64(b.Index)*int64(b.Length) + int64(b.Begin)}, nil
}

func (w *writer) ask() {
	if b, ok := w.next(); ok {
		w.conn.Send(func(dst []byte) []byte { return wire.AppendBlock(dst, wire.Request, b) })
	}
}

type inPlace struct {
	w    *writer
	hash hash.Hash
	off  int64
}

func (s *inPlace) Take(p []byte) func() error {
	_, _ = s.hash.Write(p) // never fails
	off := s.off
	s.off += int64(len(p))
	return func() error {
		_, err := s.w.f.WriteAt(p, off)
		return err
	}
}

func (s *inPlace) Done() error {
	s.w.ask()
	s.w.left.Done()
	return nil
}

func (s *inPlace) Abort() {}

// server is a Handler that sends what it is asked for.
type server struct {
	conn *Conn
}

func (s *server) Message(id wire.ID, p []byte) error {
	if id != wire.Request {
		return nil
	}
	b, err := wire.ParseBlock(p)
	if err == nil {
		s.conn.Upload(Upload{Block: b, Off: int64(b.Index)*int64(b.Length) + int64(b.Begin)})
	}
	return err
}
func (s *server) Begin(wire.Block) (Sink, error) { return nil, nil }
func (s *server) Flush()                         {}
func (s *server) Sent([]Upload, []error)         {}

// cpuTime is what the process has used, in nanoseconds.
func cpuTime() int64 {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u) // cannot fail
	return u.Utime.Nano() + u.Stime.Nano()
}

// BenchmarkPair moves content from one connection to another over loopback:
// sendfile at one end, receive, SHA-1 and pwrite at the other.
func BenchmarkPair(b *testing.B) {
	for _, c := range []struct {
		name  string
		block int
	}{{"16KiB", stockBlock}, {"256KiB", 256 << 10}, {"1MiB", 1 << 20}, {"4MiB", 4 << 20}} {
		b.Run(c.name, func(b *testing.B) { benchmarkPair(b, c.block, false) })
		b.Run("TLS/"+c.name, func(b *testing.B) { benchmarkPair(b, c.block, true) })
	}
}

func benchmarkPair(b *testing.B, block int, over bool) {
	const content = 64 << 20
	src, _ := newDisk(b, content)
	out, err := os.Create(filepath.Join(b.TempDir(), "out"))
	if err != nil {
		b.Fatal(err)
	}
	defer out.Close()
	near, far := tcpPair(b)
	if over {
		near, far = secure(b, near, far)
	}
	asked := 0
	w := &writer{f: out}
	w.next = func() (wire.Block, bool) {
		if asked == b.N {
			return wire.Block{}, false
		}
		n := asked % (content / block)
		asked++
		return wire.Block{Index: uint32(n), Length: uint32(block)}, true
	}
	w.left.Add(b.N)
	s := &server{}
	w.conn = New(near, w, Options{Source: src, Budget: NewBudget(8 << 20)})
	s.conn = New(far, s, Options{Source: src, Budget: NewBudget(8 << 20)})
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	start := cpuTime()
	b.SetBytes(int64(block))
	b.ResetTimer()
	// What is asked here is asked before the reader starts, so that only it calls ask from then on.
	for range min(b.N, max(4, (4<<20)/block)) {
		w.ask()
	}
	wg.Go(func() { _ = w.conn.Run(ctx) })
	wg.Go(func() { _ = s.conn.Run(ctx) })
	w.left.Wait()
	b.StopTimer()
	b.ReportMetric(float64(cpuTime()-start)/float64(b.N)/float64(block), "cpu-ns/B")
}
