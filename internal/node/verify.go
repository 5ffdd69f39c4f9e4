package node

import (
	"context"
	"errors"

	"shoal/internal/bt/metainfo"
	"shoal/internal/bt/storage"
)

// Verify compares the content in o.Dir with the metafile that source names,
// byte by byte. progress may be nil.
func Verify(ctx context.Context, source string, o ContentOptions, progress func(done, total int64)) (*metainfo.Info, storage.Report, error) {
	d, err := Load(ctx, source, o.AllowOutsideLinks)
	if err != nil {
		return nil, storage.Report{}, err
	}
	if d.Meta == nil {
		return nil, storage.Report{}, &MetafileError{"a magnet link", errors.New("it has no hashes of the content to compare with")}
	}
	info := d.Meta.Info
	hashes, err := metainfo.NewHashes(info, d.Meta.Layers)
	if err != nil {
		return nil, storage.Report{}, &MetafileError{source, err}
	}
	picked, err := selection(info, o.Select)
	if err != nil {
		return nil, storage.Report{}, err
	}
	disk, err := storage.Open(o.Dir, info, hashes, storage.Options{
		ReadOnly: true, Select: picked, Cache: o.Cache, AllowOutsideLinks: o.AllowOutsideLinks,
	})
	if err != nil {
		return nil, storage.Report{}, err
	}
	report, err := disk.Verify(ctx, progress)
	if closeErr := disk.Close(); err == nil {
		err = closeErr
	}
	return info, report, err
}
