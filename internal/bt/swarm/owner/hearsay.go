package owner

import (
	"iter"
	"net/netip"
	"time"
)

// Hearsay is who belongs to our site as other members of it say. One of them may
// be wrong, or lie, and make owners of hosts that are not there: so only of whom
// two have told is believed. The zero value is ready.
type Hearsay struct {
	of map[netip.AddrPort]rumour
}

type rumour struct {
	by   netip.Addr // who told of it first
	at   time.Time
	true bool // another one has, too
}

// maxRumours bounds them: anybody can make up addresses.
const maxRumours = 4096

// Tell notes that by says that a is a member, and tells whether it is believed
// from now on.
func (h *Hearsay) Tell(by netip.Addr, a netip.AddrPort, now time.Time) (news bool) {
	r, known := h.of[a]
	switch {
	case !known && len(h.of) >= maxRumours:
		return false
	case !known:
		if h.of == nil {
			h.of = map[netip.AddrPort]rumour{}
		}
		r = rumour{by: by, at: now}
	case r.true || r.by == by:
		return false
	default:
		r.true, news = true, true
	}
	h.of[a] = r
	return news
}

// Believes tells whether a is believed to be a member.
func (h *Hearsay) Believes(a netip.AddrPort) bool { return h.of[a].true }

// Believed are the members that are believed in, in any order.
func (h *Hearsay) Believed() iter.Seq[netip.AddrPort] {
	return func(yield func(netip.AddrPort) bool) {
		for a, r := range h.of {
			if r.true && !yield(a) {
				return
			}
		}
	}
}

// Forget drops what was told of before that time.
func (h *Hearsay) Forget(before time.Time) {
	for a, r := range h.of {
		if r.at.Before(before) {
			delete(h.of, a)
		}
	}
}
