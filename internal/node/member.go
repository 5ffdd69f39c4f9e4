package node

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"time"

	"golang.org/x/sync/errgroup"

	"shoal/internal/bt/announce"
	"shoal/internal/bt/announcer"
	"shoal/internal/bt/bitfield"
	"shoal/internal/bt/limit"
	"shoal/internal/bt/metainfo"
	"shoal/internal/bt/rate"
	"shoal/internal/bt/storage"
	"shoal/internal/bt/swarm"
	"shoal/internal/topology"
)

const (
	dialLimit   = 5 * time.Second
	lonelyEvery = 5 * time.Second // how often trackers are asked again while there are too few peers
	lonelyPeers = 4
	peerAgain   = 30 * time.Second // how often the peers of --peer are tried again
)

// member is a share while it is in its swarm: the engine, the client of its
// trackers and the disk, put together.
type member struct {
	*share
	disk     *storage.Disk
	engine   *swarm.Torrent
	trackers *announcer.Announcer
	waits    waits
	partial  bool // not everything is wanted (BEP 21)
}

// join makes the parts of a member.
func (s *share) join(disk *storage.Disk, hashes *metainfo.Hashes, have, want *bitfield.Set) (*member, error) {
	m := &member{share: s, disk: disk, partial: len(s.o.Select) > 0 || s.pick != nil}
	eachUp, eachDown := rate.New(limit.Payload(s.p.TorrentUp)), rate.New(limit.Payload(s.p.TorrentDown))
	limits := func(at topology.Place) (up, down rate.Chain) {
		up, down = s.p.limits.chains(at)
		return append(up, eachUp), append(down, eachDown)
	}
	up, down := limits(topology.Place{})
	m.waits.torrent = eachDown
	var err error
	m.engine, err = swarm.New(swarm.Options{
		Info: s.meta.Info, Hashes: hashes, Store: disk, Have: have, Want: want, Written: written(disk),
		PeerID: s.p.id, ListenPort: s.p.in.addrPort().Port(), MaxPeers: s.p.MaxPeers,
		Up: up, Down: down, Limits: limits,
		WebSeeds: s.meta.WebSeeds, Client: clientName, Members: s.p.Secure != nil, Dial: s.p.dial, NoSpace: storage.ErrNoSpace, Budget: s.p.budget, Places: s.p.places, Log: s.log,
	})
	if err != nil {
		return nil, err
	}
	m.trackers, err = announcer.New(announcer.Options{
		Tiers: s.meta.Announce, Swarms: s.meta.Info.Swarms(), PeerID: s.p.id,
		Port: s.p.in.addrPort().Port(), Local: s.p.local(), Claims: s.p.places.homed.claims, Homes: s.p.places.announced, Key: s.p.key, TLS: s.p.TrackerTLS, Every: s.p.EveryTracker, Log: s.log,
		Stats:   m.stats,
		Ledger:  m.ledger,
		Partial: func() bool { return m.partial && s.complete.Load() },
		Site: func(_ metainfo.InfoHash, answer *announce.Response) {
			if own, moved := s.p.places.learn(answer); moved {
				s.log.Info("a tracker says where this host is", "place", own)
			}
			m.engine.Located() // before it hears of the peers
			m.introduced(answer)
		},
		Found: func(_ metainfo.InfoHash, peers []netip.AddrPort) { m.engine.AddPeers(peers) },
	})
	return m, err
}

// introduced takes what a tracker says of who is near, and of where to connect to them.
func (m *member) introduced(answer *announce.Response) {
	at, homes := &answer.Site, m.p.places.Homes()
	switch {
	case at.DC == m.p.places.Own().Datacenter:
		m.engine.SetSite(at.Self, at.Members())
	case len(homes) > 0 && at.Self.IsValid():
		m.engine.SetSelf(at.Self)
	}
	if len(homes) > 0 {
		m.engine.AddRoutes(at.Via.Resolve(answer.V4, answer.V6))
	}
}

// written is what was left of pieces in flight, by an earlier run or before a pause.
func written(disk *storage.Disk) map[metainfo.Piece]*bitfield.Set {
	m := map[metainfo.Piece]*bitfield.Set{}
	for _, p := range disk.Partial() {
		m[p.Piece] = p.Blocks
	}
	return m
}

// stats are what trackers are told.
func (m *member) stats() announce.Stats {
	v := m.engine.Stats()
	left := v.Left
	if m.partial { // what is not wanted is left too: we must not count as a seed
		left = max(m.meta.Info.ContentLength()-v.BytesDone, 1)
	}
	return announce.Stats{Uploaded: v.Uploaded, Downloaded: v.Downloaded, Left: left}
}

// run takes part in the swarm until ctx ends or nothing is left to do.
func (m *member) run(ctx context.Context, complete bool) error {
	unroute, err := m.p.in.route(m.meta.Info.Swarms(), m.engine)
	if err != nil {
		return err
	}
	defer unroute()
	m.p.account(time.Now()) // what the engine before moved last
	m.torrent.Store(m.torrent.Load().after(m.engine))
	m.enter(fetching)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return m.engine.Run(ctx) })
	g.Go(func() error { return m.trackers.Run(ctx) })
	g.Go(func() error { return m.invite(ctx) })
	g.Go(func() error { return m.untilPaused(ctx) })
	if complete {
		g.Go(func() error { return m.completed(ctx, false) })
	} else {
		g.Go(func() error { return m.fetch(ctx) })
	}
	m.report(Serving, nil)
	if err := g.Wait(); err != nil && !errors.Is(err, errDone) {
		return err
	}
	return nil
}

// fetch makes room for the content while it comes in, and ends when all of it
// is there.
func (m *member) fetch(ctx context.Context) error {
	making, enough := context.WithCancel(ctx)
	defer enough()
	made := make(chan error, 1)
	go func() { made <- m.whenRoom(making, m.disk, m.disk.Allocate) }()
	for {
		select {
		case err := <-made:
			if err != nil && ctx.Err() == nil {
				return err
			}
			made = nil
		case <-m.engine.Completed():
			enough()
			if made != nil {
				<-made // what is not made by now, Finish makes
			}
			return m.completed(ctx, true)
		case <-ctx.Done():
			if made != nil {
				<-made
			}
			return nil
		}
	}
}

// untilPaused ends the membership when an operator pauses the process.
func (m *member) untilPaused(ctx context.Context) error {
	for m.gate.until(ctx, true) {
		m.finishing.Lock()
		still := m.gate.isPaused()
		m.finishing.Unlock()
		if still {
			return errPaused
		}
	}
	return nil
}

// completed occurs once every wanted piece is there. fetched tells that some
// of them came over the network, which is what trackers count.
func (m *member) completed(ctx context.Context, fetched bool) error {
	if m.complete.Load() { // it was that before a pause
		m.enter("seeding")
		return nil
	}
	if err := m.finish(ctx, m.disk); err != nil {
		return err
	}
	if fetched && !m.partial {
		m.trackers.Completed()
	}
	if !m.stay {
		return errDone
	}
	return nil
}

// invite brings the engine peers that no tracker named, and asks trackers
// again while there are hardly any.
func (m *member) invite(ctx context.Context) error {
	var again, lonely <-chan time.Time
	if len(m.o.Peers) > 0 {
		m.engine.AddPeers(resolve(ctx, m.o.Peers, m.log.Warn))
		t := time.NewTicker(peerAgain)
		defer t.Stop()
		again = t.C
	}
	t := time.NewTicker(lonelyEvery)
	defer t.Stop()
	lonely = t.C
	for {
		select {
		case <-again:
			m.engine.AddPeers(resolve(ctx, m.o.Peers, m.log.Debug))
		case <-lonely:
			if !m.complete.Load() && m.engine.Stats().Peers < lonelyPeers {
				m.trackers.Hurry()
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// resolve turns HOST:PORT texts into addresses. What does not resolve is
// logged and left out; the caller tries again later.
func resolve(ctx context.Context, peers []string, log func(string, ...any)) []netip.AddrPort {
	var out []netip.AddrPort
	for _, text := range peers {
		if ap, err := netip.ParseAddrPort(text); err == nil {
			out = append(out, netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port()))
			continue
		}
		host, service, err := net.SplitHostPort(text)
		if err != nil {
			log("peer is not HOST:PORT", "peer", text, "err", err)
			continue
		}
		port, err := net.DefaultResolver.LookupPort(ctx, "tcp", service)
		if err != nil {
			log("peer has no usable port", "peer", text, "err", err)
			continue
		}
		addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		if err != nil {
			log("peer's name does not resolve", "peer", text, "err", err)
			continue
		}
		for _, a := range addrs {
			out = append(out, netip.AddrPortFrom(a.Unmap(), uint16(port)))
		}
	}
	return out
}
