package tracker

import (
	"net/netip"
	"slices"
	"time"

	"shoal/internal/bt/announce"
	"shoal/internal/bt/metainfo"
	"shoal/internal/bt/multihome"
	"shoal/internal/bt/tracker/httpfront"
	"shoal/internal/bt/tracker/peerstore"
	"shoal/internal/bt/tracker/reach"
)

// outer is the address that everybody is told of a host that asks from another one, as behind address translation, or
// when the tracker is inside of its site: one that it names and that the topology has in the same data centre. So
// nobody can point the swarm at an address that the operator did not write down.
func (t *Tracker) outer(seen netip.AddrPort, r *announce.Request) netip.AddrPort {
	dc := t.o.Topology.Index(seen.Addr())
	if dc < 0 {
		return seen
	}
	claims := []netip.AddrPort{r.V4, r.V6, netip.AddrPortFrom(r.IP, r.Port)}
	for _, claim := range claims {
		ip := claim.Addr()
		if !claimable(ip) || ip.Is4() != seen.Addr().Is4() || t.o.Topology.Index(ip) != dc {
			continue
		}
		if claim.Port() == 0 {
			return netip.AddrPortFrom(ip, r.Port)
		}
		return claim
	}
	return seen
}

// believe are the further addresses of a host that others of its data centre are to be told: those that the topology
// has in that network of its data centre. An address on a network that it does not name is believed of members of a
// fleet and of the operator, and of others only within private networks: who asks from one, for one.
func (t *Tracker) believe(from netip.Addr, place int16, h *multihome.Homes) []multihome.Address {
	dc := t.placeName(place)
	trusted := t.o.Members != nil || t.privileged(from)
	var out []multihome.Address
	for _, a := range h.Addresses {
		within, named := t.o.Topology.InNetwork(dc, a.Net, a.At.Addr())
		if named && !within || !named && !trusted && !(from.IsPrivate() && a.At.Addr().IsPrivate()) {
			continue
		}
		if dc == "" && h.DC != "" { // so that networks of two data centres stay apart
			a.Net = h.DC + "/" + a.Net
		}
		out = append(out, a)
	}
	return out
}

// lookAt has the addresses of a peer that joined looked at.
func (t *Tracker) lookAt(now time.Time, a *peerstore.Announce) {
	for _, at := range a.Ends {
		if !at.IsValid() || at.Port() == 0 {
			continue
		}
		p := reach.Peer{Swarm: a.InfoHash, At: at}
		if len(a.Homes) > 0 {
			p.Of = at
		}
		t.reach.Joined(now, p)
		for _, home := range a.Homes {
			t.reach.Joined(now, reach.Peer{Swarm: a.InfoHash, At: home.At, Of: at})
		}
	}
}

// stands tells whether a peer that is looked at is still in its swarm.
func (t *Tracker) stands(p reach.Peer) bool {
	if p.Of.IsValid() {
		return t.store.Has(p.Swarm, p.Of)
	}
	return t.store.Has(p.Swarm, p.At)
}

// maxHomes bounds the hosts with several addresses that a swarm's overview names.
const maxHomes = 1000

// homesOf is what the overview shows of a swarm's hosts with several addresses.
func (t *Tracker) homesOf(h metainfo.InfoHash) (out []httpfront.Home) {
	for _, p := range t.store.Homed(h, maxHomes) {
		home := httpfront.Home{Peer: p.At.String()}
		for _, a := range slices.Insert(slices.Clone(p.Homes), 0, multihome.Address{At: p.At}) {
			shown := httpfront.HomeAddress{Net: a.Net, Address: a.At.String()}
			if t.reach != nil {
				shown.State = t.reach.Reached(reach.Peer{Swarm: h, At: a.At, Of: p.At})
			}
			home.Addresses = append(home.Addresses, shown)
		}
		out = append(out, home)
	}
	return out
}
