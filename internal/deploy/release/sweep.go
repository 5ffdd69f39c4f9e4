package release

import (
	"cmp"
	"slices"
	"time"
)

// Policy says what may be removed.
type Policy struct {
	Keep  int           // good releases that stay, the current one among them; at least 1
	Quota int64         // bytes that all releases of the app may take; 0: no limit
	Grace time.Duration // how long a release stays after it was the current one: its readers may not have noticed
	Pins  []string      // versions that stay whatever else is said
}

// Removal is a release that is removed, and why.
type Removal struct {
	Version string `json:"version"`
	Bytes   int64  `json:"bytes"`
	Why     string `json:"why"`
}

// sweep decides what to remove. Never the current release, the one that a
// rollback goes to, one that waits to be activated or is still being fetched,
// nor one whose grace is not over. Beyond that failed releases go, those that
// were passed over, and good ones beyond Keep; if all that is not enough for
// the quota, then good ones within Keep, the oldest first. over is by how many
// bytes the quota is exceeded all the same.
func sweep(r *record, p Policy, now Moment) (out []Removal, over int64) {
	var total int64
	newest := currentAge(r)
	good := 0
	var spare []Release // good ones within Keep, which only the quota may take
	byAge := slices.Clone(r.Releases)
	slices.SortFunc(byAge, func(a, b Release) int { // the last one that was in use first
		return cmp.Or(cmp.Compare(b.Activated, a.Activated), cmp.Compare(b.Added, a.Added))
	})
	remove := func(e Release, why string) {
		out = append(out, Removal{e.Version, e.Bytes, why})
		total -= e.Bytes
	}
	for _, e := range byAge {
		total += e.Bytes
		if e.State == Good {
			good++
		}
		if pinned(r, e, p, now) {
			continue
		}
		switch {
		case e.State == Failed:
			remove(e, "it failed")
		case e.State == Staged && e.Added < newest:
			remove(e, "a later release was activated instead")
		case e.State == Good && good > max(p.Keep, 1):
			remove(e, "more good releases than are kept")
		case e.State == Good:
			spare = append(spare, e)
		}
	}
	for i := len(spare) - 1; i >= 0 && p.Quota > 0 && total > p.Quota; i-- {
		remove(spare[i], "the quota is exceeded")
	}
	if p.Quota > 0 {
		over = max(total-p.Quota, 0)
	}
	return out, over
}

// currentAge is when the current release came.
func currentAge(r *record) uint64 {
	if e := r.find(r.Current); e != nil {
		return e.Added
	}
	return 0
}

func pinned(r *record, e Release, p Policy, now Moment) bool {
	return e.Version == r.Current || e.Version == r.previous() || slices.Contains(p.Pins, e.Version) ||
		e.State == Staging || e.State == Active || e.Left != nil && now.since(*e.Left) < p.Grace
}
