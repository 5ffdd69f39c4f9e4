package release

import (
	"context"
	"os"
	"time"

	"shoal/internal/filelock"
)

// lock is an open file or folder that this process has locked.
type lock struct{ f *os.File }

func (l *lock) release() { _ = filelock.Close(l.f) } // nothing was written through it

// takeLock locks what name leads to below root. It waits at most patience for
// another process, and then says which one that is.
func takeLock(ctx context.Context, root *os.Root, name string, flag int, patience time.Duration) (*lock, error) {
	f, err := root.OpenFile(name, flag, 0o600)
	if err != nil {
		return nil, err
	}
	if err := filelock.TakeWithin(ctx, f, patience); err != nil {
		_ = f.Close() // nothing was written
		return nil, err
	}
	return &lock{f}, nil
}
