package swarm

import (
	"fmt"
	"net/netip"
	"slices"
	"sync"

	"shoal/internal/bt/bitfield"
	"shoal/internal/bt/metainfo"
)

// span is the bytes from <= x < to of a piece.
type span struct{ from, to int64 }

// credit remembers who sent which bytes of a piece.
type credit struct {
	who *link // nil: a web seed
	span
}

// partial is a piece on its way in. Whoever receives a part of it, hashes (take)
// and writes it at once; with two cores, the one part while the next is hashed.
// Two bring the same piece only in the endgame, when it has two sources.
//
// Every byte is hashed and written once, from whoever brought it first: what
// is on disk is what was hashed.
type partial struct {
	piece metainfo.Piece
	base  int64 // offset in piece space
	size  int64 // without trailing padding

	old bool // some bytes were there from an earlier run; never changes

	mu      sync.Mutex // held over a write: what is given up is not written to any more
	got     []span
	credits []credit
	over    bool // finished or given up: late bytes are ignored

	hashing sync.Mutex        // after mu
	check   *metainfo.Checker // nil when given up
	taken   []span            // got, and what is hashed and on its way to the disk
	reread  bool              // some bytes came in an order that could not be hashed
}

// inherit takes over blocks that lie on disk. What they are worth shows when
// the others have come and the whole piece is read back.
func (a *partial) inherit(blocks *bitfield.Set) {
	for b := blocks.Next(0); b >= 0; b = blocks.Next(b + 1) {
		from := int64(b) * metainfo.BlockSize
		if s := (span{from, min(from+metainfo.BlockSize, a.size)}); s.from < s.to {
			a.got = add(a.got, s)
			a.old, a.reread = true, true
		}
	}
	a.taken = slices.Clone(a.got)
}

// outcome of a write.
type outcome struct {
	used     int64 // bytes that were new
	complete bool  // this write was the last; ok tells whether the hash matches
	ok       bool
}

// take hashes what is new of b, which lies at off inside the piece, and returns
// where that is: nobody else takes it now, and it must be written.
func (a *partial) take(off int64, b []byte) (gaps []span) {
	a.hashing.Lock()
	defer a.hashing.Unlock()
	if a.check == nil {
		return nil
	}
	gaps = missing(a.taken, span{off, off + int64(len(b))})
	for _, gap := range gaps {
		if !a.check.WriteAt(b[gap.from-off:gap.to-off], gap.from) {
			a.reread = true
		}
		a.taken = add(a.taken, gap)
	}
	return gaps
}

// fail gives back what was taken and cannot be written.
func (a *partial) fail(gaps []span) {
	a.hashing.Lock()
	defer a.hashing.Unlock()
	a.reread = true // what was hashed is not what is on disk
	for _, gap := range gaps {
		a.taken = cut(a.taken, gap)
	}
}

// write writes what was taken of b.
func (a *partial) write(st Store, who *link, off int64, b []byte, gaps []span) (out outcome, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.over {
		return out, nil
	}
	for i, gap := range gaps {
		if _, err := st.WriteAt(b[gap.from-off:gap.to-off], a.base+gap.from); err != nil {
			a.fail(gaps[i:])
			return out, err
		}
		a.got = add(a.got, gap)
		a.credit(who, gap)
		out.used += gap.to - gap.from
	}
	if out.used == 0 || len(a.got) != 1 || a.got[0] != (span{0, a.size}) {
		return out, nil
	}
	out.complete, a.over = true, true
	out.ok, err = a.verify(st)
	return out, err
}

// verify tells whether the piece is right: from what was hashed on the way, or
// else by reading it back.
func (a *partial) verify(st Store) (bool, error) {
	a.hashing.Lock()
	defer a.hashing.Unlock()
	if len(a.got) > 0 && !a.reread {
		return a.check.OK(), nil
	}
	a.check.Reset(a.piece)
	buf := make([]byte, min(a.size, 256<<10))
	for off := int64(0); off < a.size; {
		p := buf[:min(int64(len(buf)), a.size-off)]
		if _, err := st.ReadAt(p, a.base+off); err != nil {
			return false, fmt.Errorf("reading piece %d back: %w", a.piece, err)
		}
		if !a.check.WriteAt(p, off) {
			return false, nil
		}
		off += int64(len(p))
	}
	return a.check.OK(), nil
}

func (a *partial) credit(who *link, s span) {
	if n := len(a.credits); n > 0 && a.credits[n-1].who == who && a.credits[n-1].to == s.from {
		a.credits[n-1].to = s.to
		return
	}
	a.credits = append(a.credits, credit{who, s})
}

// untouched tells whether nothing of the piece has come.
func (a *partial) untouched() bool {
	left := a.left()
	return len(left) == 1 && left[0] == span{0, a.size}
}

// left returns the bytes that are still missing.
func (a *partial) left() []span {
	a.mu.Lock()
	defer a.mu.Unlock()
	return missing(a.got, span{0, a.size})
}

// release makes the partial ignore what still comes, and gives its checker back;
// nil when that was done before.
func (a *partial) release() *metainfo.Checker {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.hashing.Lock()
	defer a.hashing.Unlock()
	check := a.check
	a.check, a.over = nil, true
	return check
}

// maxIdle is how many checkers are kept for pieces to come.
const maxIdle = 1024

// checker is one for a piece, of those that have done their work if there are any.
func (s *state) checker(piece metainfo.Piece) *metainfo.Checker {
	n := len(s.idle)
	if n == 0 {
		check := s.o.Hashes.NewChecker()
		check.Reset(piece)
		return check
	}
	check := s.idle[n-1]
	s.idle = s.idle[:n-1]
	check.Reset(piece)
	return check
}

// addrs returns who contributed, each address once; ok is false when a web
// seed did.
func (a *partial) addrs() (who []netip.Addr, ok bool) {
	ok = true
	for _, c := range a.credits {
		if c.who == nil {
			ok = false
		} else if ip := c.who.addr.Addr(); !slices.Contains(who, ip) {
			who = append(who, ip)
		}
	}
	return who, ok
}

// missing returns the parts of s that got (sorted, disjoint) does not cover.
func missing(got []span, s span) []span {
	var out []span
	for _, g := range got {
		if g.to <= s.from {
			continue
		}
		if g.from >= s.to {
			break
		}
		if g.from > s.from {
			out = append(out, span{s.from, g.from})
		}
		s.from = g.to
	}
	if s.from < s.to {
		out = append(out, s)
	}
	return out
}

// add puts s, which overlaps nothing in got, into it and joins neighbours.
func add(got []span, s span) []span {
	i, _ := slices.BinarySearchFunc(got, s, func(g, s span) int { return int(g.from - s.from) })
	if i > 0 && got[i-1].to == s.from {
		got[i-1].to = s.to
		if i < len(got) && got[i].from == s.to {
			got[i-1].to = got[i].to
			got = slices.Delete(got, i, i+1)
		}
		return got
	}
	if i < len(got) && got[i].from == s.to {
		got[i].from = s.from
		return got
	}
	return slices.Insert(got, i, s)
}

// cut takes s, all of which is in got, out of it.
func cut(got []span, s span) []span {
	i := slices.IndexFunc(got, func(g span) bool { return s.to <= g.to })
	var rest []span
	for _, r := range []span{{got[i].from, s.from}, {s.to, got[i].to}} {
		if r.from < r.to {
			rest = append(rest, r)
		}
	}
	return slices.Replace(got, i, i+1, rest...)
}
