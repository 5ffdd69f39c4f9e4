package storage

import (
	"context"
	"fmt"
	"log/slog"
	"time"
)

// CachePolicy says what happens to the page cache behind our reads and writes.
type CachePolicy uint8

const (
	// Keep leaves pages to the kernel.
	Keep CachePolicy = iota
	// Drop keeps no more than Options.Window bytes of pages that we brought in.
	Drop
)

func (c CachePolicy) String() string {
	switch c {
	case Keep:
		return "keep"
	case Drop:
		return "drop"
	}
	return fmt.Sprintf("cache policy %d", uint8(c))
}

// ParseCachePolicy reads what String prints.
func ParseCachePolicy(s string) (CachePolicy, error) {
	for _, c := range []CachePolicy{Keep, Drop} {
		if c.String() == s {
			return c, nil
		}
	}
	return 0, fmt.Errorf("cache policy %q: want keep or drop", s)
}

// Options are a Disk's choices. The zero value fetches everything, overwrites
// nothing and keeps the resume record beside the content.
type Options struct {
	// ReadOnly is for seeding: files are opened for reading alone, and nothing
	// is created or changed. A resume record is used if there is one, and
	// written only if ResumeDir is set.
	ReadOnly bool
	// Sample lets Check with ReadOnly believe content whose files have the right
	// lengths after hashing only a few random pieces of what no record knows.
	Sample bool
	// Overwrite lets entries that are in the way be replaced; see the package
	// comment.
	Overwrite bool
	// AllowOutsideLinks creates symbolic links that lead out of the tree;
	// without it a torrent that has one is refused.
	AllowOutsideLinks bool
	// Sparse reserves no space and does not ask for free space: files grow as
	// they are written.
	Sparse bool
	// As is what the content is called in the destination folder; "" is the
	// torrent's own name.
	As string
	// Select tells whether to fetch the file (or link) of this index in
	// Info.Files; nil fetches all.
	Select func(file int) bool
	// Cache is what to do about the page cache, Window the bytes that Drop
	// leaves in it (0: 208 MiB, which with what is on its way is less than 256).
	Cache  CachePolicy
	Window int64
	// ResumeDir is a folder for the resume record; "" puts it beside the content
	// as ".NAME.HASH.shoal".
	ResumeDir string
	// SyncEvery is how often written data is made durable in the background, so
	// that a power loss costs no more than that much re-hashing (0: 30 s).
	SyncEvery time.Duration
	// OpenFiles bounds the descriptors that are kept open (0: 512, or a quarter
	// of the process limit if that is less).
	OpenFiles int
	// Threads is the number of pieces that Check and Verify hash at a time
	// (0: one a core).
	Threads int
	// Pace is asked before so many bytes are read to be hashed, and may wait: it
	// keeps a check in the background out of the way of other work. nil never
	// waits.
	Pace func(ctx context.Context, bytes int) error
	// Log gets what is worth knowing and is no error; nil is silent.
	Log *slog.Logger
}

const (
	defaultWindow    = 208 << 20 // with what is in flight, less than 256 MiB
	defaultSyncEvery = 30 * time.Second
	defaultOpenFiles = 512
)
