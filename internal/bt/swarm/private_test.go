package swarm

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"shoal/internal/bt/metainfo"
	"shoal/internal/bt/wire"
)

// TestPrivate: peers of a private release come from its trackers only (BEP 27).
// A peer that tells of others is not asked to, and not believed if it does; in a
// public swarm, and among members of a fleet, it is both.
func TestPrivate(t *testing.T) {
	for _, c := range []struct{ private, members bool }{{true, false}, {false, false}, {true, true}} {
		private, silent := c.private, c.private && !c.members
		r := newRelease(t, 100_000, 64<<10)
		if private {
			raw := append(bytes.TrimSuffix(r.info.Raw, []byte("e")), "7:privatei1ee"...)
			info, err := metainfo.ParseInfo(raw)
			if err != nil || !info.Private {
				t.Fatal(info, err)
			}
			if r.hashes, err = metainfo.NewHashes(info, nil); err != nil {
				t.Fatal(err)
			}
			r.info = info
		}
		h := startHost(t, r, "host", false, func(o *Options) { o.Members = c.members })
		conn, offered := gossip(t, h, r, netip.MustParseAddrPort("127.0.0.2:1"))
		if offered == silent {
			t.Errorf("%+v: peer exchange offered: %v", c, offered)
		}
		// What comes behind it has been heard when the swarm knows its sender's next word.
		if _, err := conn.Write(wire.AppendID(nil, wire.HaveAll)); err != nil {
			t.Fatal(err)
		}
		waitFor(t, "the seed to be seen", func() bool { return h.Stats().Seeds == 1 })
		waitFor(t, "what is known to settle", func() bool { return (h.Stats().Known > 0) != silent })
		conn.Close()
		h.stop()
	}
}

// gossip connects, tells of a peer, and says whether it was offered to do so.
func gossip(t *testing.T, h *host, r release, of netip.AddrPort) (net.Conn, bool) {
	t.Helper()
	c, err := net.Dial("tcp", h.addr.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	b := wire.NewHandshake([20]byte(r.info.Swarms()[0]), [20]byte([]byte("-XX0001-gossipgossip")), wire.CapExtended|wire.CapFast).Append(nil)
	b = wire.AppendExtended(b, wire.ExtHandshakeID, wire.ExtHandshake{M: map[string]int{wire.ExtPex: 1}}.Encode())
	b = wire.AppendExtended(b, ourPex, wire.Pex{Added: []wire.PexPeer{{Addr: of}}}.Encode())
	if _, err := c.Write(b); err != nil {
		t.Fatal(err)
	}
	head := make([]byte, wire.HandshakeLen)
	if _, err := io.ReadFull(c, head); err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := io.ReadFull(c, head[:4]); err != nil {
			t.Fatal(err)
		}
		msg := make([]byte, binary.BigEndian.Uint32(head))
		if _, err := io.ReadFull(c, msg); err != nil {
			t.Fatal(err)
		}
		if len(msg) < 2 || wire.ID(msg[0]) != wire.Extended || msg[1] != wire.ExtHandshakeID {
			continue
		}
		ext, err := wire.ParseExtHandshake(msg[2:])
		if err != nil {
			t.Fatal(err)
		}
		_, ok := ext.ID(wire.ExtPex)
		return c, ok
	}
}
