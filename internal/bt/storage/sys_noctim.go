//go:build unix && !linux && !darwin && !freebsd && !dragonfly && !openbsd && !netbsd

package storage

import "syscall"

// changeTime is unknown here.
func changeTime(s *syscall.Stat_t) int64 { return s.Mtim.Nano() }
