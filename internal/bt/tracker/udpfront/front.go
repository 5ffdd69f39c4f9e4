// Package udpfront serves the UDP tracker protocol (BEP 15, BEP 41) on several sockets of one port. It parses,
// asks and answers; what to answer is decided behind the Logic interface.
//
// It never remembers a client: connection ids are keyed hashes. It never answers a datagram that it cannot
// trust with more bytes than came in, so that nobody can use it to amplify.
package udpfront

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"golang.org/x/sync/errgroup"

	"shoal/internal/bt/announce"
	"shoal/internal/bt/metainfo"
)

// Logic is what stands behind the front. Both return nil, or the refusal to send.
type Logic interface {
	// Announce answers a request that came from an address, appending peers to the response.
	Announce(now time.Time, from netip.Addr, r *announce.Request, out *announce.Response) *announce.Failure
	// Scrape tells about swarms in the order of the hashes, appending to dst.
	Scrape(now time.Time, from netip.Addr, hashes []metainfo.InfoHash, dst []announce.Swarm) ([]announce.Swarm, *announce.Failure)
}

// Counters are told what became of datagrams; the calls must be cheap and safe for concurrent use.
type Counters interface {
	Connected()
	Dropped() // no answer: not of this protocol, or its connection id is not good
}

// Front serves a set of sockets.
type Front struct {
	sockets  []*net.UDPConn
	logic    Logic
	counters Counters
	log      *slog.Logger
	workers  []*worker
}

// New makes a front over bound sockets, which it closes at the end of Run. Several sockets may share a port
// (SO_REUSEPORT); each is served by one goroutine.
func New(sockets []*net.UDPConn, logic Logic, counters Counters, log *slog.Logger) (*Front, error) {
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	f := &Front{sockets: sockets, logic: logic, counters: counters, log: log}
	for _, s := range sockets {
		ids, err := newConnIDs(key)
		if err != nil {
			return nil, err
		}
		b, err := newBatch(s)
		if err != nil {
			return nil, fmt.Errorf("udpfront: %s: %w", s.LocalAddr(), err)
		}
		f.workers = append(f.workers, &worker{Front: f, ids: ids, batch: b})
	}
	return f, nil
}

// Run serves until ctx ends or a socket fails for good.
func (f *Front) Run(ctx context.Context) error {
	group, inner := errgroup.WithContext(ctx)
	stop := context.AfterFunc(inner, f.close)
	defer stop()
	for i, w := range f.workers {
		group.Go(func() error {
			if err := w.serve(inner); err != nil {
				return fmt.Errorf("udpfront: %s: %w", f.sockets[i].LocalAddr(), err)
			}
			return nil
		})
	}
	err := group.Wait()
	f.close()
	return err
}

func (f *Front) close() {
	for _, s := range f.sockets {
		_ = s.Close() // what could fail does not matter to a socket without a stream
	}
}

// worker answers the datagrams of one socket. All its memory is made once.
type worker struct {
	*Front
	ids    *connIDs
	batch  *batch
	req    announce.Request
	out    announce.Response
	hashes []metainfo.InfoHash
	swarms []announce.Swarm
}

// maxFailures in a row mean that the socket is broken.
const maxFailures = 1000

// serve answers one batch after the other. The clock is read once a batch.
func (w *worker) serve(ctx context.Context) error {
	for failures := 0; ; {
		n, err := w.batch.receive()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			// Such as an ICMP error of an earlier answer, which tells nothing about this socket.
			if failures++; failures == maxFailures || errors.Is(err, net.ErrClosed) {
				return err
			}
			w.log.Debug("udp receive failed", "err", err)
			continue
		}
		failures = 0
		now := time.Now()
		for i := range n {
			pkt, from := w.batch.packet(i)
			if !from.IsValid() || from.Port() == 0 {
				continue
			}
			w.batch.reply(i, w.answer(w.batch.room(i), pkt, from.Addr().Unmap(), now))
		}
		if err := w.batch.send(); err != nil && ctx.Err() == nil {
			w.log.Debug("udp send failed", "err", err)
		}
	}
}

// answer appends the answer to one datagram; nothing when it gets none.
func (w *worker) answer(dst, pkt []byte, from netip.Addr, now time.Time) []byte {
	h, err := announce.ParseUDPHead(pkt)
	if err != nil {
		w.counters.Dropped()
		return dst
	}
	if h.Action == announce.ActionConnect {
		w.counters.Connected()
		return announce.AppendUDPConnected(dst, h.Tx, w.ids.make(from, now))
	}
	if !w.ids.valid(h.ConnID, from, now) {
		return w.distrust(dst, pkt, h)
	}
	switch h.Action {
	case announce.ActionAnnounce:
		return w.announce(dst, pkt, h.Tx, from, now)
	case announce.ActionScrape:
		return w.scrape(dst, pkt, h.Tx, from, now)
	}
	return refusal(h.Action).AppendUDPError(dst, h.Tx)
}

func refusal(a announce.Action) *announce.Failure {
	return &announce.Failure{Reason: fmt.Sprintf("action %d is not known", a)}
}

// errConnID is the refusal of an id that was not given to this address, or too long ago.
var errConnID = announce.Failure{Reason: "connection id expired"}

// distrust answers a datagram whose sender may be forged: with an error, if that is not longer than what came.
func (w *worker) distrust(dst, pkt []byte, h announce.UDPHead) []byte {
	w.counters.Dropped()
	known := h.Action == announce.ActionAnnounce || h.Action == announce.ActionScrape
	if !known || len(pkt) < 8+len(errConnID.Reason) {
		return dst
	}
	return errConnID.AppendUDPError(dst, h.Tx)
}

func (w *worker) announce(dst, pkt []byte, tx uint32, from netip.Addr, now time.Time) []byte {
	var err error
	if w.req, err = announce.ParseUDPAnnounce(pkt); err != nil {
		return failure(err).AppendUDPError(dst, tx)
	}
	w.out = announce.Response{V4: w.out.V4[:0], V6: w.out.V6[:0]}
	if f := w.logic.Announce(now, from, &w.req, &w.out); f != nil {
		return f.AppendUDPError(dst, tx)
	}
	return w.out.AppendUDPReply(dst, tx, from.Is6())
}

func (w *worker) scrape(dst, pkt []byte, tx uint32, from netip.Addr, now time.Time) []byte {
	var err error
	if w.hashes, err = announce.ParseUDPScrape(w.hashes[:0], pkt); err != nil {
		return failure(err).AppendUDPError(dst, tx)
	}
	var f *announce.Failure
	if w.swarms, f = w.logic.Scrape(now, from, w.hashes, w.swarms[:0]); f != nil {
		return f.AppendUDPError(dst, tx)
	}
	return announce.AppendUDPScrape(dst, tx, w.swarms)
}

// failure is the refusal in an error of the announce package, all of whose parsers of requests give one.
func failure(err error) *announce.Failure {
	var f *announce.Failure
	if !errors.As(err, &f) {
		f = &announce.Failure{Reason: "the request makes no sense"}
	}
	return f
}
