package node

import (
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// mark returns what makes a socket send with a DSCP (RFC 2474), for a dialer or
// a listener, whose accepted sockets inherit it. A system that refuses costs the
// mark and nothing else.
func mark(dscp int) func(network, address string, c syscall.RawConn) error {
	if dscp == 0 {
		return nil
	}
	return func(network, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) {
			_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_TOS, dscp<<2) // IPv4, also in an IPv6 socket
			if strings.HasSuffix(network, "6") {
				_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_TCLASS, dscp<<2)
			}
		})
	}
}
