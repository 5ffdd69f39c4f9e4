package swarm

import (
	"fmt"
	"net/netip"
	"sync/atomic"
	"time"

	"shoal/internal/bt/bitfield"
	"shoal/internal/bt/metainfo"
	"shoal/internal/bt/peerconn"
	"shoal/internal/bt/rate"
	"shoal/internal/bt/wire"
)

// link is a peer as its connection's goroutines see it: it turns messages
// into events, and blocks into bytes on disk. It implements
// peerconn.Handler.
type link struct {
	t     *Torrent
	p     *peer // the loop's side; here only a name to put into events
	conn  *peerconn.Conn
	addr  netip.AddrPort
	fetch *fetcher
	fast  bool
	up    rate.Path // the limits of the peer's place
	down  rate.Path

	unasked atomic.Int64     // payload bytes that nobody had asked for
	events  []event          // of the reader; flushed before it waits
	ours    []metainfo.Piece // of those events: verified, and not in the journal yet
	asked   []wire.Block
	took    bool // blocks have come since the last pump
}

// maxUnasked bounds what a peer may send without being asked, in bytes: after
// a cancel some is normal.
const maxUnasked = 64 << 20

// Message implements peerconn.Handler.
func (l *link) Message(id wire.ID, payload []byte) error {
	if id == wire.Request {
		return l.request(payload)
	}
	e, err := l.parse(id, payload)
	if err != nil {
		return fmt.Errorf("%v message: %w", id, err)
	}
	if e != nil {
		l.events = append(l.events, e)
		if len(l.events) >= 256 {
			l.Flush()
		}
	}
	return nil
}

// request checks a request and collects it with its neighbours.
func (l *link) request(payload []byte) error {
	b, err := wire.ParseBlock(payload)
	if err != nil {
		return err
	}
	p, ok := l.t.o.Info.Piece(b.Index)
	if !ok || b.Length == 0 || b.End() > l.t.o.askable(p) || b.Length > maxLarge {
		return fmt.Errorf("%w: request for piece %d, %d bytes at %d", wire.ErrMalformed, b.Index, b.Length, b.Begin)
	}
	l.asked = append(l.asked, b)
	if len(l.asked) >= 256 {
		l.Flush()
	}
	return nil
}

// parse turns a message into its event; nil for what we ignore.
func (l *link) parse(id wire.ID, payload []byte) (event, error) {
	if len(l.asked) > 0 { // keep the order
		l.flushAsked()
	}
	if id.NeedsFast() && !l.fast {
		return nil, fmt.Errorf("%w: the Fast Extension was not agreed on", wire.ErrMalformed)
	}
	n := l.t.o.Info.NumPieces()
	switch id {
	case wire.Choke:
		return choked{l.p, true}, nil
	case wire.Unchoke:
		return choked{l.p, false}, nil
	case wire.Interested:
		return interested{l.p, true}, nil
	case wire.NotInterested:
		return interested{l.p, false}, nil
	case wire.Have, wire.AllowedFast:
		i, err := wire.ParseHave(payload)
		if err != nil || int64(i) >= int64(n) {
			return nil, fmt.Errorf("%w: piece %d of %d", wire.ErrMalformed, i, n)
		}
		if id == wire.AllowedFast {
			return allowed{l.p, i}, nil
		}
		return gotHaves{l.p, []uint32{i}}, nil
	case wire.Bitfield:
		set, err := bitfield.FromBytes(payload, n)
		return gotBitfield{l.p, set}, err
	case wire.HaveAll:
		set := bitfield.New(n)
		set.SetAll()
		return gotBitfield{l.p, set}, nil
	case wire.HaveNone:
		return gotBitfield{l.p, bitfield.New(n)}, nil
	case wire.Cancel:
		b, err := wire.ParseBlock(payload)
		return cancelled{l.p, b}, err
	case wire.Reject:
		b, err := wire.ParseBlock(payload)
		return refused{l.p, b}, err
	case wire.Extended:
		return l.parseExtended(payload)
	case wire.HashRequest:
		r, err := wire.ParseHashRequest(payload)
		return hashesAsked{l.p, r}, err
	}
	return nil, nil // suggest, port, hashes, and what we do not know
}

// Flush implements peerconn.Handler.
func (l *link) Flush() {
	l.flushAsked()
	if l.took {
		l.took = false
		l.pump()
	}
	if len(l.ours) > 0 { // before anybody hears of them
		l.t.o.Store.MarkHave(l.ours...)
		l.ours = l.ours[:0]
	}
	if len(l.events) > 0 {
		l.t.post(batch{l.p, l.events})
		l.events = nil
	}
}

func (l *link) flushAsked() {
	if len(l.asked) > 0 {
		l.events = append(l.events, asked{l.p, l.asked})
		l.asked = nil
	}
}

// Begin implements peerconn.Handler.
func (l *link) Begin(b wire.Block) (peerconn.Sink, error) {
	j := l.fetch.arrived(b)
	if j == nil {
		if l.unasked.Add(int64(b.Length)) > maxUnasked {
			return nil, fmt.Errorf("%w: sends what nobody asked for", peerconn.ErrProtocol)
		}
		l.events = append(l.events, wasted{int64(b.Length)})
		return nil, nil
	}
	return &sink{l: l, part: j.part, off: int64(b.Begin)}, nil
}

// Sent implements peerconn.Handler.
func (l *link) Sent(us []peerconn.Upload, errs []error) { l.t.post(sent{l.p, us, errs}) }

// pump sends the next requests, and tells the loop when there are no more.
func (l *link) pump() {
	reqs, hungry := l.fetch.pump(nil)
	if len(reqs) > 0 {
		l.conn.Send(func(dst []byte) []byte { return append(dst, reqs...) })
	}
	if hungry {
		l.events = append(l.events, hungryPeer{l.p})
	}
}

// sink writes one block into its piece.
type sink struct {
	l    *link
	part *partial
	off  int64
	done outcome
	dup  int64
}

// Take implements peerconn.Sink.
func (s *sink) Take(b []byte) (write func() error) {
	s.l.fetch.touch(time.Now())
	off := s.off
	s.off += int64(len(b))
	gaps := s.part.take(off, b)
	return func() error { return s.write(off, b, gaps) }
}

func (s *sink) write(off int64, b []byte, gaps []span) error {
	out, err := s.part.write(s.l.t.o.Store, s.l, off, b, gaps)
	s.dup += int64(len(b)) - out.used
	if err != nil {
		// Not the peer's fault: the loop decides, the block is swallowed.
		s.l.t.post(writeFailed{s.part, err})
		return nil
	}
	if out.complete {
		s.done = out
	}
	return nil
}

// Done implements peerconn.Sink.
func (s *sink) Done() error {
	s.tell()
	s.l.took = true
	if len(s.l.events) >= 256 {
		s.l.Flush()
	}
	return nil
}

// tell says what has become of the bytes.
func (s *sink) tell() {
	l := s.l
	if s.done.complete {
		if s.done.ok {
			l.ours = append(l.ours, s.part.piece)
		}
		l.events = append(l.events, pieceOver{s.part, s.done.ok})
	}
	if s.dup > 0 {
		l.events = append(l.events, wasted{s.dup})
	}
}

// Abort implements peerconn.Sink. What came is kept; the loop hears of the
// connection's end and asks elsewhere for the rest.
func (s *sink) Abort() {
	s.tell()
	s.l.Flush()
}
