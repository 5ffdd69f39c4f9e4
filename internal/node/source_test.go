package node

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"shoal/internal/bt/metainfo"
)

func TestLoadURL(t *testing.T) {
	r := newRelease(t, metainfo.V1)
	raw := r.meta.Encode()
	mux := http.NewServeMux()
	mux.HandleFunc("/app.torrent", func(w http.ResponseWriter, _ *http.Request) { w.Write(raw) })
	mux.Handle("/moved", http.RedirectHandler("/app.torrent", http.StatusFound))
	mux.HandleFunc("/page", func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("<html>")) })
	mux.HandleFunc("/broken", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	mux.HandleFunc("/huge", func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Length", "1000000000000") })
	server := httptest.NewServer(mux)
	defer server.Close()
	for _, path := range []string{"/app.torrent", "/moved"} {
		d, err := Load(t.Context(), server.URL+path, false)
		if err != nil || d.Meta == nil || d.Meta.Info.HashV1 != r.meta.Info.HashV1 {
			t.Errorf("%s: %+v, %v", path, d, err)
		}
	}
	var bad *MetafileError
	if _, err := Load(t.Context(), server.URL+"/page", false); !errors.As(err, &bad) {
		t.Errorf("a page: %v", err)
	}
	if _, err := Load(t.Context(), server.URL+"/huge", false); !errors.As(err, &bad) {
		t.Errorf("a huge answer: %v", err)
	}
	if _, err := Load(t.Context(), server.URL+"/none", false); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("not found: %v", err)
	}
	if _, err := Load(t.Context(), server.URL+"/broken", false); err == nil {
		t.Error("a broken server gave a metafile")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Load(ctx, server.URL+"/app.torrent", false); !errors.Is(err, context.Canceled) {
		t.Errorf("stopped: %v", err)
	}
}

// endless gives zeros for ever.
type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

func TestReadBounded(t *testing.T) {
	var bad *MetafileError
	if _, err := readBounded(endless{}, "x", 1000); !errors.As(err, &bad) {
		t.Errorf("an endless answer: %v", err)
	}
	if got, err := readBounded(io.LimitReader(endless{}, 1000), "x", 1000); err != nil || len(got) != 1000 {
		t.Errorf("as much as may be: %d bytes, %v", len(got), err)
	}
}

func TestLoadOthers(t *testing.T) {
	dir := t.TempDir()
	if _, err := Load(t.Context(), dir, false); err == nil {
		t.Error("a folder was accepted")
	}
	if _, err := Load(t.Context(), filepath.Join(dir, "none"), false); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("nothing there: %v", err)
	}
	must(t, os.WriteFile(filepath.Join(dir, "empty"), nil, 0o644))
	var bad *MetafileError
	if _, err := Load(t.Context(), filepath.Join(dir, "empty"), false); !errors.As(err, &bad) {
		t.Errorf("an empty file: %v", err)
	}
	d, err := Load(t.Context(), "MAGNET:?xt=urn:btih:0123456789abcdef0123456789abcdef01234567", false)
	if err != nil || d.Magnet == nil || d.Magnet.V1[0] != 0x01 {
		t.Errorf("a magnet link: %+v, %v", d, err)
	}
}
