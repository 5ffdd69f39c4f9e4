package node

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sync/errgroup"

	"shoal/internal/bt/announce"
	"shoal/internal/bt/announcer"
	"shoal/internal/bt/metafetch"
	"shoal/internal/bt/metainfo"
)

// unknownLeft is what a tracker is told while the size is not known: not
// zero, which would make us a seed.
const unknownLeft = 16 << 10

// fetchMetadata gets the info dictionary of a magnet link from peers (BEP 9),
// and tells which peers it has met.
func (p *process) fetchMetadata(ctx context.Context, m *metainfo.Magnet, o ContentOptions) (*metainfo.Metafile, []netip.AddrPort, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	found := make(chan []netip.AddrPort, 16)
	offer := func(peers []netip.AddrPort) {
		select {
		case found <- peers:
		case <-ctx.Done():
		}
	}
	meta := &metainfo.Metafile{WebSeeds: m.WebSeeds}
	for _, t := range m.Trackers {
		meta.Announce = append(meta.Announce, []string{t})
	}
	trackers, err := announcer.New(announcer.Options{
		Tiers: meta.Announce, Swarms: m.Swarms(), PeerID: p.id, Port: p.in.addrPort().Port(), Local: p.local(), Claims: p.places.homed.claims, Key: p.key, TLS: p.TrackerTLS, Log: p.Log,
		Stats: func() announce.Stats { return announce.Stats{Left: unknownLeft} },
		Found: func(_ metainfo.InfoHash, peers []netip.AddrPort) { offer(peers) },
	})
	if err != nil {
		return nil, nil, err
	}
	var g errgroup.Group
	g.Go(func() error { return trackers.Run(ctx) })
	g.Go(func() error {
		t := time.NewTicker(lonelyEvery)
		defer t.Stop()
		for {
			offer(resolve(ctx, o.Peers, p.Log.Debug))
			select {
			case <-t.C:
				trackers.Hurry()
			case <-ctx.Done():
				return nil
			}
		}
	})
	res, err := metafetch.Fetch(ctx, metafetch.Options{Magnet: *m, PeerID: p.id, Peers: found, Dial: p.dial, AllowOutsideLinks: o.AllowOutsideLinks, Log: p.Log})
	cancel()
	g.Wait()
	if err != nil {
		return nil, nil, fmt.Errorf("get the metadata of the magnet link from peers: %w", err)
	}
	meta.Info, meta.Layers = res.Info, res.Layers
	return meta, res.Peers, nil
}
