package release

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"shoal/internal/atomicfile"
	"shoal/internal/bt/metainfo"
	"shoal/internal/filelock"
)

// ID is what the store knows a metafile's content by; see Release.ID.
func ID(info *metainfo.Info) string {
	sum := sha256.Sum256(info.Raw)
	return hex.EncodeToString(sum[:])
}

// Stage brings a release in and puts it beside the live one. It goes on where
// an earlier Stage was stopped, and does nothing if the release is there. Until
// it has returned nil nothing of the release can be seen under its name.
func (a *App) Stage(ctx context.Context, version string, meta *metainfo.Metafile, c Content) (Release, error) {
	if err := checkVersion(version); err != nil {
		return Release{}, err
	}
	r, l, err := a.begin(ctx, version, meta)
	if err != nil || l == nil {
		return r, err
	}
	defer l.release()
	a.reuse(ctx, version, meta)
	to := a.place(meta.Info, stagingPath(version), version)
	if err := c.Fetch(ctx, to, meta, nil); err != nil {
		return r, err
	}
	return a.commit(ctx, version, meta)
}

// begin notes that a release is coming and locks the folder it will fill. The
// lock is nil if the release is there already.
func (a *App) begin(ctx context.Context, version string, meta *metainfo.Metafile) (r Release, l *lock, err error) {
	err = a.edit(ctx, func(rec *record, s seen) error {
		old := rec.find(version)
		if old != nil && old.State != Staging {
			r = *old
			return a.sameContent(old, meta.Info)
		}
		if err := a.nameFree(rec, version); err != nil {
			return err
		}
		if l, err = a.claim(version, old, meta.Info); err != nil {
			return err
		}
		if err := a.note(version, meta); err != nil {
			return err
		}
		loadBallast(a.root)
		if old != nil {
			r = newRelease(version, Staging, meta.Info)
			r.Added = old.Added
			*old = r
			return a.save(rec)
		}
		r = newRelease(version, Staging, meta.Info)
		r.Added = rec.tick()
		rec.Releases = append(rec.Releases, r)
		if len(rec.Releases) > maxReleases {
			return refuse(ErrRefused, "`shoal release gc` removes old ones", "%s has %d releases, which is the limit", a.name, maxReleases)
		}
		return a.save(rec)
	})
	if err != nil && l != nil {
		l.release()
		l = nil
	}
	return r, l, err
}

func (a *App) sameContent(old *Release, info *metainfo.Info) error {
	if old.ID == ID(info) {
		return nil
	}
	return refuse(ErrRefused, "a release never changes: give the new content a new version",
		"%s@%s is there already with other content (%.16s..., not %.16s...)", a.name, old.Version, old.ID, ID(info))
}

// nameFree refuses a name that belongs to something else.
func (a *App) nameFree(rec *record, version string) error {
	if e := rec.like(version); e != nil {
		return refuse(ErrRefused, "choose a version that differs by more than case",
			"%s@%s differs from the release %s by case alone, which some file systems cannot tell apart", a.name, version, e.Version)
	}
	_, err := a.root.Lstat(releasePath(version))
	if err == nil {
		return refuse(ErrRefused, "move it away, or choose another version",
			"%s is there already and was not made by shoal", filepath.Join(a.dir, releasePath(version)))
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return a.fault("look for "+releasePath(version), err)
	}
	return nil
}

// claim makes and locks the folder that a release is fetched into. What an
// earlier attempt fetched of other content is removed.
func (a *App) claim(version string, old *Release, info *metainfo.Info) (*lock, error) {
	name := stagingPath(version)
	for range 2 {
		if err := a.root.Mkdir(name, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, a.fault("make the folder to stage in", err)
		}
		l, err := takeLock(context.Background(), a.root, name, os.O_RDONLY, 0)
		if by, ok := filelock.HeldBy(err); ok {
			return nil, refuse(ErrBusy, "it goes on by itself; or stop that process", "%s@%s is being staged by %s", a.name, version, by)
		}
		if err != nil {
			return nil, a.fault("lock the folder to stage in", err)
		}
		if old == nil || old.ID == ID(info) {
			return l, nil
		}
		a.o.Log.Info("drops what was fetched of other content for the same version", "app", a.name, "version", version)
		err = errors.Join(removeTree(a.root, name), removeTree(a.root, notesPath(version)))
		l.release()
		old = nil
		if err != nil {
			return nil, a.fault("remove what was staged of other content", err)
		}
	}
	return nil, fmt.Errorf("%s: cannot happen: no folder to stage in", a.dir)
}

// note keeps the metafile: it is needed to check and to serve the release.
func (a *App) note(version string, meta *metainfo.Metafile) error {
	if err := a.root.Mkdir(notesPath(version), 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return a.fault("make a folder", err)
	}
	raw := meta.Raw
	if raw == nil { // it came from peers
		raw = meta.Encode()
	}
	if err := atomicfile.WriteRoot(a.root, metafilePath(version), raw, 0o600); err != nil {
		return a.fault("keep the metafile", err)
	}
	return a.fault("sync", atomicfile.SyncDir(a.root, versionDir))
}

// commit makes a fetched release count: everything is synced, then it gets its
// own name.
func (a *App) commit(ctx context.Context, version string, meta *metainfo.Metafile) (r Release, err error) {
	from := stagingPath(version)
	if err := a.whole(from, meta.Info); err != nil {
		return r, err
	}
	if err := syncTree(a.root, from); err != nil {
		return r, a.fault("sync "+from, err)
	}
	err = a.edit(ctx, func(rec *record, s seen) error {
		e := rec.find(version)
		if e == nil || e.State != Staging || e.ID != ID(meta.Info) {
			return refuse(ErrRefused, "stage it again", "%s@%s was removed while it was being staged", a.name, version)
		}
		if err := a.rename(from, releasePath(version)); err != nil {
			return err
		}
		e.State, e.StagedAt = Staged, time.Now()
		r = *e
		return a.save(rec)
	})
	return r, err
}

// rename moves a folder below releases/ and makes that durable.
func (a *App) rename(from, to string) error {
	if err := a.root.Rename(from, to); err != nil {
		return a.fault("rename "+from+" to "+to, err)
	}
	return a.fault("sync "+releaseDir, atomicfile.SyncDir(a.root, releaseDir))
}

// metafile reads the metafile of a release again.
func (a *App) metafile(r *Release) (*metainfo.Metafile, error) {
	raw, err := a.root.ReadFile(metafilePath(r.Version))
	if err != nil {
		return nil, a.fault("read the metafile of "+r.Version, err)
	}
	meta, err := metainfo.Options{AllowOutsideLinks: true}.Parse(raw) // it was accepted once
	if err != nil || ID(meta.Info) != r.ID {
		return nil, refuse(ErrDamaged, "stage the release again under another version",
			"%s is not the metafile of %s@%s any more", filepath.Join(a.dir, metafilePath(r.Version)), a.name, r.Version)
	}
	return meta, nil
}
