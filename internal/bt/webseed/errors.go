package webseed

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// Error is a failed fetch.
type Error struct {
	URL       string        // of the file, without a password
	File      int           // index into Info.Files
	Permanent bool          // the server does not have this file as the release has it: do not ask it again
	After     time.Duration // otherwise: what the server asked us to wait; 0 if it did not say
	Err       error
}

func (e *Error) Error() string {
	if e.Permanent {
		return fmt.Sprintf("web seed %s cannot be used: %v", e.URL, e.Err)
	}
	return fmt.Sprintf("web seed %s failed: %v", e.URL, e.Err)
}

// Unwrap is the cause.
func (e *Error) Unwrap() error { return e.Err }

// Permanent reports whether err says that trying again is of no use.
func Permanent(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Permanent
}

// Causes that an Error may wrap.
var (
	ErrStalled = errors.New("no bytes came for too long")
	ErrRange   = errors.New("the server does not serve ranges")
	ErrSize    = errors.New("the file there has another size")
	ErrEncoded = errors.New("the server sends encoded content though asked not to")
	ErrShort   = errors.New("the answer ended early")
)

// StatusError is an HTTP status that is no content.
type StatusError int

func (s StatusError) Error() string {
	return fmt.Sprintf("HTTP status %d %s", int(s), http.StatusText(int(s)))
}

// lasting tells the statuses that will be the same next time.
func (s StatusError) lasting() bool {
	switch int(s) {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return false
	case http.StatusNotImplemented, http.StatusHTTPVersionNotSupported:
		return true
	}
	return s < 500
}

// maxRetryAfter bounds what a server may ask us to wait.
const maxRetryAfter = time.Hour

// retryAfter reads the header of that name, seconds or a date.
func retryAfter(h http.Header, now time.Time) time.Duration {
	text := h.Get("Retry-After")
	if n, err := strconv.ParseUint(text, 10, 31); err == nil {
		return min(time.Duration(n)*time.Second, maxRetryAfter)
	}
	at, err := http.ParseTime(text)
	if err != nil {
		return 0
	}
	return min(max(at.Sub(now), 0), maxRetryAfter)
}
