//go:build linux

package interop_test

import (
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"
)

// serve runs an HTTP server on an address of the lab until the test ends, and gives its URL with a final slash.
func serve(t *testing.T, h http.Handler) string {
	t.Helper()
	l, err := net.Listen("tcp", newAddr()+":80")
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(h)
	s.Listener.Close()
	s.Listener = l
	s.Start()
	t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
	return s.URL + "/"
}

// TestWebSeedOnly fetches from nothing but a web server (BEP 19): no tracker, no peer.
func TestWebSeedOnly(t *testing.T) {
	t.Parallel()
	folder := oddFolder("on the web+100%")
	single := tree{"on the web+100%": file(2_500_001, 9)}
	for _, version := range []string{"v1", "hybrid", "v2"} {
		for shape, content := range map[string]tree{"folder": folder, "file": single} {
			t.Run(version+"/"+shape, func(t *testing.T) {
				t.Parallel()
				origin := t.TempDir()
				content.write(t, origin)
				url := serve(t, http.FileServer(http.Dir(origin)))
				torrent := create(t, filepath.Join(origin, "on the web+100%"), "--format", version, "-l", "16", "-w", url)
				fetchAlone(t, content, torrent)
			})
		}
	}
}

// TestWebSeedTrouble fetches from web servers that fail now and then, or know no ranges.
func TestWebSeedTrouble(t *testing.T) {
	t.Parallel()
	for name, trouble := range map[string]func(http.Handler) http.Handler{
		"some requests fail": func(h http.Handler) http.Handler {
			var n atomic.Int64
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if n.Add(1)%7 == 0 {
					http.Error(w, "too busy", http.StatusServiceUnavailable)
					return
				}
				h.ServeHTTP(w, r)
			})
		},
		"connections break": func(h http.Handler) http.Handler {
			var n atomic.Int64
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if n.Add(1)%6 == 0 {
					panic(http.ErrAbortHandler) // cuts the connection
				}
				h.ServeHTTP(w, r)
			})
		},
		"behind a redirect": func(h http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Query().Get("there") == "" {
					http.Redirect(w, r, r.URL.EscapedPath()+"?there=1", http.StatusFound)
					return
				}
				h.ServeHTTP(w, r)
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			content := oddFolder("web")
			origin := t.TempDir()
			content.write(t, origin)
			url := serve(t, trouble(http.FileServer(http.Dir(origin))))
			fetchAlone(t, content, create(t, filepath.Join(origin, "web"), "-l", "17", "-w", url))
		})
	}
}

// TestMetafileByURL gets a release whose metafile lies on a web server.
func TestMetafileByURL(t *testing.T) {
	t.Parallel()
	content := oddFolder("app")
	origin := t.TempDir()
	content.write(t, origin)
	url := serve(t, http.FileServer(http.Dir(origin)))
	run(t, shoalBinary, "create", origin+"/app", "-o", origin+"/app.torrent", "-w", url)
	fetchAlone(t, content, url+"app.torrent")
}

// fetchAlone runs one get to its end and compares what arrived.
func fetchAlone(t *testing.T, content tree, source string, args ...string) {
	t.Helper()
	dir := t.TempDir()
	g := start(t, "get", dir, append([]string{shoalBinary, "get", source, "--dir", dir, "--listen", newAddr() + ":" + peerPort}, args...)...)
	if code := g.exit(t, deadline); code != 0 {
		t.Fatalf("get: exit code %d", code)
	}
	shoalClient.intact(t, content, dir)
}

// TestWebSeedLies has a web server serve a wrong byte: get must not take it, and must take the right ones elsewhere.
func TestWebSeedLies(t *testing.T) {
	t.Parallel()
	content := oddFolder("liar")
	origin, wrong := t.TempDir(), t.TempDir()
	content.write(t, origin)
	for path, e := range content {
		if len(e.data) > 100_000 {
			b := append([]byte(nil), e.data...)
			b[len(b)/2] ^= 1
			writeFile(t, filepath.Join(wrong, path), string(b), 0o644)
			continue
		}
		writeFile(t, filepath.Join(wrong, path), string(e.data), 0o644)
	}
	url := serve(t, http.FileServer(http.Dir(wrong)))
	torrent := create(t, filepath.Join(origin, "liar"), "-l", "16", "-w", url)
	dir := t.TempDir()
	g := start(t, "get", dir, shoalBinary, "get", torrent, "--dir", dir, "--listen", newAddr()+":"+peerPort, "--peer", "10.77.255.1:"+peerPort)
	if g.ended(3 * time.Second) {
		t.Fatalf("get ended with exit code %d though the right bytes were nowhere", g.cmd.ProcessState.ExitCode())
	}
	start(t, "seed", origin, shoalBinary, "seed", torrent, "--dir", origin, "--listen", "10.77.255.1:"+peerPort)
	if code := g.exit(t, deadline); code != 0 {
		t.Fatalf("get: exit code %d", code)
	}
	shoalClient.intact(t, content, dir)
}
