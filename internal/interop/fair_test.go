//go:build linux

package interop_test

import (
	"path/filepath"
	"slices"
	"testing"
	"time"
)

const (
	fairUp   = 2_000_000 // bytes/s that each host of these swarms may send: so little that no processor is short
	fairSize = 8_000_000 // bytes of content
	fairWide = 2         // times as long as usual is no reason to fail: clients have timers of many seconds
)

// TestStockAmongShoal has 4 aria2 and 4 libtorrent hosts in one swarm with 8 shoal hosts, and each of the two among
// 16 of its own kind: who is served by shoal, which does not barter among its own, must not come last for that.
func TestStockAmongShoal(t *testing.T) {
	t.Parallel()
	need(t, append(slices.Clone(aria2.needs), libtorrent.needs...)...)
	var mixed map[string][]time.Duration
	t.Run("mixed", func(t *testing.T) {
		mixed = race(t, shoalClient, map[*client]int{&shoalClient: 8, &aria2: 4, &libtorrent: 4})
	})
	if mixed == nil {
		return // it has failed, or was not to be run
	}
	for _, stock := range []*client{&aria2, &libtorrent} {
		t.Run(stock.name, func(t *testing.T) {
			alone := slices.Max(race(t, *stock, map[*client]int{stock: 16})[stock.name])
			if among := slices.Max(mixed[stock.name]); among > fairWide*alone {
				t.Errorf("the last %s host among shoal hosts took %v, among its own kind %v", stock.name, among, alone)
			}
		})
	}
}

// race has hosts fetch from a source, and from each other, and gives the times that each client's took. Time is
// counted in polls: while the machine has no time for the test, it has none for the clients.
func race(t *testing.T, source client, hosts map[*client]int) map[string][]time.Duration {
	content := tree{"fair.bin": file(fairSize, 9)}
	origin := t.TempDir()
	content.write(t, origin)
	addr := newAddr()
	torrent := create(t, filepath.Join(origin, "fair.bin"), "--format", "v1", "-l", "16", "-a", announceURL("http", addr))
	tr := startTracker(t, ownTracker, addr, torrent)
	seed := joinAt(t, source, torrent, origin, fairUp)
	tr.waitSeeds(t, readMetafile(t, torrent), 1, seed.process)
	under := map[*peer]*client{}
	alive := []*process{tr.process, seed.process}
	for c, n := range hosts {
		for range n {
			p := joinAt(t, *c, torrent, t.TempDir(), fairUp)
			under[p] = c
			alive = append(alive, p.process)
		}
	}
	took, polls := map[string][]time.Duration{}, 0
	left := len(under)
	waitFor(t, "all hosts are complete", func() bool {
		polls++
		for p, c := range under {
			if p.complete() {
				took[c.name] = append(took[c.name], time.Duration(polls)*poll)
				c.intact(t, content, p.dir)
				delete(under, p)
				left--
			}
		}
		return left == 0
	}, alive...)
	for name, times := range took {
		t.Logf("%s: %d hosts after %v to %v", name, len(times), times[0], slices.Max(times))
	}
	return took
}
