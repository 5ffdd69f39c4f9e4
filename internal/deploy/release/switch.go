package release

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"time"

	"shoal/internal/atomicfile"
)

// nextLink is the link that is about to become current.
const nextLink = ".current.new"

// Activate makes a release the current one. replaced is what becomes of the one
// that was: Good if it works and may be rolled back to, Failed if it does not,
// Staged if nobody knows. A release that has failed is refused unless again.
func (a *App) Activate(ctx context.Context, version string, replaced State, again bool) (Listing, error) {
	if err := checkVersion(version); err != nil {
		return Listing{}, err
	}
	if !verdict(replaced) {
		return Listing{}, refuse(ErrRefused, "", "a release that is replaced cannot become %s", replaced)
	}
	var l Listing
	err := a.edit(ctx, func(rec *record, s seen) error {
		e := rec.find(version)
		switch {
		case e == nil || e.State == Staging:
			return a.notStaged(e, version)
		case e.State == Failed && !again:
			return refuse(ErrRefused, "--again does it all the same", "%s@%s has failed before", a.name, version)
		}
		return a.swap(rec, s, version, replaced, &l)
	})
	return l, err
}

// Rollback goes back to the release that was good last, and marks the current
// one as failed. It moves no byte.
func (a *App) Rollback(ctx context.Context) (Listing, error) {
	var l Listing
	err := a.edit(ctx, func(rec *record, s seen) error {
		to := rec.previous()
		if to == "" {
			return refuse(ErrNotFound, "`shoal release list` shows what there is, `shoal release activate VERSION` switches to it",
				"%s has no good release to go back to", a.name)
		}
		return a.swap(rec, s, to, Failed, &l)
	})
	return l, err
}

// Mark says whether a release that was in use works.
func (a *App) Mark(ctx context.Context, version string, verdict State) (Listing, error) {
	if err := checkVersion(version); err != nil {
		return Listing{}, err
	}
	if verdict != Good && verdict != Failed {
		return Listing{}, refuse(ErrRefused, "", "a release cannot be marked as %s, only as good or failed", verdict)
	}
	var l Listing
	err := a.edit(ctx, func(rec *record, s seen) error {
		e := rec.find(version)
		switch {
		case e == nil || e.State == Staging:
			return a.notStaged(e, version)
		case e.Activated == 0 && verdict == Good:
			return refuse(ErrRefused, "activate it first", "%s@%s was never in use, so nobody knows whether it is good", a.name, version)
		}
		e.State = verdict
		l = a.listing(rec, s)
		return a.save(rec)
	})
	return l, err
}

func (a *App) notStaged(e *Release, version string) error {
	if e == nil {
		return refuse(ErrNotFound, "`shoal release list` shows what there is", "there is no release %s@%s here", a.name, version)
	}
	return refuse(ErrRefused, "`shoal release stage` with the same arguments goes on with it", "%s@%s is not complete yet", a.name, version)
}

// swap points the link at another release, in three steps that a crash may
// part: the record says what is about to happen, the link is replaced by
// rename(2), the record says that it happened. A reader that resolves the link
// sees the old release or the new one at every moment.
func (a *App) swap(rec *record, s seen, to string, replaced State, l *Listing) error {
	if rec.Current == to {
		if e := rec.find(to); e.State == Failed { // one more try
			e.State = Active
		}
		*l = a.listing(rec, s)
		return a.save(rec)
	}
	if err := a.ownLink(rec, s); err != nil {
		return err
	}
	if meta, err := a.metafile(rec.find(to)); err != nil {
		// The release may be fine: not to switch could be worse.
		a.o.Log.Warn("cannot tell whether the release is whole", "app", a.name, "version", to, "err", err)
	} else if err := a.whole(releasePath(to), meta.Info); err != nil {
		return err
	}
	rec.Switch = &change{From: rec.Current, To: to, Verdict: replaced}
	if err := a.save(rec); err != nil {
		return err
	}
	if err := a.point(releasePath(to)); err != nil {
		return err
	}
	s.target = filepath.ToSlash(releasePath(to))
	rec.settle(s, time.Now(), thisMoment())
	*l = a.listing(rec, s)
	return a.save(rec)
}

// ownLink refuses to replace what somebody else put in the link's place.
func (a *App) ownLink(rec *record, s seen) error {
	if s.target == "" || rec.Current != "" {
		return nil
	}
	path := filepath.Join(a.dir, linkName)
	if v := s.current(); v != "" && rec.find(v) == nil {
		if _, err := a.root.Lstat(releasePath(v)); errors.Is(err, fs.ErrNotExist) {
			return nil // it dangles, so nothing is lost
		}
	}
	return refuse(ErrRefused, "move it away, or point it at a release of shoal yourself: ln -s releases/VERSION x && mv -T x current",
		"%s leads to %s, which shoal did not make", path, s.target)
}

// point replaces the link. The new link is durable before it gets the name.
func (a *App) point(target string) error {
	err := a.root.Symlink(target, nextLink)
	if errors.Is(err, fs.ErrExist) { // of a switch that was cut off
		if err = a.root.Remove(nextLink); err == nil {
			err = a.root.Symlink(target, nextLink)
		}
	}
	if err != nil {
		return a.fault("make the link", err)
	}
	if err := atomicfile.SyncDir(a.root, "."); err != nil {
		return a.fault("sync", err)
	}
	if err := a.root.Rename(nextLink, linkName); err != nil {
		return a.fault("switch the link", err)
	}
	return a.fault("sync", atomicfile.SyncDir(a.root, "."))
}
