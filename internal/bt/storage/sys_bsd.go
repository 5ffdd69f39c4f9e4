//go:build darwin || freebsd || dragonfly

package storage

import (
	"errors"

	"golang.org/x/sys/unix"
)

func freeSpace(fd int) (int64, bool) {
	var st unix.Statfs_t
	if err := unix.Fstatfs(fd, &st); err != nil {
		return 0, false
	}
	return int64(st.Bavail) * int64(st.Bsize), true
}

func lock(fd int) error {
	err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return ErrBusy
	}
	if errors.Is(err, unix.EOPNOTSUPP) {
		return nil
	}
	return err
}

func unlock(fd int) { _ = unix.Flock(fd, unix.LOCK_UN) } // cannot fail on a lock that we hold
