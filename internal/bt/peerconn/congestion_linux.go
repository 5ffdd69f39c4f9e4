package peerconn

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// Congestion control. BBR, where the system has chosen it, is for long lines.
// Where a round trip takes microseconds its pacing, a timer for every train of
// packets, costs a third of the rate and a quarter of the CPU time, and packets
// that leave by turns from a timer and from us overtake one another. A socket
// on which it has begun once is paced for good. So sockets begin with cubic, and
// get the system's choice back when the path turns out to be a long one.
const (
	longChoice = "bbr"
	nearChoice = "cubic"
	nearPath   = 500 // microseconds of a round trip that no WAN has
)

// Control prepares a socket for New before it listens or connects, as the
// function of that name of a net.ListenConfig or net.Dialer. It always succeeds:
// what a system does not let us choose costs speed only. Any other choice than
// BBR stands, and a route can lock that too (congctl in ip-route(8)).
func Control(_, _ string, c syscall.RawConn) error {
	_ = (&socket{raw: c}).replaceCongestion(longChoice, nearChoice)
	return nil
}

// suitPath gives the system's choice back unless the peer is near: by its
// round-trip time in microseconds, 0 if that is not known.
func (s *socket) suitPath(rtt uint32) error {
	if rtt > 0 && rtt <= nearPath {
		return nil
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	choice, err := congestion(fd)
	if err != nil || choice != longChoice {
		return err
	}
	return s.replaceCongestion(nearChoice, longChoice)
}

// replaceCongestion sets another congestion control if the old one is in use.
func (s *socket) replaceCongestion(old, another string) error {
	return s.control(func(fd int) error {
		if now, err := congestion(fd); err != nil || now != old {
			return err
		}
		return unix.SetsockoptString(fd, unix.IPPROTO_TCP, unix.TCP_CONGESTION, another)
	})
}

func congestion(fd int) (string, error) {
	return unix.GetsockoptString(fd, unix.IPPROTO_TCP, unix.TCP_CONGESTION)
}
