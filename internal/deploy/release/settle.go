package release

import (
	"slices"
	"strings"
	"time"
)

// seen is what the disk says, however the last process ended.
type seen struct {
	target string   // what the link points to, "" if there is none
	whole  []string // folders below releases/ that have a version's own name
}

// current is the version that the link names, "" if it names none of ours.
func (s seen) current() string {
	v, ok := strings.CutPrefix(s.target, releaseDir+"/")
	if !ok || checkVersion(v) != nil {
		return ""
	}
	return v
}

// settle brings a record in line with the disk, and tells whether it changed.
// Every change of state is one rename on disk with the record written before
// and after, so whatever of that was cut off is put right here:
//
//   - a folder with its own name is a whole release, so staging ends with it;
//   - a release without a folder is gone, unless it is being fetched;
//   - a switch happened if the link says so, and else it did not;
//   - a link that somebody moved by hand is believed.
func (r *record) settle(s seen, now time.Time, at Moment) (changed bool) {
	changed = len(r.Releases) > 0 && r.settleFolders(s, now)
	was, is := r.Current, s.current()
	if r.find(is) == nil {
		is = ""
	}
	begun := r.Switch
	r.Switch, r.Current = nil, is
	if was == is {
		return changed || begun != nil
	}
	left := Staged
	if begun != nil && begun.To == is {
		left = begun.Verdict
	}
	if e := r.find(was); e != nil {
		e.Left = &at
		// Moved by hand, it keeps what was known of it.
		if begun != nil && begun.To == is || e.State == Active {
			e.State = left
		}
	}
	if e := r.find(is); e != nil {
		if e.State != Good {
			e.State = Active
		}
		e.Activated, e.ActivatedAt, e.Left = r.tick(), now, nil
	}
	return true
}

func (r *record) settleFolders(s seen, now time.Time) (changed bool) {
	r.Releases = slices.DeleteFunc(r.Releases, func(e Release) bool {
		gone := e.State != Staging && !slices.Contains(s.whole, e.Version)
		changed = changed || gone
		return gone
	})
	for i := range r.Releases {
		if e := &r.Releases[i]; e.State == Staging && slices.Contains(s.whole, e.Version) {
			e.State, e.StagedAt, changed = Staged, now, true
		}
	}
	return changed
}

// previous is the version that a rollback goes to: of the good ones the one
// that was current last. "" if there is none.
func (r *record) previous() string {
	var best *Release
	for i := range r.Releases {
		e := &r.Releases[i]
		if e.State == Good && e.Version != r.Current && (best == nil || e.Activated > best.Activated) {
			best = e
		}
	}
	if best == nil {
		return ""
	}
	return best.Version
}
