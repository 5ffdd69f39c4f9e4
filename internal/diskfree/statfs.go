//go:build linux || darwin || freebsd || dragonfly

package diskfree

import "golang.org/x/sys/unix"

func blocks(fd int) (free, size uint64, err error) {
	var st unix.Statfs_t
	err = unix.Fstatfs(fd, &st)
	return uint64(max(st.Bavail, 0)), uint64(st.Bsize), err // below 0: what is left is reserved for root (BSD)
}
