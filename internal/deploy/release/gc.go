package release

import (
	"context"
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"shoal/internal/filelock"
	"strings"
	"time"
)

// Swept is what a GC removed, or would remove.
type Swept struct {
	Removed []Removal `json:"removed"`
	Busy    []string  `json:"busy"` // not removed because another process holds them
	Over    int64     `json:"over"` // bytes above the quota that nothing can be done about
}

// GC removes what the policy allows. Only what the store made is counted and
// removed. With dry nothing is.
func (a *App) GC(ctx context.Context, p Policy, dry bool) (Swept, error) {
	out := Swept{Removed: []Removal{}, Busy: []string{}}
	if dry {
		r, s, err := a.read()
		if err != nil {
			return out, err
		}
		r.settle(s, time.Now(), thisMoment())
		var found []Removal
		found, out.Over = sweep(r, p, thisMoment())
		out.Removed = append(out.Removed, found...)
		return out, nil
	}
	err := a.edit(ctx, func(rec *record, s seen) error {
		found, over := sweep(rec, p, thisMoment())
		out.Over = over
		for _, r := range found {
			err := a.hide(rec, r.Version)
			if _, ok := filelock.HeldBy(err); ok {
				out.Busy = append(out.Busy, r.Version)
				continue
			}
			if err != nil {
				return err
			}
			out.Removed = append(out.Removed, r)
		}
		return a.tidy(rec)
	})
	return out, errors.Join(err, a.empty(ctx))
}

// Remove removes one release, or what was fetched of it, unless it is the
// current one.
func (a *App) Remove(ctx context.Context, version string) (Removal, error) {
	out := Removal{Version: version, Why: "asked for"}
	if err := checkVersion(version); err != nil {
		return out, err
	}
	err := a.edit(ctx, func(rec *record, s seen) error {
		switch {
		case rec.find(version) == nil:
			return a.notStaged(nil, version)
		case rec.Current == version:
			return refuse(ErrRefused, "activate another release first", "%s@%s is in use", a.name, version)
		}
		out.Bytes = rec.find(version).Bytes
		err := a.hide(rec, version)
		if by, ok := filelock.HeldBy(err); ok {
			return refuse(ErrBusy, "wait until it has ended, or stop it", "%s@%s is being worked on by %s", a.name, version, by)
		}
		return err
	})
	return out, errors.Join(err, a.empty(ctx))
}

// hide takes a release out of sight and out of the record. What is left of it
// has a name that only empty looks for, and that only we give.
func (a *App) hide(rec *record, version string) error {
	from := releasePath(version)
	if rec.find(version).State == Staging {
		from = stagingPath(version)
	}
	l, err := takeLock(context.Background(), a.root, from, os.O_RDONLY, 0)
	switch {
	case errors.Is(err, fs.ErrNotExist): // staging that has not begun, or was removed by hand
	case err != nil:
		if _, ok := filelock.HeldBy(err); ok {
			return err
		}
		return a.fault("lock "+from, err)
	default:
		defer l.release()
		if err := a.rename(from, filepath.Join(releaseDir, "."+version+goneMark+rand.Text()[:8])); err != nil {
			return err
		}
	}
	rec.drop(version)
	return a.save(rec)
}

const goneMark = ".gone-"

// isGone tells whether a name below releases/ was given by hide.
func isGone(name string) bool {
	version, tail, ok := strings.Cut(strings.TrimPrefix(name, "."), goneMark)
	return ok && strings.HasPrefix(name, ".") && len(tail) == 8 && checkVersion(version) == nil
}

// empty deletes what was hidden, now or before a crash. No lock is needed:
// nobody comes back for it.
func (a *App) empty(ctx context.Context) error {
	entries, err := fs.ReadDir(a.root.FS(), releaseDir)
	if err != nil {
		return a.fault("list the releases", err)
	}
	for _, e := range entries {
		if !isGone(e.Name()) {
			continue
		}
		if err := context.Cause(ctx); err != nil {
			return err
		}
		if err := removeTree(a.root, filepath.Join(releaseDir, e.Name())); err != nil {
			return a.fault("remove "+e.Name(), err)
		}
	}
	return nil
}

// tidy removes what a process that was killed left behind in our own folder.
func (a *App) tidy(rec *record) error {
	notes, err := fs.ReadDir(a.root.FS(), versionDir)
	if err != nil {
		return a.fault("list "+versionDir, err)
	}
	err = a.dropTemps(hidden)
	for _, e := range notes {
		switch {
		case err != nil || checkVersion(e.Name()) != nil:
		case rec.find(e.Name()) == nil:
			err = a.fault("remove "+notesPath(e.Name()), removeTree(a.root, notesPath(e.Name())))
		default:
			if err = a.dropTemps(notesPath(e.Name())); err == nil {
				err = a.dropIdle(releasePath(e.Name()), repairPath(e.Name()))
			}
		}
	}
	if err != nil {
		return err
	}
	return a.dropStrays(rec)
}

// dropTemps removes unfinished files of package atomicfile.
func (a *App) dropTemps(dir string) error {
	entries, err := fs.ReadDir(a.root.FS(), dir)
	if err != nil {
		return a.fault("list "+dir, err)
	}
	for _, e := range entries {
		if e.Type().IsRegular() && strings.HasPrefix(e.Name(), ".") && strings.Contains(e.Name(), ".tmp-") {
			if err := a.root.Remove(filepath.Join(dir, e.Name())); err != nil {
				return a.fault("remove "+e.Name(), err)
			}
		}
	}
	return nil
}

// dropStrays removes folders to stage in that no record knows of.
func (a *App) dropStrays(rec *record) error {
	entries, err := fs.ReadDir(a.root.FS(), releaseDir)
	if err != nil {
		return a.fault("list the releases", err)
	}
	for _, e := range entries {
		version, ok := strings.CutSuffix(strings.TrimPrefix(e.Name(), "."), stagingMark)
		if !ok || checkVersion(version) != nil || e.Name() != filepath.Base(stagingPath(version)) || rec.find(version) != nil {
			continue
		}
		if err := a.dropIdle(stagingPath(version), stagingPath(version)); err != nil {
			return err
		}
	}
	return nil
}

// dropIdle removes what is left of work on a folder that nobody has locked.
func (a *App) dropIdle(folder, rest string) error {
	l, err := takeLock(context.Background(), a.root, folder, os.O_RDONLY, 0)
	if _, ok := filelock.HeldBy(err); ok || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = removeTree(a.root, rest)
		l.release()
	}
	return a.fault("remove "+rest, err)
}

// removeTree removes a folder with all below it, never through a link and also
// where a folder's mode forbids it.
func removeTree(root *os.Root, name string) error {
	err := root.RemoveAll(name)
	if !errors.Is(err, fs.ErrPermission) {
		return err
	}
	walkErr := fs.WalkDir(root.FS(), filepath.ToSlash(name), func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		return root.Chmod(path, 0o700) // before it is listed
	})
	return errors.Join(walkErr, root.RemoveAll(name))
}
