package limit

import (
	"time"

	"shoal/internal/topology"
)

// Use is what went over a link in the current period of its budget, in bytes
// each way. The zero value begins with the first Add.
type Use struct {
	Since    time.Time // the beginning of the period
	Up, Down int64
	told     bool
}

// Add counts bytes that went over a link by now. It tells true once in a period:
// when either direction has passed the budget.
func (u *Use) Add(b topology.Budget, up, down int64, now time.Time) (passed bool) {
	if begin := b.Period(now); !begin.Equal(u.Since) {
		*u = Use{Since: begin}
	}
	u.Up, u.Down = u.Up+up, u.Down+down
	passed = b.Bytes > 0 && max(u.Up, u.Down) > b.Bytes && !u.told
	u.told = u.told || passed
	return passed
}
