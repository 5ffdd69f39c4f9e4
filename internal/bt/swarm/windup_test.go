package swarm

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"

	"shoal/internal/bt/metainfo"
	"shoal/internal/bt/rate"
	"shoal/internal/bt/wire"
)

// TestStopCounts stops hosts that fetch from two others as soon as some has come:
// each byte that came is written, told as wasted or both, and pieces that are
// marked in the store are had.
func TestStopCounts(t *testing.T) {
	r := newRelease(t, 8<<20, 64<<10)
	seeds := []*host{startHost(t, r, "one", true, nil), startHost(t, r, "two", true, nil)}
	for n := range 5 {
		var kept *keeper
		leech := startHost(t, r, fmt.Sprint("leech-", n), false, func(o *Options) {
			kept = &keeper{fileStore: o.Store.(fileStore)}
			o.Store, o.Down = kept, rate.Chain{rate.New(16 << 20)}
		})
		leech.AddPeers([]netip.AddrPort{seeds[0].addr, seeds[1].addr})
		waitFor(t, "some of it", func() bool { return kept.bytes.Load() > int64(n+1)<<20 })
		leech.stop()
		st := leech.Stats()
		if got := kept.bytes.Load(); st.Downloaded-st.Wasted > got || st.Downloaded < got {
			t.Errorf("%d bytes came, %d of them wasted, and %d were written", st.Downloaded, st.Wasted, got)
		}
		if have := leech.Have().Count(); have != int(kept.marked.Load()) || st.BytesDone != int64(have)*64<<10 {
			t.Errorf("%d pieces of %d bytes, and %d are marked", have, st.BytesDone, kept.marked.Load())
		}
	}
}

// keeper is a Store that counts what it is given.
type keeper struct {
	fileStore
	bytes, marked atomic.Int64
}

func (k *keeper) WriteAt(p []byte, off int64) (int, error) {
	k.bytes.Add(int64(len(p)))
	return k.fileStore.WriteAt(p, off)
}

func (k *keeper) MarkHave(ps ...metainfo.Piece) { k.marked.Add(int64(len(ps))) }

// TestAcceptTooLate hands connections to a torrent that has ended: none stays open.
func TestAcceptTooLate(t *testing.T) {
	r := newRelease(t, 64<<10, 64<<10)
	h := startHost(t, r, "over", true, nil)
	h.stop()
	for range 64 {
		ours, theirs := net.Pipe()
		h.Accept(ours, wire.Handshake{})
		if _, err := theirs.Read(make([]byte, 1)); !errors.Is(err, io.EOF) { // a pipe that stays open reads for ever
			t.Fatalf("the other end reads: %v", err)
		}
		theirs.Close()
	}
}
