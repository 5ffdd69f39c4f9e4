package node

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"

	"shoal/internal/bt/peerconn"
)

// dialMark returns what prepares a dialler's sockets for peers, and makes them
// send with a DSCP (RFC 2474).
func dialMark(dscp int) func(network, address string, c syscall.RawConn) error {
	return func(network, address string, c syscall.RawConn) error {
		if dscp != 0 {
			setMark(c, dscp)
		}
		return peerconn.Control(network, address, c)
	}
}

// mark makes an accepted connection send with a DSCP: those of IPv6 do not take
// it over from their listener.
func mark(c net.Conn, dscp int) {
	if tcp, ok := c.(*net.TCPConn); ok && dscp != 0 {
		if raw, err := tcp.SyscallConn(); err == nil {
			setMark(raw, dscp)
		}
	}
}

// setMark sets both families' options: which of them counts depends on the
// packets, and a socket that has no use for one refuses it. A refusal costs the
// mark and nothing else.
func setMark(c syscall.RawConn, dscp int) {
	_ = c.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_TOS, dscp<<2)
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_TCLASS, dscp<<2)
	})
}
