// Package filelock lets one process at a time work on what a file or a folder stands for. A lock is an flock(2): advisory,
// of the open file and not of its name, and given back by the kernel when a process ends in any way.
package filelock

import (
	"cmp"
	"errors"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// Held is in the chain of the error that says that somebody else has the lock.
type Held struct {
	By string // "process 123 (shoal agent ...)"; empty if the system does not tell
}

func (h *Held) Error() string { return "in use by " + cmp.Or(h.By, "another process") }

// HeldBy tells whether err says that somebody else has a lock, and who.
func HeldBy(err error) (who string, ok bool) {
	var h *Held
	if !errors.As(err, &h) {
		return "", false
	}
	return cmp.Or(h.By, "another process"), true
}

// Take locks f, without waiting. If another has it the error is a *Held; on a file system without locks (some network
// ones) it is an errors.ErrUnsupported. Both are in an fs.PathError. f stays open in any case.
func Take(f *os.File) error {
	err := flock(f, unix.LOCK_EX|unix.LOCK_NB)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.EWOULDBLOCK):
		err = &Held{holderOf(f)}
	case errors.Is(err, unix.ENOLCK): // NFS without a lock daemon
		err = errors.ErrUnsupported
	}
	return &fs.PathError{Op: "lock", Path: f.Name(), Err: err}
}

// Close gives the lock on f back and closes f. Closing alone would leave the lock with a child that was forked meanwhile,
// until that one has closed what it inherited.
func Close(f *os.File) error {
	_ = flock(f, unix.LOCK_UN) // cannot fail on a lock that we hold, and does nothing without one
	return f.Close()
}

func flock(f *os.File, how int) error {
	for {
		if err := unix.Flock(int(f.Fd()), how); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
