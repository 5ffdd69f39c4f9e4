// Package diskfree tells how much a file system still takes: each kind of Unix has its own call for that.
package diskfree

import (
	"errors"

	"golang.org/x/sys/unix"
)

// Of is how many bytes a user without privileges can still write to the file system that fd lies in.
func Of(fd int) (int64, error) {
	for {
		blocks, size, err := blocks(fd)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		return int64(min(blocks, 1<<62/max(size, 1)) * size), err
	}
}
