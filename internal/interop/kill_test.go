//go:build linux

package interop_test

import (
	"io"
	"math/rand/v2"
	"net"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestKilled kills one get 20 times at random moments. The content must end intact, and what came over the wire in all
// must be at most 10 % more than the content: only what was in flight may be fetched twice.
func TestKilled(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"v1", "hybrid"} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			const size, kills = 64 << 20, 20
			content := tree{
				"big/one.bin": file(size-3_000_000, 1), "big/two.bin": file(2_000_000, 2), "big/three.bin": file(1_000_000, 3),
			}
			origin := t.TempDir()
			content.write(t, origin)
			torrent := create(t, filepath.Join(origin, "big"), "--format", version, "-l", "16") // no tracker: all goes through the meter
			seedAddr := newAddr() + ":" + peerPort
			start(t, "seed", origin, shoalBinary, "seed", torrent, "--dir", origin, "--listen", seedAddr)
			meter := startMeter(t, seedAddr)

			dir := t.TempDir()
			args := []string{shoalBinary, "get", torrent, "--dir", dir, "--listen", newAddr() + ":" + peerPort, "--peer", meter.addr}
			slow := append(args, "--down", "6MB/s")
			killed := 0
			for range kills {
				g := start(t, "get", dir, slow...)
				if g.ended(time.Duration(100+rand.IntN(400)) * time.Millisecond) {
					break
				}
				g.kill()
				killed++
			}
			if killed < kills {
				t.Fatalf("get was complete before the kill number %d: the test is too slow to prove anything", killed+1)
			}
			before := meter.bytes.Load()
			if g := start(t, "get", dir, args...); g.exit(t, deadline) != 0 {
				t.Fatalf("the last get: exit code %d", g.cmd.ProcessState.ExitCode())
			}
			shoalClient.intact(t, content, dir)
			total := meter.bytes.Load()
			t.Logf("fetched %.3f of the content in %d runs, %.0f %% of it before the last", float64(total)/size, kills+1, 100*float64(before)/size)
			if float64(total) > 1.10*size {
				t.Errorf("%d bytes came over the wire for %d of content: more than 10 %% twice", total, size)
			}
		})
	}
}

// meter is a TCP proxy in front of a seed that counts what the other side gets.
type meter struct {
	addr  string
	bytes atomic.Int64
}

func startMeter(t *testing.T, target string) *meter {
	t.Helper()
	l, err := net.Listen("tcp", newAddr()+":"+peerPort)
	if err != nil {
		t.Fatal(err)
	}
	m := &meter{addr: l.Addr().String()}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return // closed by the cleanup
			}
			wg.Go(func() { m.join(c, target) })
		}
	})
	t.Cleanup(func() { l.Close(); wg.Wait() })
	return m
}

// join copies both ways until one side ends, which both processes do before the meter's cleanup.
func (m *meter) join(c net.Conn, target string) {
	defer c.Close()
	s, err := net.Dial("tcp", target)
	if err != nil {
		return // the seed does not listen yet; get tries again
	}
	defer s.Close()
	var wg sync.WaitGroup
	wg.Go(func() { _, _ = io.Copy(s, c); s.Close() }) // an end of either kind ends both
	_, _ = io.Copy(counter{c, &m.bytes}, s)
	c.Close()
	wg.Wait()
}

// counter counts what was written.
type counter struct {
	io.Writer
	n *atomic.Int64
}

func (c counter) Write(b []byte) (int, error) {
	n, err := c.Writer.Write(b)
	c.n.Add(int64(n))
	return n, err
}
