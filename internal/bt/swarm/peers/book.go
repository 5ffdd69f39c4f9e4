// Package peers decides whom to dial next. It is an address book with
// back-off and bans: pure, bounded, owned by one torrent's loop.
package peers

import (
	"math/rand/v2"
	"net/netip"
	"time"
)

// MaxKnown bounds the addresses a book keeps: trackers and peers can tell
// more than one will ever dial.
const MaxKnown = 4096

const (
	firstRetry = 500 * time.Millisecond
	lastRetry  = 5 * time.Minute
)

type entry struct {
	addr   netip.AddrPort
	via    netip.AddrPort // where to dial it first; the zero value: nowhere else
	fails  int
	next   time.Time // not before
	inUse  bool      // being dialled, or connected
	named  bool      // by a tracker or the user, who know what they do
	listAt int
}

// Book holds known addresses.
type Book struct {
	known  map[netip.AddrPort]*entry
	list   []*entry                          // of known, for random picks
	vias   map[netip.AddrPort]netip.AddrPort // of known that have one, by it
	banned map[netip.Addr]bool
	self   map[netip.AddrPort]bool
	rng    *rand.Rand
}

// NewBook returns an empty book; seed drives its random choices.
func NewBook(seed uint64) *Book {
	return &Book{
		known: map[netip.AddrPort]*entry{}, vias: map[netip.AddrPort]netip.AddrPort{}, banned: map[netip.Addr]bool{}, self: map[netip.AddrPort]bool{},
		rng: rand.New(rand.NewPCG(seed, 1)),
	}
}

// Add learns an address; named says that it comes from a tracker or the user and not
// from another peer. It is ignored when it cannot be dialled, is banned, is our own, or
// the book is full.
func (b *Book) Add(a netip.AddrPort, named bool) {
	a = netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
	if e := b.known[a]; e != nil {
		e.named = e.named || named
		return
	}
	if !a.IsValid() || a.Port() == 0 || a.Addr().IsUnspecified() || a.Addr().IsMulticast() ||
		b.banned[a.Addr()] || b.self[a] || b.vias[a].IsValid() || len(b.list) >= MaxKnown {
		return
	}
	e := &entry{addr: a, named: named, listAt: len(b.list)}
	b.known[a] = e
	b.list = append(b.list, e)
}

// Route learns that who is known by an address should be dialled at another one, in place of what was said before; the
// zero value: at its own. named is Add's. It is the address of one host: nobody is dialled at it for itself.
func (b *Book) Route(a, via netip.AddrPort, named bool) {
	if via.IsValid() {
		b.Add(a, named)
	}
	e := b.known[a]
	if e == nil || e.via == via || via == a || b.self[via] || b.banned[via.Addr()] || b.vias[via].IsValid() {
		return
	}
	delete(b.vias, e.via)
	if e.via = via; !via.IsValid() {
		return
	}
	if other := b.known[via]; other != nil && !other.inUse {
		b.remove(via)
	}
	b.vias[via] = a
}

// Via is where to dial an address first; the zero value: nowhere else.
func (b *Book) Via(a netip.AddrPort) (via netip.AddrPort) {
	if e := b.known[a]; e != nil {
		via = e.via
	}
	return via
}

// Len is how many addresses are known.
func (b *Book) Len() int { return len(b.list) }

// Next returns an address to dial now, and how often it has failed in a row.
// It is in use until Failed or Closed. Those that were named come first: a tracker
// chooses them so that everybody reaches every data centre, where peers tell of whom
// they happen to know. may tells of each whether it is to be dialled.
func (b *Book) Next(now time.Time, may func(a netip.AddrPort, named bool) bool) (a netip.AddrPort, fails int, ok bool) {
	if len(b.list) == 0 {
		return a, 0, false
	}
	var best *entry
	start := b.rng.IntN(len(b.list))
	for i := range b.list {
		e := b.list[(start+i)%len(b.list)]
		if e.inUse || now.Before(e.next) || !e.named && best != nil || !may(e.addr, e.named) {
			continue
		}
		if best = e; e.named {
			break
		}
	}
	if best == nil {
		return a, 0, false
	}
	best.inUse = true
	return best.addr, best.fails, true
}

// Failed notes that dialling has failed: the address rests, longer each time.
func (b *Book) Failed(a netip.AddrPort, now time.Time) {
	if e := b.known[a]; e != nil {
		e.inUse = false
		e.next = now.Add(min(firstRetry<<min(e.fails, 12), lastRetry))
		e.fails++
	}
}

// Closed notes that a connection that had worked is over. rest keeps the
// address from being dialled again at once.
func (b *Book) Closed(a netip.AddrPort, now time.Time, rest time.Duration) {
	if e := b.known[a]; e != nil {
		e.inUse, e.fails, e.next = false, 0, now.Add(rest)
	}
}

// Self notes that an address is our own.
func (b *Book) Self(a netip.AddrPort) {
	b.self[a] = true
	b.remove(a)
}

// Ban forgets all addresses of ip and takes no more of them.
func (b *Book) Ban(ip netip.Addr) {
	ip = ip.Unmap()
	b.banned[ip] = true
	for a, e := range b.known {
		if a.Addr() == ip || e.via.Addr() == ip {
			b.remove(a)
		}
	}
}

// Banned tells whether ip is banned.
func (b *Book) Banned(ip netip.Addr) bool { return b.banned[ip.Unmap()] }

func (b *Book) remove(a netip.AddrPort) {
	e := b.known[a]
	if e == nil {
		return
	}
	delete(b.vias, e.via)
	last := b.list[len(b.list)-1]
	b.list[e.listAt] = last
	last.listAt = e.listAt
	b.list = b.list[:len(b.list)-1]
	delete(b.known, a)
}
