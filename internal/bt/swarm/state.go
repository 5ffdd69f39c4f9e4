package swarm

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"shoal/internal/bt/bitfield"
	"shoal/internal/bt/metainfo"
	"shoal/internal/bt/swarm/choker"
	"shoal/internal/bt/swarm/peers"
	"shoal/internal/bt/swarm/picker"
	"shoal/internal/bt/wire"
	"shoal/internal/topology"
)

// state is all that the loop knows. Nothing outside of the loop can reach it.
type state struct {
	t    *Torrent
	o    *Options
	ctx  context.Context
	fail context.CancelCauseFunc
	now  time.Time

	peers map[*peer]struct{}
	conn  connecting
	holdings
	stuck bool // some piece has stalled, a tenth of a second ago
	loose bool // some piece in progress may have lost all its sources
	pick  *picker.Picker
	prog  map[metainfo.Piece]*active

	cooperation
	source   *source // not nil while we hand out the first copy
	suspects map[metainfo.Piece][]suspicion
	web      []*webSource
	paused   bool          // the disk is full
	latency  time.Duration // from asking for a piece to having it, smoothed
	auditing bool          // what is on disk is being read again
	sums     totals
}

// holdings is what we have and lack.
type holdings struct {
	have  *bitfield.Set       // verified pieces
	want  *bitfield.Set       // wanted pieces
	left  int                 // wanted pieces that are missing
	lacks int                 // wanted pieces that were there and turned out damaged
	idle  []*metainfo.Checker // of pieces that are over, for those to come
}

// cooperation is what we do for shoal peers and they for us.
type cooperation struct {
	gained  []uint32       // pieces that became ours since the start, in order
	line    []queued       // blocks that wait for a lane
	senders choker.Senders // how many may send to us at a time
	freed   bool           // somebody may be due a turn since the last time
	spent   []*peer        // of whom pieces have come, and who were not asked for others yet
	lenders []*peer        // of useLicences, for one call
	imports imports        // what we bring in for our site
	uplink
}

// active is a piece in progress and who was asked for it. by is empty when
// everybody who was asked is gone: then it waits for the next free peer.
type active struct {
	part  *partial
	by    []*peer
	web   *webSource
	since time.Time
	solo  bool // a bad piece, fetched again from one peer only
}

// connecting is what the loop knows of peers to be.
type connecting struct {
	book    *peers.Book
	dialing int
	others  int // see countOthers
	ids     map[[20]byte]*peer
	place   topology.Place // our own, as peers are told it
	self    netip.AddrPort // where everybody is told to connect to us, by a tracker
}

// totals outlive the connections they come from.
type totals struct {
	down, up, wasted  int64 // that were accounted for; wasted of all
	webDown           int64
	doneBytes         int64
	wantBytes         int64
	downRate, upRate  meter
	lastTick, lastSec time.Time
	lastChoke         time.Time
	optimistic        int
	places            map[string]Traffic // by data centre
	queue             time.Duration
}

func newState(t *Torrent, ctx context.Context, fail context.CancelCauseFunc) *state {
	o := &t.o
	seed := randomSeed()
	s := &state{
		t: t, o: o, ctx: ctx, fail: fail, now: time.Now(),
		peers: map[*peer]struct{}{}, holdings: holdings{have: o.Have.Clone(), want: o.Want},
		conn:        connecting{book: peers.NewBook(seed), ids: map[[20]byte]*peer{}, place: o.Places.Own()},
		pick:        picker.NewInRuns(o.Info.NumPieces(), o.runLength(), seed),
		cooperation: cooperation{imports: newImports(o.Info.NumPieces(), seed+1)},
		prog:        map[metainfo.Piece]*active{},
		suspects:    map[metainfo.Piece][]suspicion{},
		sums:        totals{optimistic: -1, places: map[string]Traffic{}},
	}
	if s.want == nil {
		s.want = bitfield.New(o.Info.NumPieces())
		s.want.SetAll()
	}
	for i := range o.Info.NumPieces() {
		p, _ := o.Info.Piece(uint32(i))
		had := o.Have.Has(i)
		if s.want.Has(i) {
			s.sums.wantBytes += o.Info.PieceData(p)
			if had {
				s.sums.doneBytes += o.Info.PieceData(p)
			} else {
				s.left++
			}
		}
		if had || !s.want.Has(i) {
			s.pick.Take(uint32(i))
		}
	}
	if o.Have.All() {
		s.source = newSource(o.Info.NumPieces(), o.runLength(), seed)
	}
	return s
}

// loop is the only place where state changes.
func (s *state) loop(ctx context.Context) error {
	tick := time.NewTicker(tickEvery)
	defer tick.Stop()
	s.startWeb()
	if s.complete() {
		s.t.setComplete()
	}
	s.publish()
	for {
		select {
		case e := <-s.t.events:
			s.now = time.Now()
			e.apply(s)
			s.drain(eventBurst)
			if s.freed {
				s.turns()
			}
		case s.now = <-tick.C:
			s.tick()
		case <-ctx.Done():
			s.publish()
			return context.Cause(ctx)
		}
	}
}

// drain applies events that wait already, so that what follows from many of
// them (news to peers) is said once.
func (s *state) drain(limit int) {
	for range limit {
		select {
		case e := <-s.t.events:
			e.apply(s)
		default:
			return
		}
	}
}

// complete tells whether nothing wanted is missing.
func (s *state) complete() bool { return s.left == 0 }

// tick is what happens ten times a second.
func (s *state) tick() {
	dt := s.now.Sub(s.sums.lastTick).Seconds()
	s.sums.lastTick = s.now
	for p := range s.peers {
		p.down.step(p.link.conn.Received(), dt)
		p.up.step(p.link.conn.Sent(), dt)
		s.retune(p)
		s.dueNews(p)
	}
	s.unstick()
	s.endSource()
	s.openAbroad()
	s.stepImports()
	s.turns()
	s.feed()
	s.fillAll()
	s.connect()
	if s.now.Sub(s.sums.lastSec) >= time.Second {
		s.sums.lastSec = s.now
		s.everySecond()
	}
	s.measure(dt)
	s.publish()
}

func (s *state) everySecond() {
	s.locateAll()
	s.sums.queue = s.medianQueue()
	s.stepSenders()
	for p := range s.peers {
		if s.now.Sub(p.pexAt) >= time.Minute {
			p.pexAt = s.now
			s.sharePeers(p)
		}
		s.updateInterest(p)
		if p.down.rate > 0 || p.up.rate > 0 || p.rtt == 0 {
			p.rtt = time.Duration(p.link.conn.RTT()) * time.Microsecond
		}
	}
	s.release()
	if s.now.Sub(s.sums.lastChoke) >= chokePeriod {
		s.rechoke()
	}
}

func (s *state) traffic() (down, up int64) {
	down, up = s.sums.down+s.sums.webDown, s.sums.up
	for p := range s.peers {
		down += p.link.conn.Received() - p.counted.Down
		up += p.link.conn.Sent() - p.counted.Up
	}
	return down, up
}

func (s *state) measure(dt float64) {
	down, up := s.traffic()
	s.sums.downRate.step(down, dt)
	s.sums.upRate.step(up, dt)
}

// publish stores the figures that Stats returns.
func (s *state) publish() {
	st := &Stats{
		Pieces: s.o.Info.NumPieces(), Want: s.want.Count(), Have: s.want.Count() - s.left - s.lacks,
		BytesDone: s.sums.doneBytes, BytesWant: s.sums.wantBytes, Left: s.sums.wantBytes - s.sums.doneBytes,
		Wasted: s.sums.wasted, DownRate: s.sums.downRate.rate, UpRate: s.sums.upRate.rate,
		Peers: len(s.peers), Known: s.conn.book.Len(), State: s.describe(), Source: s.source != nil,
	}
	st.Downloaded, st.Uploaded = s.traffic()
	st.Traffic, st.Near = s.byPlace()
	st.Queue = s.sums.queue
	for p := range s.peers {
		if p.seed() {
			st.Seeds++
		}
	}
	s.t.stats.Store(st)
}

func (s *state) describe() string {
	switch {
	case s.paused:
		return "paused: the disk is full"
	case s.complete():
		return "seeding"
	case len(s.peers) == 0 && len(s.web) == 0:
		return "looking for peers"
	default:
		return "downloading"
	}
}

// closeAll ends every connection; Run then waits for their goroutines.
func (s *state) closeAll() {
	for p := range s.peers {
		p.link.conn.Close(context.Canceled)
	}
}

// event is one change. apply runs on the loop; it must not block, dial, read
// or write.
type event interface{ apply(*state) }

// batch is what one peer has sent between two waits.
type batch struct {
	p      *peer
	events []event
}

func (b batch) apply(s *state) {
	defer s.refill()
	for _, e := range b.events {
		switch e.(type) {
		case pieceOver, wasted: // true whatever has become of the peer
			e.apply(s)
		default:
			if !b.p.gone {
				e.apply(s)
			}
		}
	}
}

// foundPeers occurs when a tracker, a peer or the user names addresses.
type foundPeers struct {
	addrs []netip.AddrPort
	named bool                              // not by a peer
	via   map[netip.AddrPort]netip.AddrPort // where to dial some of them
}

func (e foundPeers) apply(s *state) {
	for _, a := range e.addrs {
		s.conn.book.Add(a, e.named)
	}
	s.routes(e.via, e.named)
	s.lookAround(e.addrs)
	s.connect()
}

// writeFailed occurs when a piece could not be written.
type writeFailed struct {
	part *partial
	err  error
}

func (e writeFailed) apply(s *state) {
	if s.o.NoSpace == nil || !errors.Is(e.err, s.o.NoSpace) {
		s.fail(e.err)
		return
	}
	s.abandon(e.part)
	s.pause(e.err)
}

// roomAgain occurs when a full disk has space.
type roomAgain struct{ err error }

func (e roomAgain) apply(s *state) {
	if e.err != nil {
		return
	}
	s.o.Log.Info("the disk has room again, going on")
	s.paused = false
	s.fillAll()
}

// pause stops fetching until the disk has room; serving goes on.
func (s *state) pause(why error) {
	if s.paused {
		return
	}
	s.paused = true
	s.o.Log.Warn("paused until there is room on the disk", "err", why)
	for p := range s.peers {
		s.releaseJobs(p)
	}
	s.t.wg.Go(func() {
		if w, ok := s.o.Store.(spaceWaiter); ok {
			s.t.post(roomAgain{w.WaitSpace(s.ctx)})
			return
		}
		select {
		case <-time.After(2 * time.Second):
			s.t.post(roomAgain{})
		case <-s.ctx.Done():
		}
	})
}

// answerHashes answers a BEP 52 hash request out of our piece layers.
func (s *state) answerHashes(r wire.HashRange) ([]byte, bool) {
	return s.o.Hashes.Answer(metainfo.HashRange(r))
}
