package build

import (
	"os"

	"golang.org/x/sys/unix"
)

// adviseAhead asks the kernel to begin to read a range that will be needed
// soon. It is advice: nothing hangs on it.
func adviseAhead(f *os.File, off, n int64) {
	conn, err := f.SyscallConn()
	if err != nil {
		return
	}
	_ = conn.Control(func(fd uintptr) {
		_ = unix.Fadvise(int(fd), off, n, unix.FADV_WILLNEED)
	})
}
