package swarm

import "net/netip"

// Connections: dial until so many live; take incoming ones up to MaxPeers.
const (
	dialTarget  = 40 // of those that a tracker names
	heardTarget = 24 // of those of whom peers tell
	// nearMost is how many shoal peers of our own site we keep. It is a hard limit: a
	// graph of equal degrees has nobody who finds fewer senders than the others and is
	// last for it, and 20 are twice the logarithm of a thousand hosts.
	nearMost = 20
)

// mayDial tells whether an address is to be dialled, which a tracker has named or a
// peer: while we have as many neighbours as we keep, only who is known to be elsewhere.
func (s *state) mayDial(a netip.AddrPort, named bool) bool {
	n := len(s.peers) + s.conn.dialing
	if !named && n >= heardTarget {
		return false
	}
	if n-s.conn.others < nearMost { // those of whom nothing is known yet count as near
		return true
	}
	return s.conn.place.Known() && !s.imports.named[a] && !s.imports.heard.Believes(a)
}

// countOthers counts the peers of which we may have any number: those elsewhere, and
// stock clients.
func (s *state) countOthers() {
	s.conn.others = 0
	for p := range s.peers {
		if p.site != nil || !p.shoal {
			s.conn.others++
		}
	}
}

// thin ends the connection to one of our neighbours when there are too many: both ends
// of each know its priority alike (BEP 40), so what is left is a random graph. One over
// which something is on its way stays: its other end would look for another neighbour,
// whom it drives out in turn, and each time a piece breaks.
func (s *state) thin() {
	var worst *peer
	n := 0
	for p := range s.peers {
		if p.site != nil || p.shoalID == 0 {
			continue
		}
		n++
		if p.idle() && (worst == nil || p.rank < worst.rank) {
			worst = p
		}
	}
	if n > nearMost && worst != nil {
		s.drop(worst, errFull)
	}
}

// idle tells that neither side is at a piece of the other's, or may begin one.
func (p *peer) idle() bool {
	return p.pieces == 0 && p.licence == 0 && p.credit == 0 && len(p.owed) == 0
}
