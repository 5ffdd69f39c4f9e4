//go:build !linux

package peerconn

import "syscall"

// Control does nothing on this system.
func Control(_, _ string, _ syscall.RawConn) error { return nil }

func (s *socket) suitPath(uint32) error { return nil }
