package swarm

import (
	"net/netip"
	"time"

	"shoal/internal/bt/bitfield"
	"shoal/internal/bt/wire"
)

// peer is one connection as the loop sees it. Only the loop touches it; what
// its goroutines share is in link.
type peer struct {
	link     *link
	gone     bool // removed: its connection is ending
	id       [20]byte
	outgoing bool
	rank     uint32         // BEP 40
	dialled  netip.AddrPort // what was dialled, if outgoing
	listen   netip.AddrPort // where it takes connections, if known
	ext      wire.ExtHandshake
	shoal    bool
	unit     int64 // longest request it serves

	has          *bitfield.Set
	chokesUs     bool
	interested   bool // in us
	amChoking    bool
	amInterested bool
	allowed      []uint32 // pieces it serves even while it chokes us (BEP 6)
	gift         []uint32 // pieces we serve it even while we choke it

	serving
	down, up  meter
	joined    time.Time
	chokedAt  time.Time // of the last change of amChoking
	holdUntil time.Time // ask nothing before
	pexAt     time.Time
	told      map[netip.AddrPort]bool
	news      []uint32 // pieces to announce, shoal peers only
	lucky     bool     // holds the optimistic slot
	bad       int      // damaged pieces that it alone has sent
	reports   int      // pieces of ours that it called damaged
}

// serving is what a shoal peer wants of us, and what the source has promised.
type serving struct {
	queue    []wire.Block // requests that wait for a slot
	granted  map[wire.Block]time.Time
	started  uint32 // the piece that is going out, if any
	inPiece  bool
	revealed map[uint32]time.Time // by a source: pieces offered to this peer and not yet sent
}

func (p *peer) send(add func([]byte) []byte) { p.link.conn.Send(add) }

func (p *peer) seed() bool { return p.has.All() }

// pexFlags are BEP 11's.
func (p *peer) pexFlags() uint8 {
	flags := uint8(0)
	if p.seed() || p.ext.UploadOnly {
		flags |= wire.PexSeed
	}
	if p.outgoing {
		flags |= wire.PexReachable
	}
	return flags
}

// meter turns a growing count into a rate.
type meter struct {
	last int64
	rate float64 // bytes/s
}

// step takes the count after dt seconds; the rate is smoothed over about a second.
func (m *meter) step(count int64, dt float64) {
	if dt <= 0 {
		return
	}
	inst := float64(count-m.last) / dt
	m.last = count
	m.rate += (inst - m.rate) * min(1, dt/0.7)
}
