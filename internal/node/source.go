package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"strings"
	"time"

	"shoal/internal/bt/metainfo"
)

// fetchLimit is how long the download of a metafile may take; the biggest one
// that is accepted needs a tenth of that on a slow line.
const fetchLimit = 5 * time.Minute

// MetafileError says that what was named is no metafile or magnet link that
// can be used.
type MetafileError struct {
	Source string
	Err    error
}

func (e *MetafileError) Error() string { return fmt.Sprintf("%s is not usable: %v", e.Source, e.Err) }

// Unwrap is the cause.
func (e *MetafileError) Unwrap() error { return e.Err }

// Description is what a FILE, URL or MAGNET said: one of the two is set.
type Description struct {
	Meta   *metainfo.Metafile
	Magnet *metainfo.Magnet
}

// Load reads the metafile or magnet link that source names. It asks no peers.
func Load(ctx context.Context, source string, allowOutsideLinks bool) (Description, error) {
	if metainfo.IsMagnet(source) {
		m, err := metainfo.ParseMagnet(source)
		if err != nil {
			return Description{}, &MetafileError{"the magnet link", err}
		}
		return Description{Magnet: &m}, nil
	}
	raw, err := readSource(ctx, source)
	if err != nil {
		return Description{}, fmt.Errorf("read metafile: %w", err)
	}
	m, err := metainfo.Options{AllowOutsideLinks: allowOutsideLinks}.Parse(raw)
	if err != nil {
		return Description{}, &MetafileError{source, err}
	}
	return Description{Meta: m}, nil
}

func readSource(ctx context.Context, source string) ([]byte, error) {
	lower := strings.ToLower(source)
	if strings.HasPrefix(lower, "http://") || strings.HasPrefix(lower, "https://") {
		return download(ctx, source)
	}
	f, err := os.Open(source)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		return nil, &fs.PathError{Op: "read", Path: source, Err: errors.New("is a folder, not a metafile")}
	}
	if info.Mode().IsRegular() && info.Size() > metainfo.MaxMetafile {
		return nil, tooLarge(source, metainfo.MaxMetafile)
	}
	return readBounded(f, source, metainfo.MaxMetafile)
}

// download gets a metafile over HTTP.
func download(ctx context.Context, url string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchLimit)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	client := &http.Client{Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, ResponseHeaderTimeout: 30 * time.Second}}
	defer client.CloseIdleConnections()
	res, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	switch res.StatusCode {
	case http.StatusOK:
		if res.ContentLength > metainfo.MaxMetafile {
			return nil, tooLarge(url, metainfo.MaxMetafile)
		}
		return readBounded(res.Body, url, metainfo.MaxMetafile)
	case http.StatusNotFound, http.StatusGone:
		return nil, fmt.Errorf("%s: the server says %s: %w", url, res.Status, fs.ErrNotExist)
	}
	return nil, fmt.Errorf("%s: the server says %s", url, res.Status)
}

// readBounded reads all of r, which may not be more than limit bytes.
func readBounded(r io.Reader, source string, limit int64) ([]byte, error) {
	raw, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", source, err)
	}
	if int64(len(raw)) > limit {
		return nil, tooLarge(source, limit)
	}
	return raw, nil
}

func tooLarge(source string, limit int64) error {
	return &MetafileError{source, fmt.Errorf("it is larger than the limit of %d bytes for metafiles", limit)}
}
