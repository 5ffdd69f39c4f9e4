package swarm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"time"

	"shoal/internal/bt/bitfield"
	"shoal/internal/bt/metainfo"
	"shoal/internal/bt/peerconn"
	"shoal/internal/bt/wire"
)

const (
	maxDialling = 16
	ourCaps     = wire.CapExtended | wire.CapFast
)

// crossing is the longest that two connections of one peer may be apart that were
// opened at the same time by both: one was begun before the other stood. It leaves
// some time for the loops at both ends.
const crossing = dialTimeout + handshakeLimit + 5*time.Second

// Reasons for closing a connection.
var (
	errSelf      = errors.New("that is ourselves")
	errDuplicate = errors.New("connected twice")
	errUseless   = errors.New("both sides have everything")
	errBanned    = errors.New("sent bad data")
	errFull      = errors.New("enough peers")
	errSnub      = errors.New("asked for data, and sent none for minutes")
)

// connect dials as many more peers as are wanted.
func (s *state) connect() {
	limit := min(dialTarget, s.o.MaxPeers)
	for len(s.peers)+s.conn.dialing < limit && s.conn.dialing < maxDialling {
		if s.complete() && s.source == nil && len(s.peers) > 0 {
			return // a seed is found by those who need it
		}
		addr, fails, ok := s.conn.book.Next(s.now, s.mayDial)
		if !ok {
			return
		}
		if s.meets(addr) { // the book lends it out until that peer is gone
			continue
		}
		s.conn.dialing++
		hash, via := s.swarmFor(fails), s.conn.book.Via(addr)
		s.t.wg.Go(func() { s.t.dial(s.ctx, addr, via, hash) })
	}
}

// meets tells whether whoever takes connections at an address is connected,
// having dialled us: a second connection would put an end to one of the two, and
// to all that is on its way there.
func (s *state) meets(addr netip.AddrPort) bool {
	for p := range s.peers {
		if p.listen == addr || slices.Contains(p.also, addr) {
			return true
		}
	}
	return false
}

// swarmFor alternates between the swarms of a hybrid: an address does not say
// in which of them its peer is.
func (s *state) swarmFor(fails int) metainfo.InfoHash {
	swarms := s.o.Info.Swarms()
	return swarms[fails%len(swarms)]
}

func (t *Torrent) handshake(hash metainfo.InfoHash) wire.Handshake {
	caps := wire.Cap(ourCaps)
	if t.o.Info.HasV2() {
		caps |= wire.CapV2
	}
	return wire.NewHandshake([20]byte(hash), t.o.PeerID, caps)
}

// dial runs in a goroutine of its own and ends with one event. via is where to try first, if valid.
func (t *Torrent) dial(ctx context.Context, addr, via netip.AddrPort, hash metainfo.InfoHash) {
	nc, hs, err := t.greetVia(ctx, addr, via, hash)
	if err != nil {
		t.post(dialFailed{addr, err})
		return
	}
	if !t.post(connected{nc: nc, hs: hs, addr: addr, outgoing: true}) {
		nc.Close()
	}
}

func (t *Torrent) greet(ctx context.Context, limit time.Duration, addr netip.AddrPort, hash metainfo.InfoHash) (net.Conn, wire.Handshake, error) {
	dctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	nc, err := t.o.Dial(dctx, addr)
	if err != nil {
		return nil, wire.Handshake{}, err
	}
	hs, err := t.exchange(ctx, nc, hash)
	if err != nil {
		nc.Close()
		return nil, hs, fmt.Errorf("handshake with %v: %w", addr, err)
	}
	return nc, hs, nil
}

// exchange sends our handshake and reads the answer.
func (t *Torrent) exchange(ctx context.Context, nc net.Conn, hash metainfo.InfoHash) (hs wire.Handshake, err error) {
	stop := context.AfterFunc(ctx, func() { nc.Close() })
	defer stop()
	if err := nc.SetDeadline(time.Now().Add(handshakeLimit)); err != nil {
		return hs, err
	}
	if _, err := nc.Write(t.handshake(hash).Append(nil)); err != nil {
		return hs, err
	}
	var b [wire.HandshakeLen]byte
	if _, err := io.ReadFull(nc, b[:]); err != nil {
		return hs, err
	}
	if hs, err = wire.ParseHandshake(b[:]); err != nil {
		return hs, err
	}
	if !slices.Contains(t.o.Info.Swarms(), metainfo.InfoHash(hs.InfoHash)) {
		return hs, errors.New("the peer answered for another swarm")
	}
	return hs, nc.SetDeadline(time.Time{})
}

// dialFailed occurs when an address could not be connected.
type dialFailed struct {
	addr netip.AddrPort
	err  error
}

func (e dialFailed) apply(s *state) {
	s.conn.dialing--
	s.conn.book.Failed(e.addr, s.now)
	s.misses(e.addr)
	s.o.Log.Debug("dialling failed", "peer", e.addr, "err", e.err)
	s.connect()
}

// incoming occurs when the node hands over a connection that asked for us.
type incoming struct {
	nc net.Conn
	hs wire.Handshake
}

func (e incoming) discard() { e.nc.Close() }

func (e incoming) apply(s *state) {
	addr := addrOf(e.nc)
	if s.conn.book.Banned(addr.Addr()) {
		e.nc.Close()
		return
	}
	t := s.t
	t.wg.Go(func() {
		err := e.nc.SetWriteDeadline(time.Now().Add(handshakeLimit))
		if err == nil {
			_, err = e.nc.Write(t.handshake(t.answerFor(e.hs)).Append(nil))
		}
		if err != nil || !t.post(connected{nc: e.nc, hs: e.hs, addr: addr}) {
			e.nc.Close()
		}
	})
}

// answerFor is the swarm in which an incoming peer is answered: the one it
// asked for, but v2 for a v2 peer that came by the v1 hash of a hybrid (BEP
// 52). It accepts that always; the v1 hash not when it has met us in v2 too.
func (t *Torrent) answerFor(hs wire.Handshake) metainfo.InfoHash {
	if swarms := t.o.Info.Swarms(); hs.V2() && len(swarms) == 2 {
		return swarms[1]
	}
	return metainfo.InfoHash(hs.InfoHash)
}

func addrOf(nc net.Conn) netip.AddrPort {
	a, err := netip.ParseAddrPort(nc.RemoteAddr().String())
	if err != nil {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}

// connected occurs when a connection has both handshakes behind it.
type connected struct {
	nc       net.Conn
	hs       wire.Handshake
	addr     netip.AddrPort
	outgoing bool
}

func (e connected) discard() { e.nc.Close() }

func (e connected) apply(s *state) {
	if e.outgoing {
		s.conn.dialing--
	}
	if err := s.admit(e); err != nil {
		s.o.Log.Debug("peer not taken", "peer", e.addr, "err", err)
		e.nc.Close()
		return
	}
	p := s.newPeer(e)
	s.peers[p] = struct{}{}
	s.conn.ids[p.id] = p
	s.o.Log.Debug("peer connected", "peer", e.addr, "at", e.nc.RemoteAddr(), "outgoing", e.outgoing, "shoal", p.shoal)
	s.arrived(p, e.nc)
	s.sayFirst(p, e.hs)
	t := s.t
	t.wg.Go(func() { t.post(closed{p, p.link.conn.Run(s.ctx)}) })
}

// admit refuses ourselves, banned peers, and the second of two connections to the
// same peer. Of two that were opened at the same time both ends keep the one that
// the smaller id has opened. Later, when a host with several addresses is dialled at
// another one, they keep the one that works.
func (s *state) admit(e connected) error {
	if e.hs.PeerID == s.o.PeerID {
		s.conn.book.Self(e.addr)
		return errSelf
	}
	var err error
	switch old := s.conn.ids[e.hs.PeerID]; {
	case s.conn.book.Banned(e.addr.Addr()):
		err = errBanned
	case old != nil:
		keepOurs := slices.Compare(s.o.PeerID[:], e.hs.PeerID[:]) < 0
		if e.outgoing == old.outgoing || keepOurs == old.outgoing || s.now.Sub(old.joined) > crossing {
			err = errDuplicate
			if e.outgoing {
				old.answersAt(e.addr)
			}
		} else {
			s.remove(old, errDuplicate)
			old.link.conn.Close(errDuplicate)
		}
	case len(s.peers) >= s.o.MaxPeers:
		if worst := s.lowest(); worst != nil && priority(e.nc) > worst.rank {
			s.drop(worst, errFull)
		} else {
			err = errFull
		}
	}
	if err != nil && e.outgoing {
		s.conn.book.Closed(e.addr, s.now, 2*time.Minute)
	}
	return err
}

// speaksShoal tells whether we are a shoal process to others: with a foreign
// peer id (in tests) we behave like a stock client.
func (s *state) speaksShoal() bool { return wire.LooksShoal(s.o.PeerID) }

// priority is the canonical peer priority (BEP 40): both ends come to the same
// number, so a full swarm settles into a random graph instead of a clique of
// those who came first.
func priority(nc net.Conn) uint32 {
	local, err := netip.ParseAddrPort(nc.LocalAddr().String())
	if err != nil {
		return 0
	}
	return wire.PeerPriority(netip.AddrPortFrom(local.Addr().Unmap(), local.Port()), addrOf(nc))
}

// lowest returns the peer with the lowest priority.
func (s *state) lowest() (worst *peer) {
	for p := range s.peers {
		if worst == nil || p.rank < worst.rank {
			worst = p
		}
	}
	return worst
}

func (s *state) newPeer(e connected) *peer {
	n := s.o.Info.NumPieces()
	p := &peer{
		identity: identity{
			id: e.hs.PeerID, outgoing: e.outgoing, rank: priority(e.nc), joined: s.now,
			shoal: s.speaksShoal() && wire.LooksShoal(e.hs.PeerID), extended: e.hs.Extended(),
		},
		towardsUs:   towardsUs{has: bitfield.New(n), unit: stockUnit, chokesUs: true},
		towardsThem: towardsThem{amChoking: true, chokedAt: s.now, pexAt: s.now.Add(-50 * time.Second)},
		serving:     serving{revealed: map[uint32]struct{}{}},
	}
	if e.outgoing {
		p.dialled, p.listen = e.addr, e.addr
	}
	p.link = &link{
		t: s.t, p: p, addr: e.addr, fast: e.hs.Fast(),
	}
	s.locate(p)
	p.link.fetch = newFetcher(firstWindow(p.link.down.Rate()), stockUnit, !p.shoal)
	p.link.conn = peerconn.New(e.nc, p.link, peerconn.Options{
		Source: padded{s.o.Store, s.o.Info.Length()}, Budget: s.o.Budget, Up: &p.link.up, Down: &p.link.down, Log: s.o.Log,
	})
	return p
}

// sayFirst sends what a peer must hear first: our pieces, then extensions.
func (s *state) sayFirst(p *peer, hs wire.Handshake) {
	have := s.have
	hide := s.hides(p, hs)
	p.blind = hide
	switch {
	case hs.Fast() && (hide || have.Count() == 0):
		p.send(func(b []byte) []byte { return wire.AppendID(b, wire.HaveNone) })
	case hide || have.Count() == 0:
	case hs.Fast() && have.All():
		p.send(func(b []byte) []byte { return wire.AppendID(b, wire.HaveAll) })
	default:
		p.send(func(b []byte) []byte { return wire.AppendBitfield(b, have.Bytes()) })
	}
	if hs.Extended() {
		s.sayExtended(p)
	}
	p.heard = len(s.gained)
	if p.shoal {
		s.unchoke(p)
	} else if hs.Fast() {
		s.offerGift(p)
	}
}

// hides tells whether a peer is shown only the pieces that it shall fetch.
// Its first message is too early to know for sure that it understands.
func (s *state) hides(p *peer, hs wire.Handshake) bool {
	return s.source != nil && p.shoal && hs.Extended()
}

// closed occurs when a connection has ended.
type closed struct {
	p   *peer
	err error
}

func (e closed) apply(s *state) {
	s.account(e.p) // one that was dropped may have read on until now
	s.remove(e.p, e.err)
}

// remove forgets a peer. What it was asked for waits for others.
func (s *state) remove(p *peer, why error) {
	if _, ok := s.peers[p]; !ok {
		return
	}
	delete(s.peers, p)
	p.gone = true
	s.countOthers()
	if s.conn.ids[p.id] == p {
		delete(s.conn.ids, p.id)
	}
	s.o.Log.Debug("peer gone", "peer", p.link.addr, "err", why)
	s.account(p)
	s.unsettle(p)
	s.departed(p, why)
	s.releaseJobs(p)
	s.takeBack(p)
	for _, at := range append(p.also, p.dialled, p.listen) {
		s.conn.book.Closed(at, s.now, restAfter(why))
	}
	s.fillAll()
	s.freed = true
}

func restAfter(why error) time.Duration {
	switch {
	case errors.Is(why, errUseless), errors.Is(why, errDuplicate):
		return 5 * time.Minute
	case errors.Is(why, peerconn.ErrProtocol), errors.Is(why, wire.ErrMalformed), errors.Is(why, errSnub):
		return 2 * time.Minute
	}
	return time.Second
}

// drop closes a connection; the rest follows when its goroutines have ended.
func (s *state) drop(p *peer, why error) {
	s.remove(p, why)
	p.link.conn.Close(why)
}

// dropIfUseless ends connections over which nothing can flow any more.
func (s *state) dropIfUseless(p *peer) {
	if s.source == nil && s.complete() && s.have.All() && (p.seed() || p.ext.UploadOnly && !p.interested) {
		s.drop(p, errUseless)
	}
}
