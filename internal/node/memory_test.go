//go:build linux && !race

package node

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"shoal/internal/bt/bitfield"
	"shoal/internal/bt/metainfo"
	"shoal/internal/bt/rate"
	"shoal/internal/bt/swarm"
)

// TestMemory holds a real process that serves a terabyte to 100 peers to 96 MiB
// resident. SHOAL_MEMORY_TIME is how long (a Go duration; 10 s): run it for
// hours to see that it stays flat. SHOAL names the binary; without it one is built.
func TestMemory(t *testing.T) {
	length := memoryTime(t)
	dir := t.TempDir()
	meta := terabyte(t, dir)
	addr := freeAddr(t)
	pid := startShoal(t, "seed", filepath.Join(dir, "huge.torrent"), "--dir", dir, "--listen", addr.String(), "--max-peers", "120")
	stop, sum := hundredPeers(t, meta, addr, false)
	defer stop()
	holdMemory(t, pid, length, sum)
}

// TestMemoryOfGet is the same of a process that fetches the first file from 100 peers, as far as it comes.
func TestMemoryOfGet(t *testing.T) {
	length := memoryTime(t)
	dir := t.TempDir()
	meta := terabyte(t, dir)
	addr := freeAddr(t)
	pid := startShoal(t, "get", filepath.Join(dir, "huge.torrent"), "--dir", filepath.Join(dir, "fetched"), "--select", "part",
		"--seed", "--cache", "drop", "--listen", addr.String(), "--max-peers", "120")
	stop, sum := hundredPeers(t, meta, addr, true)
	defer stop()
	holdMemory(t, pid, length, sum)
}

func memoryTime(t *testing.T) time.Duration {
	t.Helper()
	if testing.Short() {
		t.Skip("moves gigabytes")
	}
	text := os.Getenv("SHOAL_MEMORY_TIME")
	if text == "" {
		return 10 * time.Second
	}
	length, err := time.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	return length
}

// startShoal runs the binary until the test ends.
func startShoal(t *testing.T, args ...string) (pid int) {
	t.Helper()
	shoal := os.Getenv("SHOAL")
	if shoal == "" {
		shoal = filepath.Join(t.TempDir(), "shoal")
		if out, err := exec.Command("go", "build", "-o", shoal, "shoal/cmd/shoal").CombinedOutput(); err != nil {
			t.Fatalf("go build: %v\n%s", err, out)
		}
	}
	cmd := exec.Command(shoal, args...)
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir())
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return cmd.Process.Pid
}

// holdMemory looks at a process for that long after the first 256 MiB.
func holdMemory(t *testing.T, pid int, length time.Duration, sum func() int64) {
	t.Helper()
	const resident = 96 << 20
	for start := time.Now(); sum() < 256<<20; time.Sleep(50 * time.Millisecond) {
		if time.Since(start) > 2*time.Minute {
			t.Fatalf("only %d bytes have come", sum())
		}
	}
	var seen []int64 // MiB, ten times on the way
	for range 10 {
		seen = append(seen, memory(t, pid, "VmRSS")>>20)
		time.Sleep(length / 10)
	}
	most := memory(t, pid, "VmHWM")
	t.Logf("%d MB moved; MiB resident on the way %d, %d at most", sum()/1e6, seen, most>>20)
	if most > resident {
		t.Errorf("%d bytes resident, want at most %d", most, resident)
	}
}

// terabyte makes two sparse files of 1 TB together and their hybrid metafile:
// all pieces are one piece of zeros.
func terabyte(t *testing.T, dir string) *metainfo.Metafile {
	t.Helper()
	const pieceLength = 16 << 20
	zeros := make([]byte, pieceLength)
	leaf := sha256.Sum256(zeros[:metainfo.BlockSize])
	var leaves []byte
	for range pieceLength / metainfo.BlockSize {
		leaves = append(leaves, leaf[:]...)
	}
	root, sum := metainfo.PieceRoot(leaves, pieceLength, false), sha1.Sum(zeros)
	d := metainfo.Draft{Version: metainfo.Hybrid, Name: "huge", PieceLength: pieceLength}
	layers := metainfo.Layers{}
	for _, file := range []struct {
		name   string
		length int64
	}{{"part", 8 << 30}, {"rest", 1<<40 - 8<<30}} {
		sparse(t, filepath.Join(dir, "huge", file.name), file.length)
		pieces := int(file.length / pieceLength)
		layer := bytes.Repeat(root[:], pieces)
		d.Pieces = append(d.Pieces, bytes.Repeat(sum[:], pieces)...)
		f := metainfo.File{Path: []string{file.name}, Length: file.length, Root: metainfo.LayerRoot(layer, pieceLength)}
		layers[f.Root] = layer
		d.Files = append(d.Files, f)
	}
	if _, err := d.Layout(); err != nil {
		t.Fatal(err)
	}
	raw, err := d.Encode()
	if err != nil {
		t.Fatal(err)
	}
	info, err := metainfo.ParseInfo(raw)
	if err != nil {
		t.Fatal(err)
	}
	m := &metainfo.Metafile{Info: info, Layers: layers}
	if err := os.WriteFile(filepath.Join(dir, "huge.torrent"), m.Encode(), 0o644); err != nil {
		t.Fatal(err)
	}
	return m
}

func sparse(t *testing.T, name string, length int64) {
	t.Helper()
	err := os.MkdirAll(filepath.Dir(name), 0o755)
	if err == nil {
		err = os.WriteFile(name, nil, 0o644)
	}
	if err == nil {
		err = os.Truncate(name, length)
	}
	if err != nil {
		t.Skipf("no sparse file of %d bytes here: %v", length, err)
	}
}

// zeroStore holds zeros, whatever is written.
type zeroStore struct{}

func (zeroStore) ReadAt(p []byte, _ int64) (int, error)  { clear(p); return len(p), nil }
func (zeroStore) WriteAt(p []byte, _ int64) (int, error) { return len(p), nil }
func (zeroStore) MarkHave(...metainfo.Piece)             {}
func (zeroStore) Extent(_, n int64) (*os.File, int64, int64, func(), error) {
	return nil, 0, n, func() {}, nil
}

// hundredPeers runs 100 engines in this process, which know addr and nobody else.
// With complete they serve zeros, else they fetch and throw away what they get.
func hundredPeers(t *testing.T, meta *metainfo.Metafile, addr netip.AddrPort, complete bool) (stop func(), sum func() int64) {
	t.Helper()
	hashes, err := metainfo.NewHashes(meta.Info, meta.Layers)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	var all []*swarm.Torrent
	all200 := rate.Chain{rate.New(200 << 20)} // all together: it is the memory that matters
	for i := range 100 {
		o := swarm.Options{Info: meta.Info, Hashes: hashes, Store: zeroStore{}, Have: bitfield.New(meta.Info.NumPieces()), Up: all200, Down: all200}
		if complete {
			o.Have.SetAll()
		}
		copy(o.PeerID[:], fmt.Sprintf("-SH0001-memory%06d", i))
		if i%4 == 0 { // a stock client
			copy(o.PeerID[:], "-XX")
		}
		e, err := swarm.New(o)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, e)
		wg.Go(func() {
			if err := e.Run(ctx); err != nil && ctx.Err() == nil {
				t.Error(err)
			}
		})
		e.AddPeers([]netip.AddrPort{addr})
	}
	return func() { cancel(); wg.Wait() }, func() (n int64) {
		for _, e := range all {
			st := e.Stats()
			n += st.Downloaded + st.Uploaded
		}
		return n
	}
}

func freeAddr(t *testing.T) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return netip.MustParseAddrPort(l.Addr().String())
}

// memory reads a figure of a process, in bytes.
func memory(t *testing.T, pid int, key string) int64 {
	t.Helper()
	f, err := os.Open(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if rest, ok := strings.CutPrefix(s.Text(), key+":"); ok {
			kb, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return kb << 10
		}
	}
	t.Fatalf("no %s", key)
	return 0
}
