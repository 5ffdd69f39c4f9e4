package release

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"shoal/internal/bt/metainfo"
	"shoal/internal/deploy/release/reuse"
)

// reuse copies into the staging folder what installed releases have already.
// Whatever it cannot copy is fetched, so nothing here is an error; and all of it
// is hashed by Fetch, like everything that it finds.
func (a *App) reuse(ctx context.Context, version string, meta *metainfo.Metafile) {
	have := a.installed(version)
	plan := reuse.Make(meta.Info, have)
	copied := int64(0)
	for _, c := range plan.Copies {
		if ctx.Err() != nil {
			return
		}
		to := &meta.Info.Files[c.File]
		old := have[slices.IndexFunc(have, func(i reuse.Installed) bool { return i.Version == c.Version })].Info
		n, err := a.copyFile(ctx, filepath.Join(releasePath(c.Version), entryPath(old, &old.Files[c.From])),
			filepath.Join(stagingPath(version), entryPath(meta.Info, to)), to.Length)
		if copied += n; err != nil && !errors.Is(err, fs.ErrExist) { // it may be there from the last time
			a.o.Log.Debug("not reused", "file", metainfo.DisplayPath(to.Path), "of", c.Version, "err", err)
		}
	}
	if copied > 0 {
		a.o.Log.Info("reuses files of installed releases", "app", a.name, "version", version, "bytes", copied)
	}
}

// installed are the releases that are whole, the latest first.
func (a *App) installed(except string) (out []reuse.Installed) {
	l, err := a.List()
	if err != nil {
		return nil
	}
	for _, r := range slices.Backward(l.Releases) {
		if r.Version == except || r.State == Staging {
			continue
		}
		if meta, err := a.metafile(&r); err == nil {
			out = append(out, reuse.Installed{Version: r.Version, Info: meta.Info})
		}
	}
	return out
}

// copyStep is what is copied between two looks at the context.
const copyStep = 256 << 20

// copyFile makes a new file of an old one: on file systems that can share blocks
// (copy_file_range(2)) without moving a byte. A part that is left behind is what
// an unfinished fetch leaves too.
func (a *App) copyFile(ctx context.Context, from, to string, size int64) (n int64, err error) {
	src, err := a.root.Open(from)
	if err != nil {
		return 0, err
	}
	defer src.Close()
	st, err := src.Stat()
	if err != nil {
		return 0, err
	}
	if !st.Mode().IsRegular() || st.Size() != size {
		return 0, errors.New("it is damaged")
	}
	if err := a.root.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return 0, err
	}
	dst, err := a.root.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, dst.Close()) }()
	for n < size {
		if err := context.Cause(ctx); err != nil {
			return n, err
		}
		m, err := io.CopyN(dst, src, min(copyStep, size-n))
		if n += m; err != nil {
			return n, err
		}
	}
	return n, dst.Chmod(st.Mode().Perm() | 0o600) // what the metafile may not know
}
