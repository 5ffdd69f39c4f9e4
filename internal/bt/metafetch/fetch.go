// Package metafetch turns a magnet link into a metafile: it asks peers for
// the info dictionary (BEP 9) and, where the release has v2 hashes, for the
// piece layers (BEP 52). Everything is checked against the magnet's hashes
// before it is believed. It never touches content.
package metafetch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"shoal/internal/bt/metainfo"
)

// Bounds.
const (
	parallel     = 8               // peers asked at a time
	maxInfo      = 128 << 20       // bytes of an info dictionary
	maxBuffered  = 1 << 20         // what a peer's claimed size may allocate before bytes have come
	pipeline     = 32              // requests under way to one peer
	peerLimit    = 2 * time.Minute // for all that one peer has to say
	stallLimit   = 15 * time.Second
	dialLimit    = 5 * time.Second
	layersRounds = 3 // peers without piece layers before a hybrid does without
)

// Options of a fetch. Magnet, PeerID and Peers are required.
type Options struct {
	Magnet            metainfo.Magnet
	PeerID            [20]byte
	Peers             <-chan []netip.AddrPort // grows while it runs
	AllowOutsideLinks bool
	Dial              func(ctx context.Context, addr netip.AddrPort) (net.Conn, error) // nil: TCP
	Log               *slog.Logger
}

// Result is what was found: a valid info dictionary, and its piece layers as
// far as any peer had them.
type Result struct {
	Info   *metainfo.Info
	Layers metainfo.Layers
	Peers  []netip.AddrPort // everyone heard of, who gave it first
}

// errNoLayers means that a peer has the info dictionary but not the layers.
var errNoLayers = errors.New("the peer does not give piece layers")

// Fetch asks peers until one has given everything, or ctx ends.
func Fetch(ctx context.Context, o Options) (Result, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Dial == nil {
		d := net.Dialer{Timeout: dialLimit}
		o.Dial = func(ctx context.Context, addr netip.AddrPort) (net.Conn, error) {
			return d.DialContext(ctx, "tcp", addr.String())
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r := &round{o: o, results: make(chan answer), tried: map[netip.AddrPort]int{}}
	res, err := r.run(ctx)
	cancel()
	for r.busy > 0 { // wait for those still asking
		<-r.results
		r.busy--
	}
	return res, err
}

// round is the state of one fetch, owned by run.
type round struct {
	o       Options
	queue   []netip.AddrPort
	tried   map[netip.AddrPort]int
	results chan answer
	busy    int
	partial int // peers that gave the info of a hybrid but no layers
	info    *metainfo.Info
}

type answer struct {
	addr netip.AddrPort
	res  Result
	err  error
}

func (r *round) run(ctx context.Context) (Result, error) {
	again := time.NewTicker(3 * time.Second)
	defer again.Stop()
	for {
		for r.busy < parallel && len(r.queue) > 0 {
			r.ask(ctx, r.queue[0])
			r.queue = r.queue[1:]
		}
		select {
		case addrs := <-r.o.Peers:
			for _, a := range addrs {
				if _, ok := r.tried[a]; !ok && len(r.tried) < 4096 {
					r.tried[a] = 0
					r.queue = append(r.queue, a)
				}
			}
		case a := <-r.results:
			r.busy--
			if res, ok := r.judge(a); ok {
				res.Peers = []netip.AddrPort{a.addr}
				for other := range r.tried {
					if other != a.addr {
						res.Peers = append(res.Peers, other)
					}
				}
				return res, nil
			}
		case <-again.C: // everybody may know more by now
			if r.busy == 0 && len(r.queue) == 0 {
				for a := range r.tried {
					r.queue = append(r.queue, a)
				}
			}
		case <-ctx.Done():
			return Result{}, fmt.Errorf("no peer gave the metadata (%d addresses known): %w", len(r.tried), context.Cause(ctx))
		}
	}
}

// judge decides whether an answer is enough.
func (r *round) judge(a answer) (Result, bool) {
	if a.res.Info != nil {
		r.info = a.res.Info
	}
	switch {
	case a.err == nil:
		return a.res, true
	case errors.Is(a.err, errNoLayers) && r.info.HasV1():
		// SHA-1 is enough to check a hybrid.
		if r.partial++; r.partial >= min(layersRounds, len(r.tried)) {
			return Result{Info: r.info, Layers: a.res.Layers}, true
		}
	}
	r.o.Log.Debug("no metadata", "peer", a.addr, "err", a.err)
	return Result{}, false
}

func (r *round) ask(ctx context.Context, addr netip.AddrPort) {
	r.busy++
	attempt := r.tried[addr]
	r.tried[addr]++
	known := r.info
	go func() {
		res, err := askPeer(ctx, r.o, addr, attempt, known)
		r.results <- answer{addr, res, err}
	}()
}

// askPeer gets all there is from one peer. known is the info dictionary, if
// another peer has given it already.
func askPeer(ctx context.Context, o Options, addr netip.AddrPort, attempt int, known *metainfo.Info) (res Result, err error) {
	ctx, cancel := context.WithTimeout(ctx, peerLimit)
	defer cancel()
	nc, err := o.Dial(ctx, addr)
	if err != nil {
		return res, err
	}
	defer nc.Close()
	defer context.AfterFunc(ctx, func() { nc.Close() })()
	p := &talk{nc: nc, outside: o.AllowOutsideLinks}
	if err := p.hello(o, attempt); err != nil {
		return res, err
	}
	res.Info = known
	if res.Info == nil {
		if res.Info, err = p.fetchInfo(o.Magnet); err != nil {
			return res, err
		}
	}
	if res.Info.HasV2() {
		res.Layers, err = p.fetchLayers(res.Info)
	}
	return res, err
}
