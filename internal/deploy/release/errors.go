package release

import (
	"errors"
	"fmt"
)

// Kinds of refusal, one of which is in the chain of every Error.
var (
	ErrName     = errors.New("bad name")             // what was given cannot name an app or a release
	ErrNotFound = errors.New("not found")            // no such root, app or release
	ErrBusy     = errors.New("in use")               // another process is at it
	ErrRefused  = errors.New("refused")              // it would lose something, or makes no sense now
	ErrDamaged  = errors.New("content is not whole") // a release lacks files or bytes
)

// Error is a refusal that an operator can do something about.
type Error struct {
	kind error
	text string
	hint string
}

func (e *Error) Error() string { return e.text }

// Unwrap is the kind.
func (e *Error) Unwrap() error { return e.kind }

// Hint is what the operator can do.
func (e *Error) Hint() string { return e.hint }

func refuse(kind error, hint, format string, args ...any) error {
	return &Error{kind, fmt.Sprintf(format, args...), hint}
}
