// Package ledger adds up what shoal peers say of the bytes that they have moved: copies of a release into each data
// centre, over which link, how many the source sent, and which hosts are slow and why.
//
// Peers tell sums since their start, under their peer id and key, so an announce that comes twice, or late, adds
// nothing twice; a peer that was started again is another one and adds up. It never reads a clock, never asks
// anybody, and believes peers as far as the protocol goes: these are their own words.
package ledger

import (
	"math"
	"net/netip"
	"strings"
	"sync"

	"shoal/internal/bt/announce"
	"shoal/internal/bt/metainfo"
)

// Bounds. Beyond them further peers, places and swarms are not taken.
const (
	maxSwarms  = 10_000
	maxPeers   = 50_000  // of one swarm
	maxRows    = 500_000 // of all peers; a row is a data centre that a peer has met, or the peer itself
	maxNames   = 4_096
	keepQuiet  = 7 * 24 * 3600 // seconds after which a swarm is forgotten
	rateWindow = 10            // seconds over which a peer's rate is measured at least
)

// Report is what one announce says.
type Report struct {
	Swarm   metainfo.InfoHash
	ID      [20]byte
	Key     uint32
	At      netip.AddrPort // where the peer stands
	DC      string         // its data centre as the tracker knows it; empty: as it says itself
	Left    int64          // below zero: not known
	Stopped bool
	Says    announce.Ledger
}

// Book is safe for concurrent use. The zero value is empty.
type Book struct {
	mu      sync.Mutex
	swarms  map[metainfo.InfoHash]*swarm
	names   map[string]string // so that each name is in memory once, and not as a part of a request
	rows    int
	version uint64
}

// swarm is what is known of one release.
type swarm struct {
	size    int64 // as the first peer said
	touched uint32
	peers   map[session]*peer
}

// session is one run of one peer.
type session struct {
	id  [20]byte
	key uint32
}

// peer is the newest that a session has said.
type peer struct {
	at     netip.AddrPort
	dc     string
	moved  []announce.Moved
	have   int64 // bytes
	source bool  // it had everything at its first word, before it had fetched anything
	gone   bool
	slow   announce.Slow // why
	seen   uint32
	mark   progress // the beginning of the window of rate
	rate   float64  // bytes a second by which have grows
}

type progress struct {
	at   uint32
	have int64
}

// Enter takes a report. now is in unix seconds.
func (b *Book) Enter(r *Report, now uint32) {
	if r.Says.Size <= 0 || r.Left < 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	sw := b.swarm(r)
	if sw == nil {
		return
	}
	who, have := session{r.ID, r.Key}, max(0, sw.size-r.Left) // padding may be left that is no content
	p := sw.peers[who]
	if p == nil {
		if len(sw.peers) >= maxPeers || b.rows >= maxRows {
			return
		}
		p = &peer{source: r.Left == 0 && received(r.Says.Moved) == 0, mark: progress{now, have}}
		sw.peers[who] = p
		b.rows++
	}
	b.version++
	sw.touched, p.seen = now, now
	p.at, p.slow, p.gone = r.At, r.Says.Slow, r.Stopped
	if p.dc = b.name(r.DC); p.dc == "" {
		p.dc = b.name(r.Says.DC)
	}
	p.have = max(p.have, have)
	p.measure(now)
	for _, m := range r.Says.Moved {
		b.take(p, m)
	}
}

func (b *Book) swarm(r *Report) *swarm {
	sw := b.swarms[r.Swarm]
	switch {
	case sw != nil:
		if sw.size != r.Says.Size {
			return nil // it is about something else
		}
		return sw
	case len(b.swarms) >= maxSwarms:
		return nil
	case b.swarms == nil:
		b.swarms, b.names = map[metainfo.InfoHash]*swarm{}, map[string]string{}
	}
	sw = &swarm{size: r.Says.Size, peers: map[session]*peer{}}
	b.swarms[r.Swarm] = sw
	return sw
}

// take keeps the larger ones of the sums with a data centre: an older report that comes late takes nothing back.
func (b *Book) take(p *peer, m announce.Moved) {
	if m.Up < 0 || m.Down < 0 {
		return
	}
	m.DC = b.name(m.DC)
	for i := range p.moved {
		if old := &p.moved[i]; old.DC == m.DC {
			old.Up, old.Down = max(old.Up, m.Up), max(old.Down, m.Down)
			return
		}
	}
	if len(p.moved) < announce.MaxMoved && b.rows < maxRows {
		p.moved = append(p.moved, m)
		b.rows++
	}
}

// name returns the copy of a name that is kept.
func (b *Book) name(s string) string {
	if kept, ok := b.names[s]; ok || s == "" || len(b.names) >= maxNames {
		return kept
	}
	s = strings.Clone(s)
	b.names[s] = s
	return s
}

// measure finds the rate of a peer over a window that is long enough.
func (p *peer) measure(now uint32) {
	if now < p.mark.at+rateWindow {
		return
	}
	p.rate = float64(p.have-p.mark.have) / float64(now-p.mark.at)
	p.mark = progress{now, p.have}
}

func received(all []announce.Moved) (n int64) {
	for _, m := range all {
		n = plus(n, m.Down)
	}
	return n
}

// plus adds without running over: a liar's sum is large and stays large.
func plus(a, b int64) int64 { return min(a, math.MaxInt64-b) + b }

// Sweep forgets swarms of which nobody has spoken for a week.
func (b *Book) Sweep(now uint32) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for h, sw := range b.swarms {
		if now < sw.touched || now-sw.touched < keepQuiet {
			continue
		}
		for _, p := range sw.peers {
			b.rows -= 1 + len(p.moved)
		}
		delete(b.swarms, h)
		b.version++
	}
}
