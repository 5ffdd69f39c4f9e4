package node

import (
	"context"
	"strings"
	"sync/atomic"

	"shoal/internal/bt/metainfo"
	"shoal/internal/bt/rate"
	"shoal/internal/bt/storage"
	"shoal/internal/deploy/release"
)

// ReleaseOptions say how releases come to this host and are checked.
type ReleaseOptions struct {
	Options
	Root    string         // holds a folder for each app
	Content ContentOptions // Peers, AllowOutsideLinks and Cache count
	Read    int64          // bytes a second at which a check reads; 0: no limit
}

// Releases is the release store of this host with the engine behind it: the
// store's Content.
type Releases struct {
	ReleaseOptions
	belongs       *belonging // nil: to no fleet
	share         atomic.Pointer[share]
	checked, size atomic.Int64 // bytes of a check under way
}

// NewReleases only keeps the options.
func NewReleases(o ReleaseOptions) *Releases { return &Releases{ReleaseOptions: o} }

// Status may be asked at any time, from any goroutine.
func (r *Releases) Status() Status {
	if s := r.share.Load(); s != nil {
		return s.status()
	}
	if size := r.size.Load(); size > 0 {
		return Status{State: "verifying", Done: r.checked.Load(), Total: size, Peers: -1}
	}
	return Status{State: "metadata", Peers: -1}
}

// Stage brings in what source (a file, URL or magnet link) describes.
func (r *Releases) Stage(ctx context.Context, app, version, source string) (release.Release, error) {
	if err := release.Check(app, version); err != nil { // before anything is fetched
		return release.Release{}, err
	}
	store, err := release.Open(r.Root, release.Options{Log: r.Log})
	if err != nil {
		return release.Release{}, err
	}
	defer store.Close()
	meta, err := r.describe(ctx, source)
	if err != nil {
		return release.Release{}, err
	}
	a, err := store.NewApp(app)
	if err != nil {
		return release.Release{}, err
	}
	defer a.Close()
	return a.Stage(ctx, version, meta, r)
}

// describe reads the metafile, or gets it from peers.
func (r *Releases) describe(ctx context.Context, source string) (*metainfo.Metafile, error) {
	d, err := Load(ctx, source, r.Content.AllowOutsideLinks)
	if err != nil || d.Meta != nil {
		return d.Meta, err
	}
	p, err := open(ctx, r.Options)
	if err != nil {
		return nil, err
	}
	err = p.with(ctx, func(ctx context.Context) error {
		content := r.Content
		content.Peers = append(content.Peers[:len(content.Peers):len(content.Peers)], d.Magnet.Peers...)
		meta, met, err := p.fetchMetadata(ctx, d.Magnet, content)
		for _, a := range met {
			content.Peers = append(content.Peers, a.String())
		}
		d.Meta, r.Content.Peers = meta, content.Peers
		return err
	})
	return d.Meta, err
}

// Fetch is release.Content's: it takes part in the swarm until everything that
// is picked is there.
func (r *Releases) Fetch(ctx context.Context, to release.Place, meta *metainfo.Metafile, pick func(file int) bool) error {
	options, trackers := r.optionsFor(meta)
	p, err := open(ctx, options)
	if err != nil {
		return err
	}
	return p.with(ctx, func(ctx context.Context) error {
		introduced := *meta
		introduced.Announce = trackers
		o := r.Content
		// What lies where nobody reads is ours to replace.
		o.Dir, o.As, o.ResumeDir, o.Overwrite = to.Dir, to.Name, to.State, true
		o.AllowOutsideLinks = o.AllowOutsideLinks || pick != nil // a repair: the release was accepted once
		s := p.newShare(&introduced, o)
		s.pick = pick
		r.share.Store(s)
		return s.run(ctx)
	})
}

// Verify is release.Content's.
func (r *Releases) Verify(ctx context.Context, at release.Place, meta *metainfo.Metafile) ([]release.Problem, error) {
	r.share.Store(nil)
	hashes, err := metainfo.NewHashes(meta.Info, meta.Layers)
	if err != nil {
		return nil, &MetafileError{meta.Info.Name, err}
	}
	disk, err := storage.Open(at.Dir, meta.Info, hashes, storage.Options{
		As: at.Name, ReadOnly: true, Cache: r.Content.Cache, Pace: rate.New(r.Read).Wait, Log: r.Log,
	})
	if err != nil {
		return nil, err
	}
	report, err := disk.Verify(ctx, func(done, total int64) { r.checked.Store(done); r.size.Store(total) })
	if closeErr := disk.Close(); err == nil {
		err = closeErr
	}
	return problemsOf(meta.Info, at.Name, report), err
}

// problemsOf says the same as the report in the words of the release store.
func problemsOf(info *metainfo.Info, name string, report storage.Report) []release.Problem {
	index := make(map[string]int, len(info.Files))
	for i := range info.Files {
		index[metainfo.DisplayPath(info.Files[i].Path)] = i
	}
	if info.SingleFile {
		index[name] = 0
	}
	out := []release.Problem{}
	for _, p := range report.Problems {
		q := release.Problem{Path: strings.TrimPrefix(p.Path, name+"/"), Kind: string(p.Kind), Detail: p.Detail, File: -1}
		if i, ok := index[q.Path]; ok {
			q.File = i
		}
		q.Remedy = remedyOf(info, q.File, p.Kind)
		out = append(out, q)
	}
	return out
}

// remedyOf says what mends a problem of a file, or of a folder (-1).
func remedyOf(info *metainfo.Info, file int, kind storage.ProblemKind) release.Remedy {
	switch kind {
	case storage.Damaged, storage.Suspect, storage.Unchecked, storage.WrongSize, storage.Unreadable:
		if file >= 0 {
			return release.Refetch
		}
	case storage.Missing:
		switch {
		case file < 0:
			return release.Mkdir
		case info.Files[file].IsLink():
			return release.Relink
		}
		return release.Refetch
	case storage.WrongLink:
		return release.Relink
	case storage.WrongMode:
		return release.Chmod
	}
	return release.NoCure
}
