// Package announcer is the client side of the tracker protocols: it keeps one
// release announced to its trackers (BEP 3, 7, 12, 15, 21, 31, 41) and hands on
// the peers it hears of.
//
// It never connects to a peer, never decides which peers are good, and trusts
// nothing a tracker says: intervals, sizes and waits are all bounded.
package announcer

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"time"

	"shoal/internal/bt/announce"
	"shoal/internal/bt/metainfo"
	"shoal/internal/bt/multihome"
)

// maxTrackers bounds how many trackers of a metafile are used; more is a mistake or an attack.
const maxTrackers = 100

// stopTime bounds the farewell to all trackers when Run ends.
const stopTime = 2 * time.Second

// Options says what to announce, where, and who listens.
type Options struct {
	Tiers  [][]string          // announce URLs (http, https, udp) in tiers, BEP 12
	Swarms []metainfo.InfoHash // each is announced by itself: a hybrid release has two
	PeerID [20]byte
	Port   uint16 // where we listen; 0: nobody can connect to us
	Key    uint32 // proves to a tracker that we are the same peer from another address
	// Every announces to the trackers of all tiers, not only to the first that works: for who has to be found through
	// each of several trackers that share nothing.
	Every   bool
	NumWant int    // peers asked for each time; 0: the tracker's default
	Agent   string // User-Agent towards HTTP trackers; "": shoal
	// Local is the address that announces leave from, for trackers take it for
	// ours; the other family is then left out. Invalid: any address, both families.
	Local netip.Addr
	// TLS is how to talk to the https tracker of a name or address; asked for each connection. nil: as everybody
	// does, with the system's CAs and without a certificate of ours.
	TLS func(host string) *tls.Config
	Log *slog.Logger

	// Stats gives the byte counters of the release. Called from several goroutines.
	Stats func() announce.Stats
	// Partial, if not nil, tells that we want nothing more though bytes are left (BEP 21).
	Partial func() bool
	// Found hands on the peers of one response. Called from several goroutines; must not block long.
	Found func(swarm metainfo.InfoHash, peers []netip.AddrPort)
	// Site, if not nil, is told what a tracker of shoal says of our data centre and of where peers are, as often as
	// it says so, before Found is told of those peers. Called from several goroutines, for an address family each;
	// must not block long, nor keep the answer. Other trackers say nothing, and only the first that works is asked.
	Site func(swarm metainfo.InfoHash, answer *announce.Response)
	// Ledger, if not nil, is what trackers of shoal are told: those that have told something for Site. Called from
	// several goroutines.
	Ledger func() announce.Ledger
	// Claims are the addresses by which everybody is to be told of us, one of IPv4 and one of IPv6 at most, where
	// trackers would not see them or another port is forwarded to ours. Trackers may not believe them.
	Claims []netip.AddrPort
	// Homes, if not nil, are our further addresses, for trackers of shoal. Called from several goroutines.
	Homes func() multihome.Homes
}

// Announcer announces one release to its trackers. Its methods may be called from any goroutine.
type Announcer struct {
	lines []*line
	net   *client
}

// New checks the options. URLs that cannot be used (other schemes, no port) are
// kept for Status and logged, for metafiles in the wild are full of them.
func New(o Options) (*Announcer, error) {
	switch {
	case len(o.Swarms) == 0:
		return nil, errors.New("announcer: no swarm to announce")
	case o.Stats == nil || o.Found == nil || o.Log == nil:
		return nil, errors.New("announcer: Stats, Found and Log are needed")
	}
	tiers := prepareTiers(o.Tiers, o.Log)
	a := &Announcer{net: newClient(o.Agent, o.Local, o.TLS)}
	for _, swarm := range o.Swarms {
		r := newRota(tiers)
		r.every = o.Every
		a.lines = append(a.lines, newLine(&o, swarm, r, a.net))
	}
	return a, nil
}

// prepareTiers parses the URLs, drops repeats and shuffles each tier (BEP 12).
func prepareTiers(tiers [][]string, log *slog.Logger) [][]target {
	seen := map[string]bool{}
	var out [][]target
	for _, urls := range tiers {
		var tier []target
		for _, u := range urls {
			if seen[u] {
				continue
			}
			if len(seen) == maxTrackers {
				log.Warn("too many trackers, the rest is ignored", "limit", maxTrackers)
				return append(out, tier)
			}
			seen[u] = true
			t := parseTarget(u)
			if t.err != nil {
				log.Warn("tracker cannot be used", "tracker", u, "err", t.err)
			}
			tier = append(tier, t)
		}
		rand.Shuffle(len(tier), func(i, j int) { tier[i], tier[j] = tier[j], tier[i] })
		out = append(out, tier)
	}
	return out
}

// Run announces until ctx ends, then says goodbye to the trackers, for at most
// two seconds. It returns nil: a tracker that does not answer is no reason to stop.
func (a *Announcer) Run(ctx context.Context) error {
	defer a.net.close()
	var wg sync.WaitGroup
	for _, l := range a.lines {
		wg.Go(func() { l.run(ctx) })
	}
	wg.Wait()
	return nil
}

// Completed tells the trackers that the release is complete here. Call it once,
// at the moment it happens, not for a release that was complete at the start.
func (a *Announcer) Completed() {
	for _, l := range a.lines {
		l.complete()
	}
}

// Hurry asks for more peers as soon as the trackers allow it.
func (a *Announcer) Hurry() {
	for _, l := range a.lines {
		l.hurry()
	}
}

// TrackerStatus is how one tracker stands, for one swarm.
type TrackerStatus struct {
	URL      string
	Swarm    metainfo.InfoHash
	Tier     int // from 0
	Working  bool
	Err      string // of the last attempt; "" when it worked or there was none
	Warning  string // the tracker's message to the human
	Peers    int    // received in the last response
	Seeds    int    // as the tracker counts
	Leeches  int
	External netip.Addr // our address as the tracker sees it (BEP 24)
	Last     time.Time  // last answer; zero if none
	Next     time.Time  // next attempt at the earliest; zero if never
}

// Status tells how every tracker stands, in the order in which they are tried.
func (a *Announcer) Status() []TrackerStatus {
	var out []TrackerStatus
	for _, l := range a.lines {
		out = slices.Concat(out, l.status())
	}
	return out
}
