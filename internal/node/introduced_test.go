package node

import (
	"context"
	"crypto/x509"
	"maps"
	"net/netip"
	"sync"
	"testing"

	"shoal/internal/bt/announce"
	"shoal/internal/bt/announcer"
	"shoal/internal/bt/metainfo"
	"shoal/internal/trust"
)

// TestEveryServerKnowsWhoServes has three servers, whose trackers share nothing,
// and a pushing host: a peer that reaches any one of them, and no other, hears of
// the pushing host and of the sources of all three.
func TestEveryServerKnowsWhoServes(t *testing.T) {
	r := newTrio(t)
	release := newRelease(t, metainfo.Hybrid)
	r.register(t, release, "1")
	w := r.member(t)
	for _, url := range r.urls {
		known := introductions(t, w, release.meta.Info.Swarms()[0], url+"/announce")
		wait(t, func() bool { return len(known()) == 4 }) // there are no hosts
	}
}

// introductions are those whom a tracker names to a host that asks it alone.
func introductions(t *testing.T, w *trust.Wallet, swarm metainfo.InfoHash, tracker string) (known func() map[netip.AddrPort]bool) {
	t.Helper()
	o := quiet("", nil)
	_, err := o.JoinFleet(w.Certificate, w.Authorities, func(*x509.Certificate) error { return nil })
	must(t, err)
	var mu sync.Mutex
	heard := map[netip.AddrPort]bool{}
	a, err := announcer.New(announcer.Options{
		Tiers: [][]string{{tracker}}, Swarms: []metainfo.InfoHash{swarm}, PeerID: [20]byte([]byte("-SH0001-asks for all")), Port: 9, TLS: o.TrackerTLS, Log: o.Log,
		Stats: func() announce.Stats { return announce.Stats{Left: 1} },
		Found: func(_ metainfo.InfoHash, peers []netip.AddrPort) {
			mu.Lock()
			defer mu.Unlock()
			for _, p := range peers {
				heard[p] = true
			}
		},
	})
	must(t, err)
	background(t, func(ctx context.Context) error { return a.Run(ctx) })
	return func() map[netip.AddrPort]bool {
		a.Hurry()
		mu.Lock()
		defer mu.Unlock()
		return maps.Clone(heard)
	}
}
