package swarm

import (
	"bytes"
	"context"
	"crypto/sha1"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"shoal/internal/bt/bitfield"
	"shoal/internal/bt/metainfo"
	"shoal/internal/bt/peerconn"
	"shoal/internal/bt/rate"
	"shoal/internal/bt/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fileStore is a Store of one plain file.
type fileStore struct {
	f *os.File
}

func (s fileStore) ReadAt(p []byte, off int64) (int, error)  { return s.f.ReadAt(p, off) }
func (s fileStore) WriteAt(p []byte, off int64) (int, error) { return s.f.WriteAt(p, off) }
func (s fileStore) MarkHave(...metainfo.Piece)               {}
func (s fileStore) Extent(off, n int64) (*os.File, int64, int64, func(), error) {
	return s.f, off, n, func() {}, nil
}

// release is a v1 torrent of random bytes.
type release struct {
	info    *metainfo.Info
	hashes  *metainfo.Hashes
	content []byte
}

func newRelease(t testing.TB, size, pieceLength int) release {
	t.Helper()
	content := make([]byte, size)
	r := rand.NewChaCha8([32]byte{1})
	_, _ = r.Read(content)
	var pieces []byte
	for off := 0; off < size; off += pieceLength {
		sum := sha1.Sum(content[off:min(off+pieceLength, size)])
		pieces = append(pieces, sum[:]...)
	}
	raw := fmt.Appendf(nil, "d6:lengthi%de4:name1:x12:piece lengthi%de6:pieces%d:%se", size, pieceLength, len(pieces), pieces)
	info, err := metainfo.ParseInfo(raw)
	if err != nil {
		t.Fatal(err)
	}
	hashes, err := metainfo.NewHashes(info, nil)
	if err != nil {
		t.Fatal(err)
	}
	return release{info, hashes, content}
}

// host is a torrent with a listener, as the node would make it.
type host struct {
	*Torrent
	addr  netip.AddrPort
	store fileStore
	stop  func()
}

func startHost(t testing.TB, r release, name string, full bool, change func(*Options)) *host {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "x"))
	if err != nil {
		t.Fatal(err)
	}
	have := bitfield.New(r.info.NumPieces())
	if full {
		have.SetAll()
		if _, err := f.Write(r.content); err != nil {
			t.Fatal(err)
		}
	} else if err := f.Truncate(int64(len(r.content))); err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := netip.MustParseAddrPort(ln.Addr().String())
	o := Options{Info: r.info, Hashes: r.hashes, Store: fileStore{f}, Have: have, ListenPort: addr.Port(), Client: "shoal test"}
	if testing.Verbose() && os.Getenv("SWARM_DEBUG") != "" {
		o.Log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug})).With("host", name)
	}
	copy(o.PeerID[:], "-SH0001-"+name+"xxxxxxxxxxxx")
	if change != nil {
		change(&o)
	}
	tor, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := tor.Run(ctx); err != nil {
			t.Errorf("%s: Run: %v", name, err)
		}
	})
	wg.Go(func() { accept(ln, tor) })
	h := &host{Torrent: tor, addr: addr, store: fileStore{f}}
	h.stop = sync.OnceFunc(func() { cancel(); ln.Close(); wg.Wait(); f.Close() })
	t.Cleanup(h.stop)
	return h
}

func accept(ln net.Listener, tor *Torrent) {
	for {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		var b [wire.HandshakeLen]byte
		if _, err := io.ReadFull(c, b[:]); err != nil {
			c.Close()
			continue
		}
		hs, err := wire.ParseHandshake(b[:])
		if err != nil {
			c.Close()
			continue
		}
		tor.Accept(c, hs)
	}
}

func (h *host) wait(t testing.TB, r release) {
	t.Helper()
	select {
	case <-h.Completed():
	case <-time.After(60 * time.Second):
		t.Fatalf("not complete: %+v", h.Stats())
	}
	got := make([]byte, len(r.content))
	if _, err := h.store.ReadAt(got, 0); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, r.content) {
		t.Fatal("complete, but the content differs")
	}
}

func TestOneToOne(t *testing.T) {
	for _, size := range []int{1, 16384, 100_000, 5<<20 + 12345} {
		r := newRelease(t, size, 64<<10)
		seed := startHost(t, r, "seed", true, nil)
		leech := startHost(t, r, "leech", false, nil)
		leech.AddPeers([]netip.AddrPort{seed.addr})
		leech.wait(t, r)
		leech.stop()
		if st := leech.Stats(); st.Downloaded != int64(size) || st.Wasted != 0 {
			t.Errorf("size %d: downloaded %d, wasted %d", size, st.Downloaded, st.Wasted)
		}
		seed.stop()
	}
}

// TestAsStock runs shoal against itself with stock peer ids: 16 KiB requests,
// choking, bitfields.
func TestAsStock(t *testing.T) {
	r := newRelease(t, 3<<20+77, 256<<10)
	stock := func(name string) func(*Options) {
		return func(o *Options) { copy(o.PeerID[:], "-XX0001-"+name+"yyyyyyyyyyyy") }
	}
	seed := startHost(t, r, "seed", true, stock("seed"))
	var hosts []*host
	for i := range 3 {
		h := startHost(t, r, "l", false, stock(fmt.Sprint(i)))
		h.AddPeers([]netip.AddrPort{seed.addr})
		hosts = append(hosts, h)
	}
	for _, h := range hosts {
		h.wait(t, r)
	}
}

func TestManyHosts(t *testing.T) {
	r := newRelease(t, 16<<20, 128<<10)
	seed := startHost(t, r, "seed", true, func(o *Options) { o.Up = rate.Chain{rate.New(16 << 20)} })
	addrs := []netip.AddrPort{seed.addr}
	var hosts []*host
	for i := range 8 {
		h := startHost(t, r, fmt.Sprint("host", i), false, nil)
		hosts = append(hosts, h)
		h.AddPeers(addrs)
		addrs = append(addrs, h.addr)
	}
	for _, h := range hosts {
		h.wait(t, r)
	}
	if up := seed.Stats().Uploaded; up > int64(len(r.content))*5/2 {
		t.Errorf("the source sent %.2f copies to 8 hosts", float64(up)/float64(len(r.content)))
	}
}

// TestLiar has a peer that sends garbage beside a good one.
func TestLiar(t *testing.T) {
	r := newRelease(t, 4<<20, 64<<10)
	seed := startHost(t, r, "seed", true, func(o *Options) { o.Up = rate.Chain{rate.New(2 << 20)} })
	bad := r
	bad.content = make([]byte, len(r.content))
	liar := startHost(t, bad, "liar", true, nil)
	leech := startHost(t, r, "leech", false, nil)
	leech.AddPeers([]netip.AddrPort{seed.addr, liar.addr})
	leech.wait(t, r)
	if st := leech.Stats(); st.Wasted > int64(len(r.content))/2 {
		t.Errorf("wasted %d bytes on one liar", st.Wasted)
	}
}

func BenchmarkPair(b *testing.B) {
	r := newRelease(b, 256<<20, 1<<20)
	b.SetBytes(int64(len(r.content)))
	for b.Loop() {
		seed := startHost(b, r, "seed", true, nil)
		leech := startHost(b, r, "leech", false, func(o *Options) { o.Budget = peerconn.NewBudget(64 << 20) })
		leech.AddPeers([]netip.AddrPort{seed.addr})
		leech.wait(b, r)
		leech.stop()
		seed.stop()
	}
}

// TestDamagedSource has a source that serves a damaged piece unknowingly: it is
// told, takes the piece back, and the hosts get it elsewhere.
func TestDamagedSource(t *testing.T) {
	r := newRelease(t, 4<<20, 64<<10)
	source := startHost(t, r, "source", true, nil)
	for _, piece := range []int64{3, 17} {
		if _, err := source.store.f.WriteAt([]byte("damage"), piece*64<<10+5); err != nil {
			t.Fatal(err)
		}
	}
	leech := startHost(t, r, "leech", false, nil)
	leech.AddPeers([]netip.AddrPort{source.addr})
	waitFor(t, "all but two pieces", func() bool { return leech.Stats().Have == r.info.NumPieces()-2 })
	waitFor(t, "the source to withdraw two pieces", func() bool { return source.Stats().Have == r.info.NumPieces()-2 })
	other := startHost(t, r, "other", true, nil)
	leech.AddPeers([]netip.AddrPort{other.addr})
	leech.wait(t, r)
}

func waitFor(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !cond(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("waited in vain for ", what)
		}
	}
}
