package choker

import "time"

// limit is how many peers may send or be sent to at a time, one or more, by how long
// pieces take. The zero value is ready.
type limit struct {
	more    int           // beyond one
	changed time.Time     // when it was changed last
	took    time.Duration // what a piece that was begun since then takes, smoothed
	came    int           // such pieces
}

// Most is the limit.
func (l *limit) Most() int { return 1 + l.more }

// Came notes that a piece has come now to whom it was sent, and took so long. One
// that was begun before the last change tells nothing of it: with those counted, all
// neighbours would lower their limits for as long as what is under way takes to
// come, far below what fills the link, and raise them as far above it again.
func (l *limit) Came(now time.Time, took time.Duration) {
	if now.Add(-took).Before(l.changed) {
		return
	}
	if l.came == 0 {
		l.took = took
	}
	l.took += (took - l.took) / 4
	l.came++
}

// step raises the limit while pieces take less than room, if there is somebody to
// raise it for, and lowers it when they take more than crowd; at most once for as
// many pieces as may be on their way.
func (l *limit) step(now time.Time, room, crowd time.Duration, raise bool) {
	if l.came < l.Most() {
		return
	}
	switch {
	case l.took > crowd && l.more > 0:
		l.more--
	case l.took < room && raise:
		l.more++
	default:
		return
	}
	l.came, l.changed = 0, now
}
