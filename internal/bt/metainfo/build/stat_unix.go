//go:build unix

package build

import (
	"os"
	"syscall"
)

// openFlags keep an open from following a link, and from waiting at a FIFO,
// that took the place of a file since the walk.
const openFlags = os.O_RDONLY | syscall.O_NOFOLLOW | syscall.O_NONBLOCK

// inodeOf is the file's identity in its file system, 0 if unknown.
func inodeOf(info os.FileInfo) uint64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return uint64(st.Ino)
	}
	return 0
}
