package peerconn

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"shoal/internal/bt/peertls"
	"shoal/internal/bt/peertls/testca"
	"shoal/internal/bt/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// disk is a Source of one file; fail makes it broken.
type disk struct {
	f    *os.File
	fail error
}

func (d disk) ReadAt(p []byte, off int64) (int, error) {
	if d.fail != nil {
		return 0, d.fail
	}
	return d.f.ReadAt(p, off)
}

func (d disk) Extent(off, n int64) (*os.File, int64, int64, func(), error) {
	return d.f, off, n, func() {}, d.fail
}

func newDisk(t testing.TB, n int) (disk, []byte) {
	t.Helper()
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{2}).Read(b)
	name := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return disk{f: f}, b
}

// recorder is a Handler that keeps everything.
type recorder struct {
	mu     sync.Mutex
	msgs   []string
	blocks map[wire.Block][]byte
	sent   []error
	late   int // what came since the last Flush
	more   chan struct{}
}

func newRecorder() *recorder {
	return &recorder{blocks: map[wire.Block][]byte{}, more: make(chan struct{}, 10000)}
}

func (r *recorder) note(f func()) {
	r.mu.Lock()
	f()
	r.mu.Unlock()
	r.more <- struct{}{}
}

func (r *recorder) Message(id wire.ID, p []byte) error {
	r.note(func() { r.msgs, r.late = append(r.msgs, id.String()+":"+string(p)), r.late+1 })
	return nil
}
func (r *recorder) Flush() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.late = 0
}
func (r *recorder) Begin(b wire.Block) (Sink, error) {
	return &keep{r: r, b: b}, nil
}
func (r *recorder) Sent(_ []Upload, errs []error) {
	r.note(func() { r.sent = append(r.sent, errs...) })
}

type keep struct {
	r     *recorder
	b     wire.Block
	taken int
	got   []byte
}

func (k *keep) Take(p []byte) func() error {
	at := k.taken
	k.taken += len(p)
	return func() error {
		if at != len(k.got) {
			return fmt.Errorf("bytes at %d are to be written after %d", at, len(k.got))
		}
		k.got = append(k.got, p...)
		return nil
	}
}
func (k *keep) Done() error {
	k.r.note(func() { k.r.blocks[k.b], k.r.late = k.got, k.r.late+1 })
	return nil
}
func (k *keep) Abort() {}

// until waits for a condition on the recorder.
func (r *recorder) until(t *testing.T, what string, cond func() bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		r.mu.Lock()
		ok := cond()
		r.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-r.more:
		case <-deadline:
			t.Fatal("waited in vain for ", what)
		}
	}
}

func tcpPair(t testing.TB) (net.Conn, net.Conn) {
	t.Helper()
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	a, err := net.Dial("tcp4", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	b, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return a, b
}

// secure puts TLS over both ends.
func secure(t testing.TB, a, b net.Conn) (net.Conn, net.Conn) {
	t.Helper()
	ca, err := testca.New()
	if err != nil {
		t.Fatal(err)
	}
	cert, err := ca.Issue("host")
	if err != nil {
		t.Fatal(err)
	}
	g, err := peertls.New(peertls.Options{Certificate: func() (*tls.Certificate, error) { return cert, nil }, CAs: ca.Pool})
	if err != nil {
		t.Fatal(err)
	}
	var server net.Conn
	done := make(chan error, 1)
	go func() {
		c, err := g.Server(context.Background(), b)
		server = c
		done <- err
	}()
	client, err := g.Client(context.Background(), a)
	if err = errors.Join(err, <-done); err != nil {
		t.Fatal(err)
	}
	return client, server
}

func run(t *testing.T, nc net.Conn, h Handler, src Source) *Conn {
	t.Helper()
	return runWith(t, nc, h, src, NewBudget(8<<20))
}

func runWith(t *testing.T, nc net.Conn, h Handler, src Source, budget *Budget) *Conn {
	t.Helper()
	return start(t, New(nc, h, Options{Source: src, Budget: budget}))
}

func start(t *testing.T, c *Conn) *Conn {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = c.Run(ctx) })
	t.Cleanup(func() { cancel(); wg.Wait() })
	return c
}

func TestBlocks(t *testing.T) {
	src, content := newDisk(t, 9<<20)
	blocks := []wire.Block{
		{Index: 0, Begin: 0, Length: 8 << 20}, // one large request
		{Index: 0, Begin: 8 << 20, Length: 1},
		{Index: 0, Begin: 17, Length: 100_000},
	}
	for i := range uint32(60) { // a train of stock blocks
		blocks = append(blocks, wire.Block{Index: 0, Begin: i * 16384, Length: 16384})
	}
	for _, kind := range []string{"tcp", "slow", "tls", "slow tls", "pipe", "small", "tiny"} {
		t.Run(kind, func(t *testing.T) {
			a, b := tcpPair(t)
			switch kind {
			case "tls":
				a, b = secure(t, a, b)
			case "slow tls":
				a, b = secure(t, Beneath(a), b)
			case "pipe", "small", "tiny": // no sendfile, as in a simulated network
				a.Close()
				b.Close()
				a, b = net.Pipe()
			}
			got, budget := newRecorder(), NewBudget(8<<20)
			switch kind {
			case "small":
				budget.Small = 4 << 10
			case "tiny": // and no large buffer left
				budget = NewBudget(0)
				budget.Small = 1
				budget.TryGet()
			}
			up := New(a, newRecorder(), Options{Source: src, Budget: NewBudget(8 << 20)})
			up.ahead.slow = strings.HasPrefix(kind, "slow") // until it is measured
			if (up.beneath != nil) != (kind == "slow tls" && up.kernel != nil) {
				t.Error("trains under TLS where they were not prepared, or none where they were")
			}
			start(t, up)
			runWith(t, b, got, src, budget)
			bits := bytes.Repeat([]byte{0xaa}, 6000)
			up.Send(func(dst []byte) []byte { return wire.AppendBitfield(dst, bits) })
			for _, blk := range blocks {
				up.Upload(Upload{Block: blk, Off: int64(blk.Begin)})
				up.Send(func(dst []byte) []byte { return wire.AppendHave(dst, blk.Begin) })
			}
			got.until(t, "all blocks", func() bool { return len(got.blocks) == len(blocks) && len(got.msgs) == len(blocks)+1 })
			if want := wire.Bitfield.String() + ":" + string(bits); !slices.Contains(got.msgs, want) {
				t.Error("a message of 6,000 bytes arrived damaged")
			}
			for _, blk := range blocks {
				if !bytes.Equal(got.blocks[blk], content[blk.Begin:blk.End()]) {
					t.Errorf("block %+v arrived damaged", blk)
				}
			}
		})
	}
}

func TestDiskErrorKeepsTheConnection(t *testing.T) {
	src, _ := newDisk(t, 1<<20)
	broken := errors.New("broken")
	a, b := tcpPair(t)
	h, got := newRecorder(), newRecorder()
	up := run(t, a, h, disk{f: src.f, fail: broken})
	run(t, b, got, src)
	up.Upload(Upload{Block: wire.Block{Length: 1 << 20}})
	h.until(t, "the report", func() bool { return len(h.sent) == 1 && errors.Is(h.sent[0], broken) })
	up.Send(func(dst []byte) []byte { return wire.AppendID(dst, wire.Unchoke) })
	got.until(t, "a later message", func() bool { return len(got.msgs) == 1 })
}

func TestCancelUpload(t *testing.T) {
	src, _ := newDisk(t, 1<<20)
	a, b := net.Pipe()
	defer b.Close()
	c := New(a, newRecorder(), Options{Source: src, Budget: NewBudget(1 << 20)})
	blk := wire.Block{Index: 1, Length: 16384}
	c.Upload(Upload{Block: blk})
	if !c.CancelUpload(blk) || c.CancelUpload(blk) || len(c.DropUploads()) != 0 {
		t.Error("a queued upload can be taken back once")
	}
	c.Close(nil)
}

// TestHostile sends frames that must end the connection, without panic and
// without memory for what was only promised.
func TestHostile(t *testing.T) {
	frame := func(n uint32, body ...byte) []byte { return append(binary.BigEndian.AppendUint32(nil, n), body...) }
	tests := map[string][]byte{
		"a huge bitfield":     frame(1<<31, byte(wire.Bitfield)),
		"a huge extension":    frame(3<<20, byte(wire.Extended), 0),
		"a short piece":       frame(5, byte(wire.Piece), 0, 0, 0, 0),
		"end inside a header": {0, 0},
		"end inside a frame":  frame(100, byte(wire.Bitfield), 1, 2),
		"end inside a block":  frame(9+16384, append([]byte{byte(wire.Piece)}, make([]byte, 100)...)...),
	}
	for name, in := range tests {
		t.Run(name, func(t *testing.T) {
			a, b := tcpPair(t)
			c := New(a, newRecorder(), Options{Source: disk{}, Budget: NewBudget(1 << 20)})
			done := make(chan error, 1)
			go func() { done <- c.Run(context.Background()) }()
			_, _ = b.Write(in)
			_ = b.(*net.TCPConn).CloseWrite()
			if err := <-done; err == nil {
				t.Error("no error")
			}
			_, _ = io.Copy(io.Discard, b)
			b.Close()
		})
	}
}

func FuzzReader(f *testing.F) {
	f.Add([]byte{0, 0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 9, 7, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Add(wire.AppendHave(wire.AppendPieceHeader(nil, 1, 2, 3), 4))
	f.Fuzz(func(t *testing.T, in []byte) {
		a, b := net.Pipe()
		h, budget := newRecorder(), NewBudget(1<<20)
		budget.Small = len(in) % 2 * 1024
		c := New(a, h, Options{Source: disk{}, Budget: budget})
		go func() {
			_, _ = b.Write(in)
			b.Close()
		}()
		err := c.Run(context.Background())
		if err == nil {
			t.Fatal("the end of the stream must be an error")
		}
		b.Close()
		total := 0
		for blk, got := range h.blocks {
			if len(got) != int(blk.Length) {
				t.Fatalf("a block of %d bytes was delivered with %d", blk.Length, len(got))
			}
			total += len(got)
		}
		if total > len(in) {
			t.Fatal("more bytes delivered than received")
		}
	})
}

// TestLastWords has peers that send blocks and leave at once: the handler is
// told that nothing more comes behind them, so that no block is forgotten.
func TestLastWords(t *testing.T) {
	src, content := newDisk(t, 16<<10)
	for _, size := range []int{100, 16 << 10, 1 << 20} {
		ln, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			defer nc.Close()
			for i := range 3 {
				_, _ = nc.Write(wire.AppendPieceHeader(nil, uint32(i), 0, size)) // the test sees what is missing
				for left := size; left > 0; left -= min(left, len(content)) {
					_, _ = nc.Write(content[:min(left, len(content))])
				}
			}
		}()
		nc, err := net.Dial("tcp4", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		h := newRecorder()
		c := New(nc, h, Options{Source: src, Budget: NewBudget(8 << 20)})
		_ = c.Run(t.Context()) // the peer leaves
		ln.Close()
		if len(h.blocks) != 3 || h.late != 0 {
			t.Errorf("blocks of %d bytes: %d came, %d of them behind the last flush; want 3 and 0", size, len(h.blocks), h.late)
		}
	}
}
