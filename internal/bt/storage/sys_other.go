//go:build unix && !linux

package storage

import (
	"errors"

	"golang.org/x/sys/unix"
)

// The portable fallbacks: correct, but with neither preallocation nor advice to
// the page cache.

func reserve(int, int64, int64) error { return errors.ErrUnsupported }

func inMemory(int) bool { return false }

func dataAt(_ int, off, _ int64) int64 { return off }

func dataBytes(int, int64) int64 { return 0 }

func syncVolume(int) error { return errors.ErrUnsupported }

func syncData(fd int) error { return unix.Fsync(fd) }

func mountID(int) uint64 { return 0 }

// bootID is unknown here, so that only synced pieces are trusted after a crash.
func bootID() (id [16]byte) { return id }

func readUncached(int, []byte, int64) (int, error) { return 0, errors.ErrUnsupported }

func startWriteback(int, int64, int64) {}

func dropPages(int, int64, int64) {}

func cached(int, int64, int64) bool { return false }

func noReadAhead(int) {}

func willRead(int, int64, int64) {}
