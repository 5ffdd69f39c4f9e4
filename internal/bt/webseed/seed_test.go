package webseed

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"shoal/internal/bt/metainfo"
)

// serve starts a web server and a Seed of r at it.
func serve(t *testing.T, r release, h http.Handler) *Seed {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return seedAt(t, r, s.URL+"/")
}

func seedAt(t *testing.T, r release, url string) *Seed {
	t.Helper()
	seed, err := New(r.info, url, Options{Stall: 1500 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(seed.Close)
	return seed
}

// files serves r as stock file servers do. http.FileServer does too, but not names
// that are no UTF-8.
func files(t *testing.T, r release) http.Handler {
	dir := t.TempDir()
	r.write(t, dir)
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		f, err := os.Open(filepath.Join(dir, req.URL.Path))
		if err != nil {
			http.NotFound(w, req)
			return
		}
		defer f.Close()
		http.ServeContent(w, req, "", time.Time{}, f)
	})
}

// fetch gets a range of a piece.
func fetch(s *Seed, p metainfo.Piece, off, n int64) ([]byte, error) {
	var got []byte
	err := s.Fetch(context.Background(), p, off, n, func(b []byte) error {
		got = append(got, b...)
		return nil
	})
	return got, err
}

func TestFetchTree(t *testing.T) {
	r := tree(t)
	s := serve(t, r, files(t, r))
	for n := range r.info.NumPieces() {
		p := metainfo.Piece(n)
		size, start := r.info.PieceSize(p), r.info.PieceOffset(p)
		got, err := fetch(s, p, 0, size)
		if err != nil || !bytes.Equal(got, r.content[start:start+size]) {
			t.Errorf("piece %d: %d bytes of %d, %v", n, len(got), size, err)
		}
		got, err = fetch(s, p, 1, size-2)
		if err != nil || !bytes.Equal(got, r.content[start+1:start+size-1]) {
			t.Errorf("inside of piece %d: %v", n, err)
		}
	}
	got, err := fetch(s, 0, 0, r.info.Length())
	if err != nil || !bytes.Equal(got, r.content) {
		t.Errorf("the whole release at once: %d bytes, %v", len(got), err)
	}
	if _, err := fetch(s, 0, 0, r.info.Length()+1); err == nil {
		t.Error("more than the release can be asked for")
	}
	if _, err := fetch(s, 0, -1, 5); err == nil {
		t.Error("less than nothing can be asked for")
	}
	if got, err := fetch(s, 0, 5, 0); err != nil || len(got) != 0 {
		t.Errorf("nothing: %q, %v", got, err)
	}
}

func TestFetchSingleFile(t *testing.T) {
	r := makeRelease(t, "one.bin", entry{size: 2*pieceLen + 5})
	ranges := http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		http.ServeContent(w, req, "", time.Time{}, bytes.NewReader(r.content))
	})
	s := serve(t, r, ranges)
	if got, err := fetch(s, 2, 0, 5); err != nil || !bytes.Equal(got, r.content[2*pieceLen:]) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

// Connections are kept, and requests carry what they should.
func TestFetchKeepsConnections(t *testing.T) {
	r := tree(t)
	inner := files(t, r)
	var conns atomic.Int32
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.UserAgent() != "shoal" || req.Header.Get("Accept-Encoding") != "identity" || !strings.HasPrefix(req.Header.Get("Range"), "bytes=") {
			http.Error(w, fmt.Sprint(req.Header), http.StatusTeapot)
			return
		}
		inner.ServeHTTP(w, req)
	}))
	srv.Config.ConnState = countNew(&conns)
	srv.Start()
	defer srv.Close()
	s := seedAt(t, r, srv.URL)
	for range 3 {
		if _, err := fetch(s, 0, 0, r.info.Length()); err != nil {
			t.Fatal(err)
		}
	}
	if n := conns.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
}

func TestFetchInParallel(t *testing.T) {
	r := tree(t)
	s := serve(t, r, files(t, r))
	var wg sync.WaitGroup
	for n := range r.info.NumPieces() {
		wg.Go(func() {
			p := metainfo.Piece(n)
			start, size := r.info.PieceOffset(p), r.info.PieceSize(p)
			if got, err := fetch(s, p, 0, size); err != nil || !bytes.Equal(got, r.content[start:start+size]) {
				t.Errorf("piece %d: %v", n, err)
			}
		})
	}
	wg.Wait()
}

// A server without ranges is used as long as little is fetched for nothing.
func TestFetchWithoutRanges(t *testing.T) {
	r := makeRelease(t, "one.bin", entry{size: maxSkip + 2*pieceLen})
	s := serve(t, r, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write(r.content) }))
	if got, err := fetch(s, 1, 3, pieceLen); err != nil || !bytes.Equal(got, r.content[pieceLen+3:2*pieceLen+3]) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if _, err := fetch(s, maxSkip/pieceLen, 1, 1); !errors.Is(err, ErrRange) || !Permanent(err) {
		t.Errorf("error %v", err)
	}
}

func TestFetchErrors(t *testing.T) {
	r := makeRelease(t, "one.bin", entry{size: 1000})
	status := func(code int, header ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			for i := 0; i < len(header); i += 2 {
				w.Header().Set(header[i], header[i+1])
			}
			w.WriteHeader(code)
		}
	}
	partial := func(contentRange string, body []byte) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Range", contentRange)
			w.WriteHeader(http.StatusPartialContent)
			w.Write(body)
		}
	}
	date := time.Now().Add(10 * time.Minute).UTC().Format(http.TimeFormat)
	part := r.content[100:200]
	tests := []struct {
		name      string
		h         http.HandlerFunc
		want      error
		permanent bool
		after     time.Duration
	}{
		{"fine", partial("bytes 100-199/1000", part), nil, false, 0},
		{"size unknown", partial("bytes 100-199/*", part), nil, false, 0},
		{"more than asked", partial("bytes 100-199/1000", append(part[:100:100], 'x')), nil, false, 0},
		{"gone", status(404), StatusError(404), true, 0},
		{"forbidden", status(403), StatusError(403), true, 0},
		{"not implemented", status(501), StatusError(501), true, 0},
		{"no content", status(204), StatusError(204), true, 0},
		{"range refused", status(416), ErrSize, true, 0},
		{"overloaded", status(503, "Retry-After", "120"), StatusError(503), false, 2 * time.Minute},
		{"until a date", status(503, "Retry-After", date), StatusError(503), false, 10 * time.Minute},
		{"for too long", status(503, "Retry-After", "99999999"), StatusError(503), false, maxRetryAfter},
		{"too many", status(429), StatusError(429), false, 0},
		{"broken", status(500, "Retry-After", "soon"), StatusError(500), false, 0},
		{"another range", partial("bytes 0-99/1000", part), ErrRange, true, 0},
		{"shorter range", partial("bytes 100-150/1000", part[:51]), ErrRange, true, 0},
		{"no range", partial("", part), ErrRange, true, 0},
		{"bad range", partial("bytes 1x-2/3", part), ErrRange, true, 0},
		{"multipart", partial("", []byte("--x")), ErrRange, true, 0},
		{"another size", partial("bytes 100-199/2000", part), ErrSize, true, 0},
		{"whole of another size", func(w http.ResponseWriter, _ *http.Request) { w.Write(r.content[:999]) }, ErrSize, true, 0},
		{"ends early", partial("bytes 100-199/1000", part[:60]), ErrShort, false, 0},
		{"whole ends early", func(w http.ResponseWriter, _ *http.Request) {
			w.(http.Flusher).Flush() // no length
			w.Write(r.content[:50])
		}, ErrShort, false, 0},
		{"compressed", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			z.Write(r.content)
			z.Close()
		}, ErrEncoded, true, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := serve(t, r, tt.h)
			got, err := fetch(s, 0, 100, 100)
			if tt.want == nil {
				if err != nil || !bytes.Equal(got, part) {
					t.Errorf("%d bytes, %v", len(got), err)
				}
				return
			}
			var e *Error
			if !errors.As(err, &e) || !errors.Is(err, tt.want) || e.Permanent != tt.permanent || Permanent(err) != tt.permanent {
				t.Fatalf("error %v", err)
			}
			if d := e.After - tt.after; d < -5*time.Second || d > 0 {
				t.Errorf("after %v, want %v", e.After, tt.after)
			}
		})
	}
}

func TestFetchRedirects(t *testing.T) {
	r := makeRelease(t, "one.bin", entry{size: 1000})
	mux := http.NewServeMux()
	mux.HandleFunc("/one.bin", func(w http.ResponseWriter, req *http.Request) { http.Redirect(w, req, "/there", http.StatusFound) })
	mux.HandleFunc("/there", func(w http.ResponseWriter, req *http.Request) {
		http.ServeContent(w, req, "", time.Time{}, bytes.NewReader(r.content))
	})
	mux.Handle("/loop/", http.RedirectHandler("/loop/one.bin", http.StatusFound))
	srv := httptest.NewServer(mux)
	defer srv.Close()
	if got, err := fetch(seedAt(t, r, srv.URL), 0, 10, 20); err != nil || !bytes.Equal(got, r.content[10:30]) {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := fetch(seedAt(t, r, srv.URL+"/loop/"), 0, 10, 20); err == nil || !strings.Contains(err.Error(), "redirects") || Permanent(err) {
		t.Errorf("error %v", err)
	}
}

// A stall is noticed before the answer and inside of it; slow but steady is fine.
func TestFetchStalls(t *testing.T) {
	r := makeRelease(t, "one.bin", entry{size: 1000})
	hang := func(after int) http.HandlerFunc {
		return func(w http.ResponseWriter, req *http.Request) {
			if after >= 0 {
				w.Header().Set("Content-Length", "1000")
				w.Write(r.content[:after])
				w.(http.Flusher).Flush()
			}
			<-req.Context().Done()
		}
	}
	for _, after := range []int{-1, 0, 500} {
		got, err := fetch(serve(t, r, hang(after)), 0, 0, 1000)
		if !errors.Is(err, ErrStalled) || Permanent(err) || len(got) != max(after, 0) {
			t.Errorf("after %d: %d bytes, %v", after, len(got), err)
		}
	}
	slow := func(w http.ResponseWriter, req *http.Request) {
		for i := 0; i < 1000; i += 100 {
			w.Write(r.content[i : i+100])
			w.(http.Flusher).Flush()
			time.Sleep(50 * time.Millisecond)
		}
	}
	began := time.Now()
	got, err := fetch(serve(t, r, http.HandlerFunc(slow)), 0, 0, 1000)
	if err != nil || !bytes.Equal(got, r.content) || time.Since(began) < 400*time.Millisecond {
		t.Errorf("slow: %d bytes after %v, %v", len(got), time.Since(began), err)
	}
}

func TestFetchEnds(t *testing.T) {
	r := tree(t)
	s := serve(t, r, files(t, r))
	full := errors.New("disk full")
	err := s.Fetch(context.Background(), 0, 0, 100, func([]byte) error { return full })
	if err != full {
		t.Errorf("the sink's error came back as %v", err)
	}
	pad := r.info.Files[3].Offset + 777
	err = s.Fetch(context.Background(), 0, pad, 10, func([]byte) error { return full })
	if err != full {
		t.Errorf("the sink's error in padding came back as %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	err = s.Fetch(ctx, 0, 0, r.info.Length(), func([]byte) error { cancel(); return nil })
	if err != context.Canceled {
		t.Errorf("cancelled: %v", err)
	}
}

func TestNobodyThere(t *testing.T) {
	srv := httptest.NewServer(nil)
	url := strings.Replace(srv.URL, "http://", "http://user:secret@", 1)
	srv.Close()
	r := tree(t)
	_, err := fetch(seedAt(t, r, url), 0, 0, 10)
	var e *Error
	if !errors.As(err, &e) || e.Permanent || e.File != 0 || strings.Contains(err.Error(), "secret") {
		t.Errorf("error %v", err)
	}
}

// BenchmarkFetch is the cost of a piece from a server in this process.
func BenchmarkFetch(b *testing.B) {
	r := makeRelease(b, "one.bin", entry{size: 16 << 20})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		http.ServeContent(w, req, "", time.Time{}, bytes.NewReader(r.content))
	}))
	defer srv.Close()
	s, err := New(r.info, srv.URL, Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	b.SetBytes(int64(len(r.content)))
	b.ReportAllocs()
	for b.Loop() {
		err := s.Fetch(context.Background(), 0, 0, int64(len(r.content)), func(p []byte) error { _, err := io.Discard.Write(p); return err })
		if err != nil {
			b.Fatal(err)
		}
	}
}

func countNew(n *atomic.Int32) func(net.Conn, http.ConnState) {
	return func(_ net.Conn, st http.ConnState) {
		if st == http.StateNew {
			n.Add(1)
		}
	}
}
