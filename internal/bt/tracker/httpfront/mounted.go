package httpfront

import (
	"net/http"
	"path"
	"time"

	"shoal/internal/bt/announce"
)

// Mounted answers the tracker protocol on a server of somebody else's, at any
// path that ends in /announce or /scrape. logic is who asks' own, or says why he
// is refused; the address is that of the connection, whatever headers say.
func Mounted(logic func(*http.Request) (Logic, *announce.Failure)) http.Handler {
	return &mounted{logic: logic}
}

type mounted struct {
	logic func(*http.Request) (Logic, *announce.Failure)
	pool  pool
}

// ServeHTTP implements http.Handler.
func (m *mounted) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer := announced
	switch path.Base(r.URL.Path) {
	case "announce":
	case "scrape":
		answer = scraped
	default:
		http.NotFound(w, r)
		return
	}
	if !onlyReads(w, r) {
		return
	}
	if len(r.URL.RawQuery) > announce.MaxQuery {
		http.Error(w, "the query is too long", http.StatusRequestURITooLong)
		return
	}
	logic, refused := m.logic(r)
	if refused != nil {
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(http.StatusForbidden)
		_, _ = w.Write(refused.AppendReply(nil)) // nobody is left to tell when the client is gone
		return
	}
	m.pool.serveTracker(w, r, logic, answer, remoteOf(r), time.Now())
}
