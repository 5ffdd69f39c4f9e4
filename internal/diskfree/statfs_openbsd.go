package diskfree

import "golang.org/x/sys/unix"

func blocks(fd int) (free, size uint64, err error) {
	var st unix.Statfs_t
	err = unix.Fstatfs(fd, &st)
	return uint64(max(st.F_bavail, 0)), uint64(st.F_bsize), err // below 0: what is left is reserved for root
}
