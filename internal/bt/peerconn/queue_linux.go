package peerconn

import (
	"time"

	"golang.org/x/sys/unix"
)

// Queue is how long our packets to this peer wait in the network: what the
// smoothed round trip is above the shortest one. It is 0 when nothing was sent
// lately or the kernel does not say.
func (c *Conn) Queue() (wait time.Duration) {
	if c.kernel == nil {
		return 0
	}
	_ = c.kernel.control(func(fd int) error {
		info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
		if err == nil && info.Last_data_sent < 1000 && info.Min_rtt > 0 && info.Rtt > info.Min_rtt {
			wait = time.Duration(info.Rtt-info.Min_rtt) * time.Microsecond
		}
		return err
	})
	return wait
}
