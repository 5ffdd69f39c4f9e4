package swarm

import (
	"errors"
	"net"
	"net/netip"
	"time"

	"shoal/internal/bt/swarm/owner"
	"shoal/internal/bt/wire"
	"shoal/internal/topology"
)

// Members of our site are those that a tracker names, those whose address is in
// it, those that are connected and say so, and those of whom other members tell.
// Who does not answer is none.

// membership is who belongs to our site, ourselves beside the others.
type membership struct {
	self   netip.AddrPort
	named  map[netip.AddrPort]bool // by a tracker or their address
	heard  owner.Hearsay           // from others
	lost   map[netip.AddrPort]bool // who did not answer or broke off
	roster []netip.AddrPort        // all who have been members, in the order in which they became known
	listed map[netip.AddrPort]bool // the same
	met    bool                    // we are connected to all of them
	stale  bool                    // who belongs to our site may have changed
}

func newMembership() membership {
	return membership{named: map[netip.AddrPort]bool{}, lost: map[netip.AddrPort]bool{}, listed: map[netip.AddrPort]bool{}}
}

// hearsayFor is how long a member that a tracker does not name is believed in when
// it was told of by others: two lists of a tracker, whose next one names it if it
// is there.
const hearsayFor = 5 * time.Minute

// lookAround finds members among addresses.
func (s *state) lookAround(addrs []netip.AddrPort) {
	im := &s.imports
	if !s.conn.place.Known() {
		return
	}
	for _, a := range addrs {
		if at := s.o.Places.Of(a.Addr(), topology.Place{}); at.Datacenter == s.conn.place.Datacenter && !im.named[a] && len(im.named) < maxMembers {
			im.named[a], im.stale = true, true
		}
	}
}

// arrived notes that a peer is connected, and by which address it knows us.
func (s *state) arrived(p *peer, nc net.Conn) {
	im := &s.imports
	im.stale = true
	delete(im.lost, p.listen)
	if im.self.IsValid() {
		return
	}
	if local, err := netip.ParseAddrPort(nc.LocalAddr().String()); err == nil {
		im.self = netip.AddrPortFrom(local.Addr().Unmap(), s.o.ListenPort)
	}
}

// departed notes that a peer is gone, and why.
func (s *state) departed(p *peer, why error) {
	s.unclaim(p)
	s.imports.stale = true
	for _, ours := range []error{errSelf, errDuplicate, errUseless, errFull} {
		if errors.Is(why, ours) {
			return
		}
	}
	s.misses(p.listen)
}

// misses notes that nobody answers at an address, which may be named as a member's
// only later.
func (s *state) misses(a netip.AddrPort) {
	if im := &s.imports; !im.lost[a] && len(im.lost) < maxMembers {
		im.lost[a], im.stale = true, true
	}
}

// gather finds out who belongs to our site.
func (s *state) gather() {
	im := &s.imports
	im.stale = false
	if !im.self.IsValid() {
		return
	}
	if self := owner.KeyOf(im.self); im.table == nil || im.table.Self() != self {
		im.table = owner.NewTable(self, s.o.Info.NumPieces())
		s.review()
	}
	members := map[netip.AddrPort]bool{}
	for a := range im.named {
		members[a] = !im.lost[a]
	}
	for a := range im.heard.Believed() {
		members[a] = !im.lost[a]
	}
	met := 0
	for p := range s.peers {
		if p.listen.IsValid() {
			if members[p.listen] = p.site == nil && p.imports(); members[p.listen] {
				met++
			}
		}
	}
	var others []owner.Key
	for a, is := range members {
		if is {
			others = append(others, owner.KeyOf(a))
			im.list(a)
		}
	}
	im.met = met >= len(others)
	if im.table.Set(others) {
		s.review()
		s.tellAbroad()
	}
}

// list notes a member.
func (m *membership) list(a netip.AddrPort) {
	if !m.listed[a] && len(m.roster) < maxMembers {
		m.listed[a] = true
		m.roster = append(m.roster, a)
	}
}

// tellMembers tells our site of members that it may not know yet: a tracker's list
// lacks whoever came after it was made, and there may be no tracker. Two hosts with
// different lists would both own some pieces, and bring them in twice.
func (s *state) tellMembers() {
	roster := s.imports.roster
	if !s.o.gossips() {
		return
	}
	for p := range s.peers {
		if p.shoalID == 0 || p.site != nil {
			continue
		}
		for p.members < len(roster) {
			few := roster[p.members:min(len(roster), p.members+wire.MaxShoalMembers)]
			p.members += len(few)
			p.send(func(b []byte) []byte { return wire.AppendExtended(b, p.shoalID, wire.AppendShoalMembers(nil, few)) })
		}
	}
}

// toldMembers occurs when a peer tells who belongs to its site.
type toldMembers struct {
	p       *peer
	members []netip.AddrPort
}

func (e toldMembers) apply(s *state) {
	if e.p.site != nil || !s.o.gossips() {
		return
	}
	im := &s.imports
	for _, a := range e.members {
		if a != im.self && im.heard.Tell(e.p.link.addr.Addr(), a, s.now) {
			im.stale = true
		}
	}
}

// imports tells whether a peer of our site can be expected to bring in what it
// owns: it lives by these rules, and wants every piece.
func (p *peer) imports() bool { return p.shoal && p.ext.Shoal.Reveal && !p.ext.UploadOnly }

// named occurs when somebody says who belongs to our site, and who we are.
type named struct {
	self    netip.AddrPort
	members []netip.AddrPort
}

func (e named) apply(s *state) {
	im := &s.imports
	if e.self.IsValid() {
		im.self = e.self
		s.known(e.self)
	}
	was := im.named
	im.named = make(map[netip.AddrPort]bool, min(len(e.members), maxMembers))
	for _, a := range e.members {
		if len(im.named) < maxMembers && a != im.self {
			im.named[a] = true
			if !was[a] {
				delete(im.lost, a) // it has come anew
			}
		}
	}
	im.heard.Forget(s.now.Add(-hearsayFor))
	im.stale = true
}

// SetSite tells the torrent who belongs to our data centre, by the addresses at
// which they take connections, and which of them we are (not valid: unknown).
// It replaces what was told before.
func (t *Torrent) SetSite(self netip.AddrPort, members []netip.AddrPort) {
	t.post(named{self, members})
}
