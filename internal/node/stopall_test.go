package node

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"shoal/internal/bt/metainfo"
	"shoal/internal/front/control"
)

// TestStopAll stops a fleet in the middle of staging. No host gets another byte
// until it is started again; then each goes on where it was.
func TestStopAll(t *testing.T) {
	const hosts, size, rate = 3, 3 << 20, 1 << 20
	f := newFleet(t, t.TempDir(), "127.0.0.1:0")
	big := make([]byte, size)
	rand.NewChaCha8([32]byte{7}).Read(big)
	r := newRelease(t, metainfo.Hybrid, func(app string) { write(t, filepath.Join(app, "data/bulk"), big) })
	var roots, sockets []string
	var fetched, wasted [hosts]atomic.Int64 // in all, when a fetch is complete
	at := make(chan netip.AddrPort, hosts)
	for n := range hosts {
		roots, sockets = append(roots, t.TempDir()), append(sockets, filepath.Join(t.TempDir(), "s"))
		f.host(t, fmt.Sprint("web-", n), roots[n], func(o *AgentOptions) {
			o.TorrentDown, o.Control, o.Ready = rate, sockets[n], func(a netip.AddrPort) { at <- a }
			o.Report = func(e Event) {
				if e.Kind == Complete {
					fetched[n].Add(e.Status.Downloaded)
					wasted[n].Add(e.Status.Wasted)
				}
			}
		})
	}
	for range hosts {
		<-at
	}
	f.online(t, hosts)
	f.register(t, r, "1")
	received := func(n int) (sum, done int64, moving bool) {
		t.Helper()
		st, err := control.Ask(t.Context(), sockets[n], "stats", nil)
		must(t, err)
		for _, one := range st.Torrents {
			sum, done, moving = sum+one.Received, done+one.Done, moving || one.State != paused
		}
		return sum, done, moving
	}
	id := f.push(t, "1", nil)
	for n := range hosts {
		wait(t, func() bool { got, _, _ := received(n); return got > size/8 })
	}
	stopped := time.Now()
	must(t, f.admin.Stop(t.Context(), "test"))
	told := time.Since(stopped)
	var still, done [hosts]int64
	last := make([]time.Duration, hosts)
	for n := range hosts {
		wait(t, func() bool {
			got, whole, moving := received(n)
			if got != still[n] {
				still[n], last[n] = got, time.Since(stopped)
			}
			done[n] = whole
			return !moving
		})
	}
	t.Logf("told after %v; the last byte came to each host before %v", told, last)
	time.Sleep(500 * time.Millisecond) // half a MB for each, if it did not hold
	for n := range hosts {
		got, _, moving := received(n)
		if got != still[n] || moving {
			t.Errorf("web-%d has %d bytes, then %d while all is stopped", n, still[n], got)
		}
		if got >= size {
			t.Errorf("web-%d was done before it was stopped: the test tests nothing", n)
		}
		if _, err := os.Stat(filepath.Join(roots[n], "web/releases/1")); err == nil {
			t.Errorf("web-%d has staged it", n)
		}
	}
	wait(t, func() bool { return f.admin.Start(t.Context()) == nil })
	f.reaches(t, id, "done")
	for n, root := range roots {
		same, err := os.ReadFile(filepath.Join(root, "web/current/data/bulk"))
		if must(t, err); !bytes.Equal(same, big) {
			t.Errorf("web-%d has something else", n)
		}
		// What came is kept, but for what was cut off inside of a block: one from each of those it fetched from.
		length, got, twice := r.meta.Info.ContentLength(), fetched[n].Load(), wasted[n].Load()
		if most := length + twice + hosts*metainfo.BlockSize; got < length || got > most {
			t.Errorf("web-%d fetched %d bytes for %d, and threw %d away: it had %d when it was stopped, in whole pieces %d", n, got, length, twice, still[n], done[n])
		}
		t.Logf("web-%d fetched %d bytes for %d, and threw %d away; %d when it was stopped, in whole pieces %d", n, got, length, twice, still[n], done[n])
	}
}
