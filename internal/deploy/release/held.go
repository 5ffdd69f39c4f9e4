package release

import "shoal/internal/bt/metainfo"

// Metafile is that of a release which is here or being staged.
func (a *App) Metafile(version string) (*metainfo.Metafile, error) {
	l, err := a.List()
	if err != nil {
		return nil, err
	}
	r := l.Find(version)
	if r == nil {
		return nil, a.notStaged(nil, version)
	}
	return a.metafile(r)
}

// Held is where a whole release lies, for whoever serves it: nothing of it may
// be written to, but for what Place.State is for.
func (a *App) Held(version string) (Place, *metainfo.Metafile, error) {
	l, err := a.List()
	if err != nil {
		return Place{}, nil, err
	}
	r := l.Find(version)
	if r == nil || r.State == Staging {
		return Place{}, nil, a.notStaged(r, version)
	}
	meta, err := a.metafile(r)
	if err != nil {
		return Place{}, nil, err
	}
	return a.place(meta.Info, releasePath(version), version), meta, nil
}
