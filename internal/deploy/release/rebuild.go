package release

import (
	"path/filepath"
	"slices"

	"shoal/internal/bt/metainfo"
)

// rebuild makes a record of what the disk tells, when the one on disk is
// damaged. Folders that we keep no metafile of are not taken for ours.
func (a *App) rebuild(s seen) *record {
	r := newRecord()
	r.rebuilt = true
	for _, version := range slices.Sorted(slices.Values(s.whole)) {
		e, err := a.recall(version)
		if err != nil {
			a.o.Log.Warn("not taken for a release", "app", a.name, "version", version, "err", err)
			continue
		}
		e.Added = r.tick()
		r.Releases = append(r.Releases, e)
	}
	return r
}

// recall makes the entry of a release of its metafile.
func (a *App) recall(version string) (Release, error) {
	raw, err := a.root.ReadFile(metafilePath(version))
	if err != nil {
		return Release{}, err
	}
	meta, err := metainfo.Options{AllowOutsideLinks: true}.Parse(raw)
	if err != nil {
		return Release{}, err
	}
	return newRelease(version, Staged, meta.Info), nil
}

func newRelease(version string, state State, info *metainfo.Info) Release {
	return Release{Version: version, State: state, ID: ID(info), Bytes: info.ContentLength(), Files: len(info.Files)}
}

// setAside keeps a damaged record for whoever wants to know.
func (a *App) setAside() error {
	a.o.Log.Warn("the damaged state is kept", "as", filepath.Join(a.dir, stateFile+".damaged"))
	return a.fault("keep the damaged state", a.root.Rename(stateFile, stateFile+".damaged"))
}
