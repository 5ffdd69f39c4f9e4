//go:build linux && !race

package node

import (
	"bufio"
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"errors"
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
	if testing.Short() {
		t.Skip("moves gigabytes")
	}
	length := 10 * time.Second
	if text := os.Getenv("SHOAL_MEMORY_TIME"); text != "" {
		var err error
		if length, err = time.ParseDuration(text); err != nil {
			t.Fatal(err)
		}
	}
	const resident = 96 << 20
	dir := t.TempDir()
	meta := terabyte(t, dir)
	shoal := os.Getenv("SHOAL")
	if shoal == "" {
		shoal = filepath.Join(dir, "shoal")
		if out, err := exec.Command("go", "build", "-o", shoal, "shoal/cmd/shoal").CombinedOutput(); err != nil {
			t.Fatalf("go build: %v\n%s", err, out)
		}
	}
	addr := freeAddr(t)
	cmd := exec.Command(shoal, "seed", filepath.Join(dir, "huge.torrent"), "--dir", dir, "--listen", addr.String(), "--max-peers", "120")
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir())
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	stop, sum := hundredPeers(t, meta, addr)
	defer stop()
	for start := time.Now(); sum() < 256<<20; time.Sleep(50 * time.Millisecond) {
		if time.Since(start) > 2*time.Minute {
			t.Fatalf("only %d bytes have come", sum())
		}
	}
	early := memory(t, cmd.Process.Pid, "VmRSS")
	time.Sleep(length)
	now, most := memory(t, cmd.Process.Pid, "VmRSS"), memory(t, cmd.Process.Pid, "VmHWM")
	t.Logf("%d MB served; resident %d MiB at first, %d MiB at the end, %d MiB at most", sum()/1e6, early>>20, now>>20, most>>20)
	if most > resident {
		t.Errorf("%d bytes resident, want at most %d", most, resident)
	}
}

// terabyte makes a sparse file of 1 TB and its hybrid metafile: all pieces are
// one piece of zeros.
func terabyte(t *testing.T, dir string) *metainfo.Metafile {
	t.Helper()
	const length, pieceLength = 1 << 40, 16 << 20
	f, err := os.Create(filepath.Join(dir, "huge"))
	if err == nil {
		err = errors.Join(f.Truncate(length), f.Close())
	}
	if err != nil {
		t.Skipf("no sparse file of 1 TB here: %v", err)
	}
	zeros := make([]byte, pieceLength)
	leaf := sha256.Sum256(zeros[:metainfo.BlockSize])
	var leaves []byte
	for range pieceLength / metainfo.BlockSize {
		leaves = append(leaves, leaf[:]...)
	}
	root, sum := metainfo.PieceRoot(leaves, pieceLength, false), sha1.Sum(zeros)
	var layer, pieces []byte
	for range length / pieceLength {
		layer, pieces = append(layer, root[:]...), append(pieces, sum[:]...)
	}
	d := metainfo.Draft{Version: metainfo.Hybrid, Name: "huge", PieceLength: pieceLength, SingleFile: true, Pieces: pieces,
		Files: []metainfo.File{{Length: length, Root: metainfo.LayerRoot(layer, pieceLength)}}}
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
	m := &metainfo.Metafile{Info: info, Layers: metainfo.Layers{d.Files[0].Root: layer}}
	if err := os.WriteFile(filepath.Join(dir, "huge.torrent"), m.Encode(), 0o644); err != nil {
		t.Fatal(err)
	}
	return m
}

// zeroStore holds zeros, whatever is written.
type zeroStore struct{}

func (zeroStore) ReadAt(p []byte, _ int64) (int, error)  { clear(p); return len(p), nil }
func (zeroStore) WriteAt(p []byte, _ int64) (int, error) { return len(p), nil }
func (zeroStore) MarkHave(metainfo.Piece)                {}
func (zeroStore) Extent(_, n int64) (*os.File, int64, int64, func(), error) {
	return nil, 0, n, func() {}, nil
}

// hundredPeers runs 100 engines in this process, which fetch from addr and from
// nobody else, and throw away what they get.
func hundredPeers(t *testing.T, meta *metainfo.Metafile, addr netip.AddrPort) (stop func(), sum func() int64) {
	t.Helper()
	hashes, err := metainfo.NewHashes(meta.Info, meta.Layers)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	var all []*swarm.Torrent
	down := rate.New(200 << 20) // all together: it is the memory that matters
	for i := range 100 {
		o := swarm.Options{Info: meta.Info, Hashes: hashes, Store: zeroStore{}, Have: bitfield.New(meta.Info.NumPieces()), Down: rate.Chain{down}}
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
			n += e.Stats().Downloaded
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
