// Package node is the one place that wires: it puts storage, swarm, announcer
// and the listening socket of a process together into the roles a host can
// have, starts them in order and stops them in order. It holds no protocol, no
// picking and no printing.
package node

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"log/slog"
	"net/netip"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"shoal/internal/bt/limit"
	"shoal/internal/bt/metainfo"
	"shoal/internal/bt/peerconn"
)

// clientID starts our peer ids (BEP 20): shoal, version 0.0.0.1.
const clientID = "-SH0001-"

// clientName is what peers are told (BEP 10).
const clientName = "shoal 0.0.1"

const (
	// bufferBudget bounds all bulk buffers of the process, in bytes.
	bufferBudget = 64 << 20
	// heapSpare is what the rest of a process may use before its garbage is
	// collected early, in bytes.
	heapSpare = 20 << 20
	// heapPerMetafile is the same for each byte of a metafile: a name becomes a
	// string, a slice and a place in a tree.
	heapPerMetafile = 8
)

// limitMemory sets what the Go runtime tries to stay within, unless the user
// has (GOMEMLIMIT): without a limit garbage may take as much as what is in use.
func limitMemory(bytes int64) {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(bytes)
	}
}

// Options of a process that takes part in swarms.
type Options struct {
	Listen string // "host:port"; empty: the first free traditional port
	Limits []limit.Change
	Ramp   time.Duration // how long a transfer takes to reach its limits; 0: none
	// TorrentUp and TorrentDown limit each torrent, in bytes a second; 0: no limit.
	TorrentUp, TorrentDown int64
	DSCP                   int    // marks the packets to peers, 0 to 63
	Background             bool   // leave CPU and disk to everybody else
	Yield                  bool   // take less while the host is busy with other work
	Control                string // file name of the socket for shoal ctl; "": none
	ControlOptional        bool   // go on when it cannot be made
	MaxPeers               int    // connections a torrent; 0: the engine's default
	// Roomy lets the heap grow as the rest of the process needs: a limit that
	// was made for swarms alone would have the garbage collector run all the time.
	Roomy  bool
	Secure Secure // of the connections to peers, for example a *peertls.Guard; nil: plain
	// TrackerTLS is how to talk to the https tracker of a name or address; nil: as everybody does.
	TrackerTLS func(host string) *tls.Config
	// EveryTracker announces to all trackers of a release, not only to the first that works.
	EveryTracker bool
	Place        PlaceOptions
	Log          *slog.Logger
	// Report is told what happens, one event at a time. May be nil.
	Report func(Event)
}

// Kind is what an Event tells.
type Kind string

// What happens to a torrent, in order. Failed may follow anything.
const (
	Serving  Kind = "serving"  // content is checked, peers are answered, trackers know
	Complete Kind = "complete" // every wanted byte is verified and on disk
	Budget   Kind = "budget"   // a link's budget is passed; Err says which, a *BudgetError
	Dropped  Kind = "dropped"  // no longer served
	Failed   Kind = "failed"
)

// Event is something that happened to one torrent.
type Event struct {
	Kind     Kind
	Name     string         // of the release
	Path     string         // of its content
	Addr     netip.AddrPort // where peers reach this process
	InfoHash string         // hex: v1's if there is one, else v2's
	Status   Status
	Err      error   // of Failed and Budget
	Moved    []Moved // by data centre, with Complete

	share *share // nil where there is none
}

// Status is how far one torrent is at one moment.
type Status struct {
	State       string // "metadata", "checking", "downloading", "seeding", ...
	Done, Total int64  // bytes of the state's work
	Complete    bool   // every wanted byte is verified and on disk
	Peers       int
	Downloaded  int64 // payload bytes
	Uploaded    int64
	Wasted      int64 // payload bytes that were thrown away
}

// process is what all torrents of a process share: one listening socket, one
// peer id, one table of limits.
type process struct {
	Options
	in       *listener
	id       [20]byte
	key      uint32 // tells trackers that we are still us after an address change
	budget   *peerconn.Budget
	heap     atomic.Int64 // what memory is limited to
	places   *places
	limits   *limits
	ledger   *ledger
	gate     *gate
	yielding atomic.Pointer[string] // why the governor holds back
	shares   sync.Map               // of *share that run
}

// makeRoom widens the limit of memory by what a metafile needs, until the
// returned function is called.
func (p *process) makeRoom(meta *metainfo.Metafile) (leave func()) {
	if p.Roomy {
		return func() {}
	}
	n := heapPerMetafile * int64(len(meta.Info.Raw))
	limitMemory(p.heap.Add(n))
	return func() { limitMemory(p.heap.Add(-n)) }
}

// open binds the socket, so that a bad address is known before any work.
func open(ctx context.Context, o Options) (*process, error) {
	if o.Log == nil {
		return nil, errors.New("node: Log is needed")
	}
	if o.Report == nil {
		o.Report = func(Event) {}
	}
	if o.Background {
		if err := stepAside(); err != nil {
			o.Log.Warn("cannot step back behind other work on this host", "err", err)
		}
	}
	in, err := listen(ctx, o.Listen, o.DSCP, o.Log)
	if err != nil {
		return nil, err
	}
	in.secure = o.Secure
	where, err := o.Place.places(in.addrPort())
	if err != nil {
		in.Close()
		return nil, err
	}
	if err := in.listenMore(ctx, where.homed); err != nil {
		return nil, err
	}
	var reportMu sync.Mutex
	tell := o.Report
	o.Report = func(e Event) {
		reportMu.Lock()
		defer reportMu.Unlock()
		tell(e)
	}
	p := &process{
		Options: o, in: in, budget: peerconn.NewBudget(bufferBudget),
		places: where, limits: newLimits(o.Limits, o.Ramp, where), ledger: newLedger(where), gate: newGate(nil),
	}
	rand.Read(p.id[copy(p.id[:], clientID):]) // never fails (crypto/rand)
	var key [4]byte
	rand.Read(key[:])
	p.key = binary.LittleEndian.Uint32(key[:])
	p.heap.Store(bufferBudget + heapSpare)
	if !o.Roomy {
		limitMemory(p.heap.Load())
	}
	o.Log.Debug("listening for peers", "addr", in.Addr(), "place", where.Own())
	return p, nil
}

// local is the address that outgoing connections must come from, so that
// trackers and peers see the one that is listened on; invalid: any.
func (p *process) local() netip.Addr {
	if a := p.in.addrPort().Addr(); a.IsValid() && !a.IsUnspecified() {
		return a
	}
	return netip.Addr{}
}
