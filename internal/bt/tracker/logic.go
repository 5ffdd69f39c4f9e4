package tracker

import (
	"errors"
	"net/netip"
	"time"

	"shoal/internal/bt/announce"
	"shoal/internal/bt/metainfo"
	"shoal/internal/bt/tracker/handout"
	"shoal/internal/bt/tracker/ledger"
	"shoal/internal/bt/tracker/peerstore"
)

// proto is the front that a request came by.
type proto uint8

const (
	protoHTTP proto = iota
	protoUDP
	protos
)

func (p proto) String() string { return [...]string{"http", "udp"}[p] }

// door is the logic as one front sees it.
type door struct {
	*Tracker
	proto proto
}

// Announce answers one announce. It is the only place where it is decided what that means.
func (d door) Announce(now time.Time, from netip.Addr, r *announce.Request, out *announce.Response) *announce.Failure {
	f := d.announce(now, from, r, out)
	d.metrics.announced(d.proto, r.Event, f, len(out.V4)/announce.Size4+len(out.V6)/announce.Size6)
	d.requests.announced(now, d.proto, from, r, out, f)
	return f
}

func (d door) announce(now time.Time, from netip.Addr, r *announce.Request, out *announce.Response) *announce.Failure {
	if f := d.admit(now, from); f != nil {
		return f
	}
	switch {
	case d.serves(r.InfoHash):
	case d.o.Members != nil:
		return refuseUnregistered
	default:
		return refuseSwarm
	}
	a := peerstore.Announce{
		InfoHash: r.InfoHash, ID: r.PeerID, Key: r.Key, HasKey: r.HasKey,
		Ends: d.ends(from, r), V6: from.Is6(), Cross: d.proto == protoHTTP, IDs: r.Full && !r.NoPeerID,
		Seed: r.Seed(), Partial: r.Left != 0 && r.Event == announce.Paused,
		Stopped: r.Event == announce.Stopped, Completed: r.Event == announce.Completed,
		Uploaded: r.Uploaded, Downloaded: r.Downloaded,
		Want:  handout.Want(r.NumWant, r.Event == announce.Stopped),
		Shoal: r.Shoal && d.proto == protoHTTP,
	}
	a.Place = int16(d.o.Topology.Index(a.Ends[0].Addr()))
	if a.Shoal && r.Homes != nil {
		a.Homes = d.believe(from, a.Place, r.Homes)
	}
	if err := d.store.Announce(&a, uint32(now.Unix()), out); err != nil {
		return refuseFull(err)
	}
	if r.Ledger != nil && a.Shoal {
		d.book.Enter(&ledger.Report{Swarm: r.InfoHash, ID: r.PeerID, Key: r.Key, At: a.Ends[0], DC: d.placeName(a.Place),
			Left: r.Left, Stopped: a.Stopped, Says: *r.Ledger}, uint32(now.Unix()))
	}
	if d.reach != nil && r.Event == announce.Started {
		d.lookAt(now, &a)
	}
	out.Interval = d.o.Interval
	out.MinInterval = min(d.o.Interval/2, maxMinInterval)
	out.ExternalIP = from
	return nil
}

// placeName is the data centre of an index; empty when it is not known.
func (t *Tracker) placeName(dc int16) string {
	if dcs := t.o.Topology.Datacenters(); dc >= 0 {
		return dcs[dc].Name
	}
	return ""
}

// maxMinInterval is how soon a client that needs more peers may come again.
const maxMinInterval = 30 * time.Second

// ends are the endpoints that an announce enters: the address it came from, with the port it names. An address
// that the client only claims could be anybody's, whom the swarm would then pester, so `ip` (BEP 3), `ipv4` and
// `ipv6` (BEP 7) are believed only of loopback, where the operator himself asks, of trusted proxies, and within a data
// centre of the topology: see outer.
func (t *Tracker) ends(from netip.Addr, r *announce.Request) [2]netip.AddrPort {
	ends := [2]netip.AddrPort{netip.AddrPortFrom(from, r.Port)}
	if !t.privileged(from) {
		ends[0] = t.outer(ends[0], r)
		return ends
	}
	if claimable(r.IP) {
		ends[0] = netip.AddrPortFrom(r.IP, r.Port)
	}
	for _, claim := range []netip.AddrPort{r.V4, r.V6} {
		if !claimable(claim.Addr()) || claim.Addr().Is4() == ends[0].Addr().Is4() {
			continue
		}
		if claim.Port() == 0 {
			claim = netip.AddrPortFrom(claim.Addr(), r.Port)
		}
		ends[1] = claim
	}
	return ends
}

func claimable(a netip.Addr) bool {
	return a.IsValid() && !a.IsUnspecified() && !a.IsMulticast()
}

func (t *Tracker) privileged(from netip.Addr) bool {
	if from.IsLoopback() {
		return true
	}
	for _, p := range t.o.TrustedProxies {
		if p.Contains(from) {
			return true
		}
	}
	return false
}

// Refusals. Clients show the reason to their users.
var (
	refuseSwarm = &announce.Failure{Reason: "this tracker does not serve this swarm", RetryIn: 5 * time.Minute}
	// A release may be registered with another server of the fleet a moment before this one knows, so clients may try
	// again as soon as they like: less than a minute cannot be said (BEP 31).
	refuseUnregistered = &announce.Failure{Reason: "this swarm is not registered with the fleet"}
	refuseRate         = &announce.Failure{Reason: "too many requests from your address", RetryIn: time.Minute}
	refuseAll          = &announce.Failure{Reason: "this tracker does not tell about all swarms; name them by info_hash"}
	refusePeers        = map[error]*announce.Failure{
		peerstore.ErrSwarmFull: {Reason: peerstore.ErrSwarmFull.Error(), RetryIn: 5 * time.Minute},
		peerstore.ErrPeersFull: {Reason: peerstore.ErrPeersFull.Error(), RetryIn: 5 * time.Minute},
		peerstore.ErrFull:      {Reason: peerstore.ErrFull.Error(), RetryIn: 5 * time.Minute},
	}
)

func refuseFull(err error) *announce.Failure {
	for known, f := range refusePeers {
		if errors.Is(err, known) {
			return f
		}
	}
	return &announce.Failure{Reason: "the tracker cannot answer just now"}
}

// admit takes a request of an address into account. Loopback is not bounded: behind it stands the operator, or
// a proxy that was not named, and then everybody.
func (t *Tracker) admit(now time.Time, from netip.Addr) *announce.Failure {
	if from.IsLoopback() || t.throttle.Allow(from, now) {
		return nil
	}
	return refuseRate
}

// Allow bounds requests that are not of the tracker protocol.
func (d door) Allow(now time.Time, from netip.Addr) bool { return d.admit(now, from) == nil }

// Scrape tells about swarms in the order of the hashes; one that is not known or not served has no peers.
func (d door) Scrape(now time.Time, from netip.Addr, hashes []metainfo.InfoHash, dst []announce.Swarm) ([]announce.Swarm, *announce.Failure) {
	f := d.admit(now, from)
	d.metrics.scraped(d.proto, f)
	d.requests.scraped(now, d.proto, from, len(hashes), f)
	if f != nil {
		return dst, f
	}
	for _, h := range hashes {
		if !d.serves(h) {
			dst = append(dst, announce.Swarm{InfoHash: h})
			continue
		}
		st, _ := d.store.Swarm(h)
		dst = append(dst, d.scrapeOf(st))
	}
	return dst, nil
}

// ScrapeAll tells about every swarm that is served, where the operator allows it.
func (d door) ScrapeAll(now time.Time, from netip.Addr) ([]announce.Swarm, *announce.Failure) {
	f := d.admit(now, from)
	if f == nil && !d.o.FullScrape {
		f = refuseAll
	}
	d.metrics.scraped(d.proto, f)
	d.requests.scraped(now, d.proto, from, 0, f)
	if f != nil {
		return nil, f
	}
	all := d.store.All(0)
	out := make([]announce.Swarm, 0, len(all))
	for _, st := range all {
		if d.serves(st.InfoHash) {
			out = append(out, d.scrapeOf(st))
		}
	}
	return out, nil
}

func (d door) scrapeOf(st peerstore.Stats) announce.Swarm {
	s := announce.Swarm{InfoHash: st.InfoHash, Seeds: st.Seeds, Leeches: st.Partial + st.Leeches,
		Downloaded: int(st.Completed), Downloaders: st.Leeches}
	switch {
	case d.catalog != nil:
		if e, ok := d.catalog.Entry(st.InfoHash); ok {
			s.Name = e.Name
		}
	case d.o.Members != nil:
		s.Name, _ = d.o.Members.Swarm(st.InfoHash)
	}
	return s
}

// serves tells whether a swarm is one of ours.
func (t *Tracker) serves(h metainfo.InfoHash) bool {
	switch {
	case t.catalog != nil:
		return t.catalog.Has(h)
	case t.o.Members != nil:
		_, ok := t.o.Members.Swarm(h)
		return ok
	}
	return true
}

// Malformed counts a request that made no sense.
func (d door) Malformed() { d.metrics.malformed[d.proto].Inc() }

// Connected counts a UDP client that asked for a connection id.
func (d door) Connected() { d.metrics.connects.Inc() }

// Dropped counts a datagram that got no answer, or only that its connection id is not good.
func (d door) Dropped() { d.metrics.dropped.Inc() }
