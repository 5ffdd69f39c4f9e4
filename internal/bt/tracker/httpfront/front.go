// Package httpfront serves the HTTP tracker protocol (BEP 3, 7, 21, 23, 24, 48), the page about the swarms, the
// metafiles and the metrics. It parses, asks and prints; what to answer is decided behind the Logic interface.
//
// It bounds whatever a client can make it hold: connections, headers, times and sizes.
package httpfront

import (
	"context"
	"errors"
	"html/template"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sync/errgroup"

	"shoal/internal/bt/announce"
	"shoal/internal/bt/metainfo"
)

// Logic is what stands behind the front. All but Allow return nil, or the refusal to send.
type Logic interface {
	// Announce answers a request that came from an address, appending peers to the response.
	Announce(now time.Time, from netip.Addr, r *announce.Request, out *announce.Response) *announce.Failure
	// Scrape tells about swarms in the order of the hashes, appending to dst.
	Scrape(now time.Time, from netip.Addr, hashes []metainfo.InfoHash, dst []announce.Swarm) ([]announce.Swarm, *announce.Failure)
	// ScrapeAll tells about all swarms.
	ScrapeAll(now time.Time, from netip.Addr) ([]announce.Swarm, *announce.Failure)
	// Allow takes any other request of an address into account; false when it asks too often.
	Allow(now time.Time, from netip.Addr) bool
	// Malformed counts a request that made no sense.
	Malformed()
}

// Options are what a front needs. All but Trusted are required.
type Options struct {
	Logic    Logic
	Overview func(now time.Time) *Overview       // for the page
	Metafile func(name string) (*os.File, error) // opens one by its name, or fs.ErrNotExist
	Metrics  http.Handler                        // for /metrics
	Healthy  func() error                        // for /healthz: nil, or what is wrong
	Trusted  []netip.Prefix                      // proxies whose X-Forwarded-For is believed
	Log      *slog.Logger
}

// Bounds on clients.
const (
	maxConns     = 8192 // in all
	maxConnsEach = 1024 // of one address, but for loopback and proxies
	maxHeader    = announce.MaxQuery + 4<<10
	headerTime   = 5 * time.Second
	requestTime  = 10 * time.Second
	answerTime   = 2 * time.Minute // a metafile over a slow line
	idleTime     = 15 * time.Second
	stopTime     = 2 * time.Second
)

// Front serves listeners.
type Front struct {
	o         Options
	listeners []net.Listener
	html      *template.Template
	pool      pool
}

// New makes a front over bound listeners, which it closes at the end of Run.
func New(listeners []net.Listener, o Options) *Front {
	return &Front{o: o, listeners: listeners, html: newPage()}
}

// Run serves until ctx ends or a listener fails for good. At the end it lets requests that are being answered
// finish, for two seconds.
func (f *Front) Run(ctx context.Context) error {
	server := &http.Server{
		Handler:           f,
		ReadHeaderTimeout: headerTime,
		ReadTimeout:       requestTime,
		WriteTimeout:      answerTime,
		IdleTimeout:       idleTime,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(f.o.Log.Handler(), slog.LevelDebug),
	}
	rest := newHandover()
	plain := newPlainServer(f, rest)
	group, inner := errgroup.WithContext(ctx)
	bound := newConnBound(maxConns, maxConnsEach, f.trusts)
	for _, l := range f.listeners {
		group.Go(func() error { return plain.serve(bound.listen(l)) })
	}
	group.Go(func() error {
		if err := server.Serve(rest); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	group.Go(func() error {
		<-inner.Done()
		bound.stop()
		for _, l := range f.listeners {
			_ = l.Close() // nothing is lost with it
		}
		late, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTime)
		defer cancel()
		plain.stop(late)
		if err := server.Shutdown(late); err != nil {
			return server.Close()
		}
		return nil
	})
	return group.Wait()
}

// ServeHTTP answers one request.
func (f *Front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !onlyReads(w, r) {
		return
	}
	now, from := time.Now(), f.asker(remoteOf(r), r.Header.Values("X-Forwarded-For"))
	switch r.URL.Path {
	case "/announce":
		f.pool.serveTracker(w, r, f.o.Logic, announced, from, now)
		return
	case "/scrape":
		f.pool.serveTracker(w, r, f.o.Logic, scraped, from, now)
		return
	}
	if !f.o.Logic.Allow(now, from) {
		w.Header().Set("Retry-After", "10")
		http.Error(w, "too many requests from "+from.String(), http.StatusTooManyRequests)
		return
	}
	f.serveRest(w, r, now)
}

func onlyReads(w http.ResponseWriter, r *http.Request) bool {
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return true
	}
	w.Header().Set("Allow", "GET, HEAD")
	http.Error(w, "only GET is served here", http.StatusMethodNotAllowed)
	return false
}

// serveRest answers what is not of the tracker protocol.
func (f *Front) serveRest(w http.ResponseWriter, r *http.Request, now time.Time) {
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'")
	h.Set("Referrer-Policy", "no-referrer")
	switch r.URL.Path {
	case "/":
		f.page(w, r, now)
	case "/ledger.json":
		f.ledgers(w, now)
	case "/metrics":
		f.o.Metrics.ServeHTTP(w, r)
	case "/healthz":
		if err := f.o.Healthy(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		h.Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = io.WriteString(w, "ok\n") // nobody is left to tell when the client is gone
	case "/favicon.ico":
		w.WriteHeader(http.StatusNoContent)
	default:
		f.metafile(w, r)
	}
}
