package peerconn

import (
	"net"
	"sync/atomic"
)

// beneath is a TCP connection under TLS, which hands it one record of 16 KiB after
// the other. While it is slow, each of them is a train of its own.
type beneath struct {
	*net.TCPConn
	sock *socket
	slow atomic.Bool
}

// Beneath prepares a connection that TLS is going to use, so that a Conn on top of
// that can send trains as on a plain one. Others than TCP it returns as they are.
func Beneath(nc net.Conn) net.Conn {
	tcp, ok := nc.(*net.TCPConn)
	if !ok {
		return nc
	}
	b := &beneath{TCPConn: tcp, sock: newSocket(tcp)}
	if b.sock == nil {
		return nc
	}
	b.slow.Store(true)
	return b
}

// Write writes p, all of it or with an error that ends the connection.
func (b *beneath) Write(p []byte) (int, error) {
	if len(p) <= shortWrite || !b.slow.Load() {
		return b.TCPConn.Write(p)
	}
	if err := b.sock.sendTrain(p); err != nil {
		return 0, err
	}
	return len(p), nil
}
