//go:build !linux

package release

import "time"

// thisMoment is the host's clock where no other is at hand.
func thisMoment() Moment { return Moment{At: time.Now().UnixNano()} }
