//go:build !linux

package peerconn

import "time"

// Queue is not known on this system.
func (c *Conn) Queue() (wait time.Duration) { return 0 }
