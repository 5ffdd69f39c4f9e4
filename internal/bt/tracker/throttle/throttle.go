// Package throttle bounds the requests of each address with token buckets in a table of fixed size.
//
// It never grows, never reads a clock, and never remembers an address itself, only a keyed hash of it.
package throttle

import (
	"hash/maphash"
	"net/netip"
	"sync"
	"time"
)

const (
	ways    = 4       // cells that an address may stand in
	sets    = 1 << 14 // 65,536 addresses, 1.5 MB
	stripes = 64      // locks
)

// Table is safe for concurrent use. A nil Table lets everything pass.
type Table struct {
	rate, burst float64 // tokens a second, and at most
	seed        maphash.Seed
	locks       [stripes]sync.Mutex
	cells       [sets][ways]cell
}

type cell struct {
	key    uint64 // hash of the address; 0: free
	at     int64  // nanoseconds of the last refill
	tokens float64
}

// New makes a table that grants each address rate requests a second, and burst of them at once after a rest.
// A rate of 0 or less bounds nothing: the table is nil.
func New(rate, burst float64) *Table {
	if rate <= 0 {
		return nil
	}
	return &Table{rate: rate, burst: max(burst, 1), seed: maphash.MakeSeed()}
}

// Allow takes a token of the address's bucket; false when there is none. IPv6 addresses count by their /64, as
// one host has all of it. When more addresses are active than the table holds, the one that was quiet longest
// is forgotten, which can only give it a fresh bucket.
func (t *Table) Allow(a netip.Addr, now time.Time) bool {
	if t == nil {
		return true
	}
	key := t.hash(a)
	set := key % sets
	lock := &t.locks[set%stripes]
	lock.Lock()
	defer lock.Unlock()
	c := t.find(set, key, now.UnixNano())
	if c.tokens < 1 {
		return false
	}
	c.tokens--
	return true
}

// find gives the address's cell, refilled.
func (t *Table) find(set, key uint64, now int64) *cell {
	cells := &t.cells[set]
	victim := &cells[0]
	for i := range cells {
		c := &cells[i]
		if c.key == key {
			if now > c.at {
				c.tokens = min(t.burst, c.tokens+float64(now-c.at)/1e9*t.rate)
				c.at = now
			}
			return c
		}
		if c.at < victim.at {
			victim = c
		}
	}
	*victim = cell{key: key, at: now, tokens: t.burst}
	return victim
}

func (t *Table) hash(a netip.Addr) uint64 {
	a = a.Unmap().WithZone("")
	b := a.As16()
	if !a.Is4() {
		clear(b[8:])
	}
	return maphash.Bytes(t.seed, b[:]) | 1 // never 0
}
