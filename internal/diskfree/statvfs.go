//go:build netbsd || solaris || illumos

package diskfree

import "golang.org/x/sys/unix"

func blocks(fd int) (free, size uint64, err error) {
	var st unix.Statvfs_t
	err = unix.Fstatvfs(fd, &st)
	return uint64(st.Bavail), uint64(st.Frsize), err
}
