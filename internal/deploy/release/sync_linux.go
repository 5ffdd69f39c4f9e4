package release

import (
	"os"

	"golang.org/x/sys/unix"
)

// syncTree makes all that lies below dir durable. One call for the file system
// does it however many files there are; since Linux 5.8 it also tells if
// something could not be written.
func syncTree(root *os.Root, dir string) error {
	f, err := root.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.Syncfs(int(f.Fd())); err != nil {
		return &os.PathError{Op: "sync", Path: dir, Err: err}
	}
	return nil
}
