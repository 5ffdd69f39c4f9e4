// Package picker decides which piece to fetch next. It is a pure data
// structure: no I/O, no clock, no locks; one torrent's loop owns it.
//
// The rule is rarest first (Legout et al., IMC 2006: it keeps piece diversity
// near ideal), with ties broken by a permutation that differs from host to
// host, so that hosts which know the same do not all ask for the same piece.
package picker

import (
	"math/bits"
	"math/rand/v2"
	"slices"

	"shoal/internal/bt/bitfield"
)

// Picker knows, for every piece that may still be started, how many peers
// have it. Pieces are kept sorted by that count in one array, so a change of
// one count is one swap.
type Picker struct {
	avail  []uint16 // by piece: peers that have it, seeds not counted
	order  []uint32 // the pieces that may be started, rarest first
	pos    []uint32 // by piece: its place in order, or gone
	bounds []uint32 // by count c: the end of the pieces with count <= c in order
	open   []uint64 // bit set: piece is in order (BitTorrent's bit order, 8 bytes a word)
	seen   seen
}

// seen is where the last search ended: no piece before that place in order is
// among those of the peer. Where each small file is a piece of its own (v2), a
// source that offers a few thousand of a hundred thousand pieces is asked for one
// after the other, and to begin each search anew cost more than all the rest.
type seen struct {
	has   *bitfield.Set
	count int // of has then
	upto  uint32
}

const gone = ^uint32(0)

// New returns a picker of n pieces that all may be started, shuffled by seed.
func New(n int, seed uint64) *Picker { return NewInRuns(n, 1, seed) }

// NewInRuns is New of pieces that are small: so many neighbours stay together.
func NewInRuns(n, run int, seed uint64) *Picker {
	p := &Picker{
		avail: make([]uint16, n), order: Shuffled(n, run, rand.New(rand.NewPCG(seed, 0x5b0a1))), pos: make([]uint32, n),
		bounds: []uint32{uint32(n)}, open: make([]uint64, (n+63)/64),
	}
	for at, piece := range p.order {
		p.pos[piece] = uint32(at)
		p.open[piece/64] |= mask(piece)
	}
	return p
}

// Shuffled is the numbers below n in random order, but for those between two
// multiples of run, which follow each other.
func Shuffled(n, run int, r *rand.Rand) []uint32 {
	starts := make([]uint32, (n+run-1)/run)
	for i := range starts {
		starts[i] = uint32(i * run)
	}
	r.Shuffle(len(starts), func(i, j int) { starts[i], starts[j] = starts[j], starts[i] })
	if run == 1 {
		return starts
	}
	order := make([]uint32, 0, n)
	for _, first := range starts {
		for i := first; i < min(first+uint32(run), uint32(n)); i++ {
			order = append(order, i)
		}
	}
	return order
}

// Clone is an independent picker of the same pieces and counts.
func (p *Picker) Clone() *Picker {
	return &Picker{
		avail: slices.Clone(p.avail), order: slices.Clone(p.order), pos: slices.Clone(p.pos),
		bounds: slices.Clone(p.bounds), open: slices.Clone(p.open),
	}
}

// mask is the bit of a piece in its 64-bit word, in BitTorrent's order: piece
// 0 is the highest bit (BEP 3), so that words load big-endian from bitfields.
func mask(piece uint32) uint64 { return 1 << (63 - piece%64) }

// Len is how many pieces may still be started.
func (p *Picker) Len() int { return len(p.order) }

// Avail is how many peers, seeds not counted, have the piece.
func (p *Picker) Avail(piece uint32) int { return int(p.avail[piece]) }

// Open tells whether the piece may be started.
func (p *Picker) Open(piece uint32) bool { return p.pos[piece] != gone }

// Add counts one more peer (delta 1) or one fewer (delta -1) for a piece.
func (p *Picker) Add(piece uint32, delta int) {
	c := p.avail[piece]
	if delta > 0 && c == ^uint16(0) || delta < 0 && c == 0 {
		return
	}
	if p.pos[piece] == gone {
		p.avail[piece] = uint16(int(c) + delta)
		return
	}
	p.seen.has = nil
	if delta > 0 {
		p.raise(piece, c)
	} else {
		p.lower(piece, c)
	}
}

// raise moves a piece from the last place of count c to the first of c+1.
func (p *Picker) raise(piece uint32, c uint16) {
	p.reach(c + 1)
	last := p.bounds[c] - 1
	p.swap(p.pos[piece], last)
	p.bounds[c] = last
	p.avail[piece] = c + 1
}

// lower moves a piece from the first place of count c to the last of c-1.
func (p *Picker) lower(piece uint32, c uint16) {
	first := p.bounds[c-1]
	p.swap(p.pos[piece], first)
	p.bounds[c-1] = first + 1
	p.avail[piece] = c - 1
}

// reach makes sure that there is a bound for count c.
func (p *Picker) reach(c uint16) {
	for len(p.bounds) <= int(c) {
		p.bounds = append(p.bounds, uint32(len(p.order)))
	}
}

func (p *Picker) swap(i, j uint32) {
	a, b := p.order[i], p.order[j]
	p.order[i], p.order[j] = b, a
	p.pos[a], p.pos[b] = j, i
}

// Take removes a piece from those that may be started: it is being fetched,
// is there already, or is not wanted.
func (p *Picker) Take(piece uint32) {
	if p.pos[piece] == gone {
		return
	}
	if p.pos[piece] < p.seen.upto { // others move up from behind
		p.seen.has = nil
	}
	for c := int(p.avail[piece]); c < len(p.bounds); c++ {
		last := p.bounds[c] - 1
		p.swap(p.pos[piece], last)
		p.bounds[c] = last
	}
	p.order = p.order[:len(p.order)-1]
	p.pos[piece] = gone
	p.open[piece/64] &^= mask(piece)
}

// Return makes a piece available for starting again.
func (p *Picker) Return(piece uint32) {
	if p.pos[piece] != gone {
		return
	}
	p.seen.has = nil
	c := p.avail[piece]
	p.reach(c)
	p.order = append(p.order, piece)
	p.pos[piece] = uint32(len(p.order) - 1)
	p.open[piece/64] |= mask(piece)
	for b := len(p.bounds) - 1; b > int(c); b-- {
		p.swap(p.pos[piece], p.bounds[b-1])
		p.bounds[b]++
	}
	p.bounds[c]++
}

// Pick returns the rarest piece that may be started and that is in has, the
// peer's pieces; nil stands for a seed. ok is false when there is none.
func (p *Picker) Pick(has *bitfield.Set) (piece uint32, ok bool) {
	if len(p.order) == 0 {
		return 0, false
	}
	if has == nil || has.All() {
		return p.order[0], true
	}
	from := p.seen.upto
	if p.seen.has != has || p.seen.count != has.Count() {
		from = 0
		switch n := p.common(has); {
		case n == 0:
			return 0, false
		case n < 64:
			from = p.pos[p.rarestOf(has)]
		}
	}
	for from < uint32(len(p.order)) && !has.Has(int(p.order[from])) {
		from++
	}
	p.seen = seen{has, has.Count(), from}
	if from == uint32(len(p.order)) {
		return 0, false
	}
	return p.order[from], true
}

// Common tells whether the peer has any piece that may be started.
func (p *Picker) Common(has *bitfield.Set) bool {
	if has == nil || has.All() {
		return len(p.order) > 0
	}
	for i, open := range p.open {
		if open&has.Word(i) != 0 {
			return true
		}
	}
	return false
}

// common counts shared pieces, up to 64.
func (p *Picker) common(has *bitfield.Set) int {
	n := 0
	for i, open := range p.open {
		if n += bits.OnesCount64(open & has.Word(i)); n >= 64 {
			break
		}
	}
	return n
}

// rarestOf picks out of few shared pieces: by their place in the order.
func (p *Picker) rarestOf(has *bitfield.Set) uint32 {
	best := gone
	for i, open := range p.open {
		for w := open & has.Word(i); w != 0; w &= w - 1 {
			piece := uint32(i*64 + 63 - bits.TrailingZeros64(w))
			best = min(best, p.pos[piece])
		}
	}
	return p.order[best]
}
