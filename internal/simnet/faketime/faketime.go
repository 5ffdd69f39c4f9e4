// Package faketime runs a function in fake time outside of tests, for
// `shoal simulate`: package time works as ever, but an hour passes as soon as
// everybody inside waits for it.
//
// It is testing/synctest, which wants a test: an empty one serves, since
// synctest takes nothing from it but its (missing) name and outcome. The test
// of this package runs a program that is no test, so that a release of Go
// which wants more is noticed. Inside of tests use synctest itself.
package faketime

import (
	"testing"
	"testing/synctest"
)

// Run calls f in fake time. Before f returns it must have waited for every
// goroutine that it started: time stands still then, and Run panics if one is
// left that waits. It also panics if everybody inside waits for something
// that cannot happen. Channels, timers and wait groups made inside must not be
// used outside, nor those from outside inside; Run inside of Run is not
// possible.
func Run(f func()) {
	synctest.Test(&testing.T{}, func(*testing.T) { f() })
}
