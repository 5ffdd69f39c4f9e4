// Package filelock lets one process at a time work on what a file or a folder stands for. A lock is an flock(2): advisory,
// of the open file and not of its name, and given back by the kernel when a process ends in any way.
package filelock

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"os"
	"time"

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
func Take(f *os.File) error { return told(f, flock(f, unix.LOCK_EX|unix.LOCK_NB)) }

// poll is how often a lock that is taken is tried again.
const poll = 20 * time.Millisecond

// TakeWithin is Take that waits for another process, at most for patience or until ctx ends, whose cause it then gives.
func TakeWithin(ctx context.Context, f *os.File, patience time.Duration) error {
	for end := time.Now().Add(patience); ; {
		err := flock(f, unix.LOCK_EX|unix.LOCK_NB)
		if !errors.Is(err, unix.EWOULDBLOCK) || time.Now().After(end) {
			return told(f, err)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(poll):
		}
	}
}

// told is the error of Take.
func told(f *os.File, err error) error {
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
