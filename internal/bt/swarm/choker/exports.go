package choker

import "time"

// Exports is how many peers of other sites a host serves at a time. Its neighbours
// serve others over the same link, which few pieces at a time keep full: more only
// make each take longer, and until it is there nobody can pass it on. How many are
// on the link is not known, but how long they take is. The zero value is ready.
type Exports struct {
	more int           // beyond one
	took time.Duration // what a piece takes, smoothed
	came int           // pieces since the last change
}

// While a piece takes less than longExport, the gaps between two are what counts, and
// more at a time fill them; from tooLongExport on they do not.
const (
	longExport    = time.Second
	tooLongExport = 2 * time.Second
)

// Most is the limit.
func (e *Exports) Most() int { return 1 + e.more }

// Came notes that a piece has come to who was served, and took so long.
func (e *Exports) Came(took time.Duration) {
	if e.took == 0 {
		e.took = took
	}
	e.took += (took - e.took) / 4
	e.came++
}

// Step changes the limit, at most once for as many pieces as may be on their way.
// crowded: more peers than the limit wait; ways is how many sites there are.
func (e *Exports) Step(crowded bool, ways int) {
	if e.came < e.Most() {
		return
	}
	switch {
	case e.took > tooLongExport && e.more > 0:
		e.more--
	case e.took < longExport && crowded && e.Most() < ways:
		e.more++
	default:
		return
	}
	e.came = 0
}
