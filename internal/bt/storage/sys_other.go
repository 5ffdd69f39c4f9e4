//go:build unix && !linux

package storage

import (
	"errors"
	"math"

	"golang.org/x/sys/unix"
)

// The portable fallbacks: correct, but with neither preallocation nor advice to
// the page cache. sys_bsd.go has what those systems offer on top.

func reserve(int, int64, int64) error { return errors.ErrUnsupported }

func volume(fd int) (volumeInfo, error) {
	free, ok := freeSpace(fd)
	if !ok {
		free = math.MaxInt64
	}
	return volumeInfo{free: free}, nil
}

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
