package swarm

import (
	"net/netip"
	"slices"
	"time"

	"shoal/internal/bt/bitfield"
	"shoal/internal/bt/wire"
	"shoal/internal/topology"
)

// peer is one connection as the loop sees it. Only the loop touches it; what
// its goroutines share is in link. What is looked at often comes first: where
// thousands of torrents live in one process, each line of it is a miss.
type peer struct {
	link *link
	gone bool // removed: its connection is ending
	serving
	towardsThem
	towardsUs
	down, up meter
	counted  Traffic // of its bytes, those that stand in the sums by place
	conduct
	identity
}

// identity is who a peer is.
type identity struct {
	outgoing bool
	shoal    bool
	extended bool           // it takes extension messages (BEP 10)
	shoalID  uint8          // of its shoal messages; 0: it takes none
	rank     uint32         // BEP 40
	site     *site          // nil: ours
	place    topology.Place // where it is; see locate
	joined   time.Time
	id       [20]byte
	dialled  netip.AddrPort   // what was dialled, if outgoing
	listen   netip.AddrPort   // where it takes connections, if known
	also     []netip.AddrPort // and where else
	ext      wire.ExtHandshake
}

// towardsUs is what a peer has and gives.
type towardsUs struct {
	has       *bitfield.Set
	unit      int64 // longest request it serves
	chokesUs  bool
	allowed   []uint32 // pieces it serves even while it chokes us (BEP 6)
	licence   int      // shoal peers: pieces that we may still begin
	licenceAt time.Time
	pieces    int    // in progress that it was asked for
	sendsAt   *queue // where it is counted as one that sends; nil: nowhere
	alone     bool   // by the size of its last licence, it has nobody else to serve
	wanted    bool   // we have told it that we are interested
	holdUntil time.Time
}

// towardsThem is what a peer may expect of us.
type towardsThem struct {
	interested bool
	amChoking  bool
	chokedAt   time.Time // of the last change of amChoking
	lucky      bool      // holds the optimistic slot
	gift       []uint32  // pieces we serve it even while we choke it
	heard      int       // of state.gained: pieces that it was told of, shoal peers only
	newsAt     time.Time
	blind      bool // it sees only the pieces that a source has offered it
	members    int  // of the roster: those that it was told of
	pexAt      time.Time
	told       []netip.AddrPort // of others, sorted
}

// serving is what a shoal peer wants of us, and what the source has promised.
type serving struct {
	credit   int               // pieces that it may still begin
	turn     int               // and might when its turn came
	turnAt   time.Time         // when that was
	owed     map[uint32]*owing // by piece; nil: none
	unsent   int               // blocks of them
	overlap  int               // pieces that we both have
	rtt      time.Duration
	lane     lane
	revealed map[uint32]struct{} // by a source: pieces offered to this peer and not yet sent
}

// conduct is what makes us doubt a peer.
type conduct struct {
	settled bool // its pieces are counted in its site
	whole   bool // as of one that has them all
	silent  bool // it sends nothing of what it claims: in its site it counts for nothing
	losses  int  // pieces that it had and has not
	bad     int  // damaged pieces that it alone has sent
	reports int  // pieces of ours that it called damaged
}

func (p *peer) send(add func([]byte) []byte) { p.link.conn.Send(add) }

// maxAlso bounds the addresses of one peer that are remembered beside the first.
const maxAlso = 8

// answersAt notes that a peer takes connections at an address.
func (p *peer) answersAt(at netip.AddrPort) {
	switch {
	case !p.listen.IsValid():
		p.listen = at
	case p.listen != at && len(p.also) < maxAlso && !slices.Contains(p.also, at):
		p.also = append(p.also, at)
	}
}

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
	now  float64 // the same of the last step alone
}

// step takes the count after dt seconds; the rate is smoothed over about a second.
func (m *meter) step(count int64, dt float64) {
	if dt <= 0 {
		return
	}
	m.now = float64(count-m.last) / dt
	m.last = count
	m.rate += (m.now - m.rate) * min(1, dt/0.7)
}
