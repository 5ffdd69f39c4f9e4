package release

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"time"

	"shoal/internal/bt/metainfo"
	"shoal/internal/filelock"
)

// Scrubbed is what a Scrub found and mended.
type Scrubbed struct {
	App      string    `json:"app"`
	Version  string    `json:"version"`
	Problems []Problem `json:"problems"`
}

// OK tells that nothing is wrong, or not any more.
func (s Scrubbed) OK() bool {
	return !slices.ContainsFunc(s.Problems, func(p Problem) bool { return !p.Mended })
}

// Scrub reads a release back and compares it with its metafile. With mend what
// differs is put right, except for entries that do not belong to the release:
// those are told and left alone.
func (a *App) Scrub(ctx context.Context, version string, c Content, mend bool) (Scrubbed, error) {
	out := Scrubbed{App: a.name, Version: version}
	if err := checkVersion(version); err != nil {
		return out, err
	}
	l, err := a.List()
	if err != nil {
		return out, err
	}
	e := l.Find(version)
	if e == nil || e.State == Staging {
		return out, a.notStaged(e, version)
	}
	held, err := takeLock(ctx, a.root, releasePath(version), os.O_RDONLY, 0)
	if by, ok := filelock.HeldBy(err); ok {
		return out, refuse(ErrBusy, "wait until it has ended, or stop it", "%s@%s is being worked on by %s", a.name, version, by)
	}
	if err != nil {
		return out, a.fault("lock "+releasePath(version), err)
	}
	defer held.release()
	meta, err := a.metafile(e)
	if err != nil {
		return out, err
	}
	out.Problems, err = c.Verify(ctx, a.place(meta.Info, releasePath(version), version), meta)
	if err != nil {
		return out, err
	}
	if mend && len(out.Problems) > 0 {
		if err := a.mend(ctx, version, meta, c, out.Problems); err != nil {
			return out, err
		}
	}
	return out, a.scrubbed(ctx, version)
}

// scrubbed notes when a release was looked at.
func (a *App) scrubbed(ctx context.Context, version string) error {
	return a.edit(ctx, func(rec *record, _ seen) error {
		e := rec.find(version)
		if e == nil {
			return nil // removed meanwhile
		}
		e.ScrubbedAt = time.Now()
		return a.save(rec)
	})
}

// mend puts right what can be. A process may have any file of the release open,
// mapped or running, and another release may share it by a hard link. So no
// file is written to: good ones are made elsewhere and take the names.
func (a *App) mend(ctx context.Context, version string, meta *metainfo.Metafile, c Content, found []Problem) (err error) {
	if err := removeTree(a.root, repairPath(version)); err != nil {
		return a.fault("remove an old repair", err)
	}
	defer func() {
		err = errors.Join(err, a.fault("remove the repair", removeTree(a.root, repairPath(version))))
	}()
	top, err := a.root.OpenRoot(releasePath(version))
	if err != nil {
		return a.fault("open the release", err)
	}
	defer top.Close()
	m := &mending{app: a, info: meta.Info, top: top, folder: releasePath(version), repair: filepath.Join(repairPath(version), "tree")}
	if err := m.refetch(ctx, version, meta, c, found); err != nil {
		return err
	}
	for i := range found {
		m.put(&found[i])
	}
	if err := m.folderModes(); err != nil {
		return a.fault("set the mode of a folder", err)
	}
	return a.fault("sync "+releasePath(version), syncTree(a.root, releasePath(version)))
}
