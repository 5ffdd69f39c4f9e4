package release

import "time"

// Moment is a time that nobody can set: nanoseconds since the start of the
// kernel, and which start that was. A host's clock may be an hour off or jump
// while a grace period runs; this one does not.
type Moment struct {
	Boot string `json:"boot"` // names the boot; "" where it has no name
	At   int64  `json:"at"`   // ns
}

// since is how much time has passed at least. What happened before the last
// boot is as old as the boot: that is all that is certain.
func (m Moment) since(then Moment) time.Duration {
	if m.Boot != then.Boot {
		return time.Duration(max(m.At, 0))
	}
	return time.Duration(max(m.At-then.At, 0))
}
