// Package swarm runs one torrent: it finds out who has what, asks for what is
// missing and serves what it has.
//
// One goroutine, the loop, owns all state of a torrent (type state). Every
// change is an event with an apply method (events.go); an event never blocks,
// dials, reads or writes. Connections run in goroutines of their own
// (peerconn): their readers hash and write pieces as bytes arrive (partial.go)
// and tell the loop only when a piece is whole. What to fetch, whom to serve
// and whom to dial are pure decisions in picker, choker and peers.
package swarm

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"shoal/internal/bt/bitfield"
	"shoal/internal/bt/metainfo"
	"shoal/internal/bt/peerconn"
	"shoal/internal/bt/rate"
	"shoal/internal/bt/wire"
	"shoal/internal/topology"
)

// Store is where pieces live; offsets are in piece space. All methods may be
// called at the same time from many goroutines.
type Store interface {
	ReadAt(p []byte, off int64) (int, error)
	WriteAt(p []byte, off int64) (int, error)
	// Extent returns the file behind off, for sendfile; nil stands for padding.
	Extent(off, n int64) (f *os.File, fileOff, length int64, release func(), err error)
	// MarkHave journals that pieces are verified and written.
	MarkHave(ps ...metainfo.Piece)
}

// spaceWaiter is a Store that can tell when a full disk has room again.
type spaceWaiter interface {
	// WaitSpace returns nil when there is room again, or when ctx ends its error.
	WaitSpace(ctx context.Context) error
}

// Options of a torrent. Info, Hashes, Store, Have and PeerID are required.
type Options struct {
	Info   *metainfo.Info
	Hashes *metainfo.Hashes
	Store  Store
	Have   *bitfield.Set // verified pieces at the start
	Want   *bitfield.Set // nil: all
	// Written are blocks of missing pieces that an earlier run has written and
	// nobody has verified. They are not fetched again unless they are wrong.
	Written    map[metainfo.Piece]*bitfield.Set
	PeerID     [20]byte
	ListenPort uint16
	Up, Down   rate.Chain       // of peers and web seeds whose place is not known
	Budget     *peerconn.Budget // nil: one of 64 MiB of its own
	MaxPeers   int              // 0: 80
	WebSeeds   []string
	Client     string // name and version told to peers
	// Members says that every connection is to a member of one fleet, which is
	// proven: they tell each other of peers though the release is private.
	Members bool
	Places  Places // nil: no place is known
	// Limits are the chains that hold for peers in a place; nil: Up and Down for all.
	Limits func(topology.Place) (up, down rate.Chain)
	// Dial opens a connection; nil: TCP. NoSpace tells a full disk from other
	// write errors.
	Dial    func(ctx context.Context, addr netip.AddrPort) (net.Conn, error)
	NoSpace error
	Log     *slog.Logger
}

// Tuning that is not an option: see docs/architecture.md for why.
const (
	defaultPeers   = 80
	defaultBudget  = 64 << 20
	tickEvery      = 100 * time.Millisecond
	dialTimeout    = 5 * time.Second
	handshakeLimit = 10 * time.Second
	eventQueue     = 1024
	eventBurst     = 64 // events applied before news goes out
)

// Torrent is the outside of a running torrent: it can be told things and
// asked for figures, but holds no state of the swarm.
type Torrent struct {
	o         Options
	events    chan event
	done      chan struct{} // closed when nobody takes events any more
	completed chan struct{}
	complete1 sync.Once
	stats     atomic.Pointer[Stats]
	wg        sync.WaitGroup
	hints     hinted
	have      *bitfield.Set // when Run has returned
}

// New checks the options. Nothing runs before Run.
func New(o Options) (*Torrent, error) {
	switch {
	case o.Info == nil || o.Hashes == nil || o.Store == nil || o.Have == nil:
		return nil, errors.New("swarm: info, hashes, store and have are required")
	case o.Have.Len() != o.Info.NumPieces():
		return nil, fmt.Errorf("swarm: have is for %d pieces, the metafile has %d", o.Have.Len(), o.Info.NumPieces())
	case o.Want != nil && o.Want.Len() != o.Info.NumPieces():
		return nil, fmt.Errorf("swarm: want is for %d pieces, the metafile has %d", o.Want.Len(), o.Info.NumPieces())
	}
	if o.MaxPeers <= 0 {
		o.MaxPeers = defaultPeers
	}
	if o.Budget == nil {
		o.Budget = peerconn.NewBudget(defaultBudget)
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Limits == nil {
		o.Limits = func(topology.Place) (up, down rate.Chain) { return o.Up, o.Down }
	}
	if o.Places == nil {
		o.Places = nowhere{}
	}
	if o.Dial == nil {
		d := net.Dialer{Timeout: dialTimeout, Control: peerconn.Control}
		o.Dial = func(ctx context.Context, addr netip.AddrPort) (net.Conn, error) {
			return d.DialContext(ctx, "tcp", addr.String())
		}
	}
	t := &Torrent{
		o: o, events: make(chan event, eventQueue), done: make(chan struct{}),
		completed: make(chan struct{}), hints: hintsOf(o.Store),
	}
	t.stats.Store(o.before())
	return t, nil
}

// Run owns the torrent until ctx ends (nil) or storage fails for good. When it
// returns, every goroutine that it started has returned too.
func (t *Torrent) Run(parent context.Context) error {
	ctx, cancel := context.WithCancelCause(parent)
	s := newState(t, ctx, cancel)
	err := s.loop(ctx)
	cancel(nil)
	s.closeAll()
	s.windUp()
	t.have = s.have
	if parent.Err() != nil {
		return nil
	}
	return err
}

// before is the figures until the loop runs: a tracker that is told too early
// that nothing is left takes us for a seed.
func (o *Options) before() *Stats {
	st := &Stats{Pieces: o.Info.NumPieces(), State: "starting"}
	for i := range o.Info.NumPieces() {
		if o.Want != nil && !o.Want.Has(i) {
			continue
		}
		p, _ := o.Info.Piece(uint32(i))
		st.Want++
		st.BytesWant += o.Info.PieceData(p)
		if o.Have.Has(i) {
			st.Have++
			st.BytesDone += o.Info.PieceData(p)
		}
	}
	st.Left = st.BytesWant - st.BytesDone
	return st
}

// post hands an event to the loop; false once the loop has ended.
func (t *Torrent) post(e event) bool {
	select {
	case t.events <- e:
	case <-t.done:
		return false
	}
	select {
	case <-t.done: // perhaps after the last look at the queue
		t.drop()
	default:
	}
	return true
}

// drop empties the queue when nobody looks at it any more. What is in it came from outside.
func (t *Torrent) drop() {
	for {
		select {
		case e := <-t.events:
			if e, ok := e.(interface{ discard() }); ok {
				e.discard()
			}
		default:
			return
		}
	}
}

// AddPeers tells of addresses that may have the content.
func (t *Torrent) AddPeers(addrs []netip.AddrPort) { t.post(foundPeers{addrs: addrs, named: true}) }

// Accept takes over an incoming connection whose handshake has been read and
// found to be for this torrent; the answer is still owed.
func (t *Torrent) Accept(c net.Conn, hs wire.Handshake) {
	if !t.post(incoming{c, hs}) {
		c.Close()
	}
}

// Completed is closed when all wanted pieces are verified and written.
func (t *Torrent) Completed() <-chan struct{} { return t.completed }

// Stats is a view of a torrent, a tenth of a second old at most.
type Stats struct {
	Pieces, Have, Want   int   // pieces; Want: wanted pieces, had or not
	BytesDone, BytesWant int64 // of wanted pieces, without trailing padding
	Left                 int64
	Downloaded, Uploaded int64 // payload bytes since the start
	Wasted               int64 // payload bytes that came twice or were bad
	DownRate, UpRate     float64
	Peers, Seeds         int
	Known                int // addresses that could be dialled
	State                string
	Source               bool               // handing out the first copy
	Near                 int                // hosts of our data centre that still lack something, we among them
	Traffic              map[string]Traffic // payload by data centre, "" for unknown; not to be changed
	Queue                time.Duration      // that our packets wait in the network: the median of all peers we send to
}

// Have returns the pieces that are verified and written, once Run has returned.
func (t *Torrent) Have() *bitfield.Set { return t.have }

// Stats returns the newest figures.
func (t *Torrent) Stats() Stats { return *t.stats.Load() }

func (t *Torrent) setComplete() { t.complete1.Do(func() { close(t.completed) }) }

func randomSeed() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	return binary.LittleEndian.Uint64(b[:])
}
