package swarm

import (
	"slices"
	"time"

	"shoal/internal/bt/peerconn"
	"shoal/internal/bt/wire"
)

// Lanes to our uplink: what shoal peers may ask for stands in one line, and few
// connections at a time send. A piece that has the uplink to itself can be
// passed on sooner than one of many that share it, and the faster a connection
// sends, the larger are its packets and the fewer it takes.
const (
	lanes     = 4                     // connections that send at a time, late ones not counted
	siteLanes = 2                     // the same, to each other site
	laneAhead = 20 * time.Millisecond // of our rate may be in the hands of one connection
	laneBytes = 256 << 10             // or as many bytes, if that is more
	laneLate  = 4                     // a lane that takes so many times as long as it should leaves room for another
)

// queued is a block of a shoal peer that waits for a lane.
type queued struct {
	p *peer
	b wire.Block
}

// lane is what a connection has been given to send.
type lane struct {
	blocks int
	bytes  int64
	since  time.Time // when the first of them came or became first
	piece  uint32    // of the last block
	within bool      // that piece is not at its end
}

// feed gives waiting blocks to connections: those of a piece that is on its
// way first, then in their order.
func (s *state) feed() {
	if len(s.line) == 0 {
		return
	}
	s.imports.queue.busy = 0
	for _, at := range s.imports.sites {
		at.queue.busy = 0
	}
	for p := range s.peers {
		if p.lane.blocks > 0 && !s.late(p) {
			s.queueOf(p).busy++
		}
	}
	s.line = slices.DeleteFunc(s.line, func(q queued) bool {
		return q.p.gone || q.p.lane.within && q.p.lane.piece == q.b.Index && s.enter(q)
	})
	s.line = slices.DeleteFunc(s.line, s.enter)
}

// enter puts a block into its peer's lane if there is room.
func (s *state) enter(q queued) bool {
	l, most, at := &q.p.lane, lanes, s.queueOf(q.p)
	if q.p.site != nil {
		most = siteLanes
	}
	switch {
	case l.blocks == 0 && at.busy < most:
		at.busy++
		l.since = s.now
	case l.blocks > 0 && l.bytes < max(laneBytes, int64(s.sums.upRate.rate*laneAhead.Seconds())):
	default:
		return false
	}
	l.blocks++
	l.bytes += int64(q.b.Length)
	piece, _ := s.o.Info.Piece(q.b.Index)
	l.piece, l.within = q.b.Index, q.b.End() < s.o.Info.PieceData(piece)
	q.p.link.conn.Upload(peerconn.Upload{Block: q.b, Off: s.offset(q.b)})
	return true
}

// late tells whether a lane is held up by its peer.
func (s *state) late(p *peer) bool {
	should := float64(p.lane.bytes) / max(s.sums.upRate.rate/float64(lanes), 1) // seconds
	return s.now.Sub(p.lane.since) > 20*time.Millisecond+time.Duration(laneLate*should*1e9)
}

// outOfLane notes that a block is out of a peer's lane.
func (s *state) outOfLane(p *peer, b wire.Block) {
	p.lane.blocks--
	p.lane.bytes -= int64(b.Length)
	p.lane.since = s.now
}

// unline takes a block out of the line; false when it is in a lane or has gone.
func (s *state) unline(p *peer, b wire.Block) bool {
	i := slices.Index(s.line, queued{p, b})
	if i >= 0 {
		s.line = slices.Delete(s.line, i, i+1)
	}
	return i >= 0
}
