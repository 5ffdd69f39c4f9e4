package storage

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"
)

// ErrNoSpace is in the chain of every error that says that the disk or a quota
// is full. The caller may pause, WaitSpace, and try again.
var ErrNoSpace = errors.New("no space left")

// Conflict is one entry that stands where the torrent's content belongs.
type Conflict struct {
	Path   string // below the destination folder
	Reason string // what it is and why it cannot be used
}

// ConflictError lists what is in the way. Nothing was changed.
type ConflictError struct {
	Dir       string // destination folder
	Conflicts []Conflict
}

// shownConflicts is how many names an error message carries.
const shownConflicts = 5

func (e *ConflictError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "storage: in the way in %s: ", e.Dir)
	for i, c := range e.Conflicts {
		if i == shownConflicts {
			fmt.Fprintf(&b, "; and %d more", len(e.Conflicts)-i)
			break
		}
		if i > 0 {
			b.WriteString("; ")
		}
		fmt.Fprintf(&b, "%q %s", c.Path, c.Reason)
	}
	b.WriteString(" (move it away, use another --dir, or --overwrite to replace it)")
	return b.String()
}

// SpaceError says that the content cannot fit. It is an ErrNoSpace.
type SpaceError struct {
	Dir          string
	Needed, Free int64 // bytes still to be stored, bytes that the file system offers
}

func (e *SpaceError) Error() string {
	return fmt.Sprintf("storage: %v in %s: %s more needed, %s free; make room or use another --dir",
		ErrNoSpace, e.Dir, humanBytes(e.Needed), humanBytes(e.Free))
}

// Is makes errors.Is(err, ErrNoSpace) true.
func (e *SpaceError) Is(target error) bool { return target == ErrNoSpace }

// humanBytes prints a size with three digits and a decimal unit.
func humanBytes(n int64) string {
	value, unit := float64(n), 0
	units := [...]string{"bytes", "kB", "MB", "GB", "TB", "PB", "EB"}
	for value >= 999.5 && unit < len(units)-1 {
		value /= 1000
		unit++
	}
	if unit == 0 {
		return fmt.Sprintf("%d bytes", n)
	}
	return fmt.Sprintf("%.3g %s", value, units[unit])
}

// fault says which operation failed on which entry and why, and marks a full
// disk. The path in a fs.PathError is one element under a folder handle, which
// helps nobody, so only its cause is kept.
func fault(op, path string, err error) error {
	err = cause(err)
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("storage: %s %s: %w (%w)", op, path, ErrNoSpace, err)
	}
	return fmt.Errorf("storage: %s %s: %w", op, path, err)
}

// cause strips the path and the operation from an error of package os.
func cause(err error) error {
	switch e := err.(type) {
	case *fs.PathError:
		return e.Err
	case *os.LinkError:
		return e.Err
	}
	return err
}
