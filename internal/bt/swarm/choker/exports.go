package choker

import "time"

// Exports is how many peers of other sites a host serves at a time. Its neighbours
// serve others over the same link, which few pieces at a time keep full: more only
// make each take longer, and until it is there nobody can pass it on. How many are
// on the link is not known, but how long they take is. The zero value is ready.
type Exports struct{ limit }

// While a piece takes less than longExport, the gaps between two are what counts, and
// more at a time fill them; from tooLongExport on they do not.
const (
	longExport    = time.Second
	tooLongExport = 2 * time.Second
)

// Step changes the limit. crowded: more peers than the limit wait; ways is how many
// sites there are.
func (e *Exports) Step(now time.Time, crowded bool, ways int) {
	e.step(now, longExport, tooLongExport, crowded && e.Most() < ways)
}
