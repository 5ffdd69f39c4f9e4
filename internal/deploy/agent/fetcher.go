package agent

import (
	"errors"
	"fmt"
	"io/fs"

	"golang.org/x/sys/unix"

	"shoal"
	"shoal/internal/bt/metainfo"
	"shoal/internal/deploy/release"
	"shoal/internal/quantity"
)

// Fetcher moves bytes between this host and others.
type Fetcher interface {
	// Content is how one release comes in. Its Fetch goes on for as long as its
	// context does, whoever can be reached: an error is one that trying again
	// at once does not mend. One for lack of room is an ErrNoSpace.
	Content(app, version string) release.Content
	// Seed serves these releases to whoever asks, and none but these, from
	// where they lie. It does not wait.
	Seed(held []Held)
	// Hold moves no byte of these apps, in either direction, until it is called
	// again without them; with all, of no app. It does not wait.
	Hold(apps []string, all bool)
	// Progress is how far the fetch of a release is: Done, Total, Rate, Peers
	// and Cause.
	Progress(app, version string) shoal.Work
}

// Held is a release that is whole on this host.
type Held struct {
	App, Version string
	At           release.Place
	Meta         *metainfo.Metafile
}

// ErrNoSpace is in the chain of an error that says that the disk is too full.
var ErrNoSpace = errors.New("no space left")

// RoomError is an ErrNoSpace of which it is known how much would do.
type RoomError struct {
	Need, Free int64 // bytes
	Dir        string
}

func (e *RoomError) Error() string {
	return fmt.Sprintf("%v in %s: %s needed, %s free", ErrNoSpace, e.Dir, quantity.FormatBytes(e.Need), quantity.FormatBytes(e.Free))
}

// Unwrap is the kind.
func (e *RoomError) Unwrap() error { return ErrNoSpace }

// causeOf is what an error of the system comes from, if an operator can mend it.
func causeOf(err error) shoal.Cause {
	switch {
	case errors.Is(err, ErrNoSpace), errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		return shoal.CauseNoSpace
	case errors.Is(err, fs.ErrPermission), errors.Is(err, unix.EROFS):
		return shoal.CauseNoAccess
	}
	return shoal.CauseNone
}
