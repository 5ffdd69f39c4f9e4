package release

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// lock is an flock(2) on an open file or folder.
type lock struct{ f *os.File }

// release gives the lock back by name: closing alone would leave it with a child
// that was forked meanwhile, until that one has closed what it inherited.
func (l *lock) release() {
	_ = unix.Flock(int(l.f.Fd()), unix.LOCK_UN) // cannot fail on a lock that we hold
	_ = l.f.Close()                             // nothing was written through it
}

// lockPoll is how often a lock that is taken is tried again.
const lockPoll = 20 * time.Millisecond

// takeLock locks what name leads to below root. It waits at most patience for
// another process, and then says which one that is.
func takeLock(ctx context.Context, root *os.Root, name string, flag int, patience time.Duration) (*lock, error) {
	f, err := root.OpenFile(name, flag, 0o600)
	if err != nil {
		return nil, err
	}
	for end := time.Now().Add(patience); ; {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case err == nil:
			return &lock{f}, nil
		case errors.Is(err, unix.EINTR):
			continue
		case !errors.Is(err, unix.EWOULDBLOCK):
			_ = f.Close() // nothing was written
			return nil, &fs.PathError{Op: "lock", Path: name, Err: err}
		case time.Now().After(end):
			holder := holderOf(f)
			_ = f.Close() // nothing was written
			return nil, &held{holder}
		}
		select {
		case <-ctx.Done():
			_ = f.Close() // nothing was written
			return nil, context.Cause(ctx)
		case <-time.After(lockPoll):
		}
	}
}

// held says that another process holds a lock.
type held struct{ by string }

func (h *held) Error() string { return h.by }

// heldBy is the process that err says to hold a lock.
func heldBy(err error) (string, bool) {
	var h *held
	if errors.As(err, &h) {
		return h.by, true
	}
	return "", false
}

const someone = "another process"
