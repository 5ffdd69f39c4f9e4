package node

import (
	"context"
	"net"
	"path/filepath"
	"testing"

	"shoal/internal/bt/metainfo"
)

// flipped is a Secure that no stranger can talk through: every bit is turned
// around on the way.
type flipped struct{}

func (flipped) Client(_ context.Context, c net.Conn) (net.Conn, error) { return flippedConn{c}, nil }
func (flipped) Server(_ context.Context, c net.Conn) (net.Conn, error) { return flippedConn{c}, nil }

type flippedConn struct{ net.Conn }

func (c flippedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	for i := range b[:n] {
		b[i] ^= 0xff
	}
	return n, err
}

func (c flippedConn) Write(b []byte) (int, error) {
	turned := make([]byte, len(b))
	for i := range b {
		turned[i] = b[i] ^ 0xff
	}
	return c.Conn.Write(turned)
}

func TestSecure(t *testing.T) {
	r, root := newRelease(t, metainfo.Hybrid), t.TempDir()
	peer, _ := seedWith(t, r, flipped{})
	o := quiet("127.0.0.1:0", nil)
	o.Secure = flipped{}
	rel := NewReleases(ReleaseOptions{Options: o, Root: root, Content: ContentOptions{Peers: []string{peer}}})
	_, err := rel.Stage(t.Context(), "web", "1", r.file)
	must(t, err)
	sameTree(t, filepath.Join(root, "web/releases/1")+"/")
}
