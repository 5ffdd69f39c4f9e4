//go:build !linux

package tracker

import "syscall"

// udpSockets: elsewhere SO_REUSEPORT does not spread the load, so one socket it is.
func udpSockets() int { return 1 }

func sharePort(string, string, syscall.RawConn) error { return nil }
