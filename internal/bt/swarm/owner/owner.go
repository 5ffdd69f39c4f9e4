// Package owner decides who brings a piece over a WAN link. In each site (a
// data centre, as far as a swarm can tell) one host owns each piece: the one
// whose hash with the piece is highest (rendezvous hashing; Thaler and
// Ravishankar, IEEE/ACM ToN 1998). Every member of a site comes to the same
// answer from the list of members alone, without a word between them; a member
// that comes or goes changes the owner of its own share of the pieces and of no
// others; and nobody is elected, so nobody can be lost.
//
// The same function says which site takes a piece first from the one that has
// it, so that the others can take it from there: then about one copy leaves the
// site of the source.
//
// It is a pure calculation; see docs/ownership.md.
package owner

import (
	"encoding/binary"
	"hash/fnv"
	"math"
	"net/netip"
	"slices"
)

// Key is what a member of a site is hashed by.
type Key uint64

// KeyOf is the key of a host, by where it takes connections: the one thing
// that a tracker, a peer and the host itself know alike.
func KeyOf(a netip.AddrPort) Key {
	b := a.Addr().Unmap().As16()
	h := fnv.New64a()
	h.Write(b[:])
	h.Write(binary.BigEndian.AppendUint16(nil, a.Port()))
	return Key(mix(h.Sum64()))
}

// SiteKey is the key of a site.
func SiteKey(name string) Key {
	h := fnv.New64a()
	h.Write([]byte(name))
	return Key(mix(h.Sum64()))
}

// score is the rendezvous hash of a member and a piece.
func score(k Key, piece uint32) uint64 { return mix(uint64(k) + uint64(piece)*0x9e3779b97f4a7c15) }

// mix is the finaliser of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014): each
// bit of the input changes each bit of the output with probability one half.
func mix(x uint64) uint64 {
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	return x ^ x>>31
}

// Rank is how many of the members come before k for a piece: 0 is the owner. k
// need not be among them.
func Rank(k Key, members []Key, piece uint32) int {
	own, n := score(k, piece), 0
	for _, m := range members {
		if beats(m, score(m, piece), k, own) {
			n++
		}
	}
	return n
}

// Site is what one site knows of another.
type Site struct {
	Key    Key
	Dear   int   // 0: over the cheapest links, 1: over the next, ...
	From   []int // the same for its own ways from the other sites, by their index
	Spared bool  // its link has to carry what is nowhere else
	Behind bool  // nobody waits for it
	Has    bool  // the piece in question
}

// Rank is how gladly a site is asked, the lowest first.
func (s *Site) Rank() int {
	if s.Spared {
		return 2*s.Dear + 1
	}
	return 2 * s.Dear
}

// Enough tells for how many pieces that are nowhere else a site that has everything is
// spared, where so many sites lack so many pieces together: its link is to carry those
// once, and the links of the others all that is lacked beside them. It goes on until theirs
// have to carry twice as much each; from then on it would be idle before they are done.
func Enough(sites, lacked int) int { return max(1, (lacked+2*sites)/(2*sites+1)) }

// Turn tells from sites of which rank a piece is to be taken, -1 if none has it;
// and how many sites come before the asking one, self: it is its turn if none does.
// Those do that lack the piece and would be better to take it from than who has it
// now: because their way from there is cheaper, or by hash. Who is behind comes
// before nobody.
func Turn(self Site, sites []Site, piece uint32) (rank, before int) {
	rank, have, dear := -1, 0, 0
	for i := range sites {
		s := &sites[i]
		if !s.Has {
			continue
		}
		if r := s.Rank(); rank < 0 || r < rank {
			rank = r
		}
		if have++; have == 1 || s.Dear < dear {
			dear = s.Dear
		}
	}
	limit := rank
	if have == 1 {
		limit |= 1 // it is spared, too
	}
	own := score(self.Key, piece)
	for i := range sites {
		s := &sites[i]
		if s.Has || s.Behind || 2*s.Dear >= limit {
			continue
		}
		if d := s.dear(sites); d < dear || d == dear && (self.Behind || beats(s.Key, score(s.Key, piece), self.Key, own)) {
			before++
		}
	}
	return rank, before
}

// dear is how dear the cheapest way is from a site that has the piece.
func (s *Site) dear(sites []Site) int {
	least := math.MaxInt
	for i, d := range s.From {
		if sites[i].Has {
			least = min(least, d)
		}
	}
	return least
}

// beats tells whether a with its score comes before b with its own.
func beats(a Key, scoreA uint64, b Key, scoreB uint64) bool {
	return scoreA > scoreB || scoreA == scoreB && a > b
}

// Table knows which pieces one member owns, and follows the members as they
// come and go: each change costs one hash a piece at most, where asking Rank
// for every piece would cost one for each member.
type Table struct {
	self    Key
	members []Key    // without self, sorted
	top     []uint64 // by piece: the highest score of another member
	by      []Key    // by piece: whose it is
}

// NewTable is a table of n pieces for a member that is alone.
func NewTable(self Key, n int) *Table {
	return &Table{self: self, top: make([]uint64, n), by: make([]Key, n)}
}

// Self is the member whose table it is.
func (t *Table) Self() Key { return t.self }

// Members are the others, sorted. The slice must not be changed.
func (t *Table) Members() []Key { return t.members }

// Owns tells whether the table's member is the owner of a piece.
func (t *Table) Owns(piece uint32) bool {
	if len(t.members) == 0 {
		return true
	}
	own := score(t.self, piece)
	return own > t.top[piece] || own == t.top[piece] && t.self > t.by[piece]
}

// Set makes others the members beside self, which may or may not be among them.
// It tells whether anything changed.
func (t *Table) Set(others []Key) bool {
	next := slices.Compact(slices.Sorted(slices.Values(others)))
	next = slices.DeleteFunc(next, func(k Key) bool { return k == t.self })
	if slices.Equal(next, t.members) {
		return false
	}
	var came []Key
	for _, k := range next {
		if _, was := slices.BinarySearch(t.members, k); !was {
			came = append(came, k)
		}
	}
	gone := map[Key]bool{}
	for _, k := range t.members {
		if _, is := slices.BinarySearch(next, k); !is {
			gone[k] = true
		}
	}
	had := len(t.members) > 0
	t.members = next
	for i := range t.top {
		piece := uint32(i)
		if !had || gone[t.by[i]] { // whoever is second now
			t.top[i], t.by[i] = 0, 0
			t.raise(piece, next)
			continue
		}
		t.raise(piece, came)
	}
	return true
}

// raise looks whether one of the members beats the best that is known.
func (t *Table) raise(piece uint32, members []Key) {
	for _, k := range members {
		if s := score(k, piece); s > t.top[piece] || s == t.top[piece] && k > t.by[piece] {
			t.top[piece], t.by[piece] = s, k
		}
	}
}
