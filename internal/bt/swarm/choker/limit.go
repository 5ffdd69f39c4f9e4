package choker

import "time"

// limit is how many peers may send or be sent to at a time, one or more, by how long
// pieces take. The zero value is ready.
type limit struct {
	more int           // beyond one
	took time.Duration // what a piece takes, smoothed
	came int           // pieces since the last change
}

// Most is the limit.
func (l *limit) Most() int { return 1 + l.more }

// Came notes that a piece has come to whom it was sent, and took so long.
func (l *limit) Came(took time.Duration) {
	if l.took == 0 {
		l.took = took
	}
	l.took += (took - l.took) / 4
	l.came++
}

// step raises the limit while pieces take less than room, if there is somebody to
// raise it for, and lowers it when they take more than crowd; at most once for as
// many pieces as may be on their way.
func (l *limit) step(room, crowd time.Duration, raise bool) {
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
	l.came = 0
}
