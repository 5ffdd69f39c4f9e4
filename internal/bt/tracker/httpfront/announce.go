package httpfront

import (
	"errors"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"shoal/internal/bt/announce"
	"shoal/internal/bt/metainfo"
	"shoal/internal/bt/multihome"
)

// scratch is the memory of one answer, used again for the next.
type scratch struct {
	req    announce.Request
	out    announce.Response
	swarms []announce.Swarm
	buf    []byte
}

// keepBytes is the size of an answer above which its memory is not kept: a full scrape can be long.
const keepBytes = 64 << 10

type pool struct{ p sync.Pool }

func (p *pool) get() *scratch {
	if s, ok := p.p.Get().(*scratch); ok {
		return s
	}
	return &scratch{}
}

func (p *pool) put(s *scratch) {
	if cap(s.buf) > keepBytes || cap(s.swarms) > announce.MaxScrapeHTTP {
		return
	}
	o := &s.out
	s.out = announce.Response{V4: o.V4[:0], V6: o.V6[:0], IDs4: o.IDs4[:0], IDs6: o.IDs6[:0],
		Site: announce.Site{Via: multihome.Via{V4: o.Site.Via.V4[:0], V6: o.Site.Via.V6[:0]}, V4: o.Site.V4[:0], V6: o.Site.V6[:0],
			Names: o.Site.Names[:0], At4: o.Site.At4[:0], At6: o.Site.At6[:0],
			Ways: o.Site.Ways[:0]}}
	s.swarms, s.buf = s.swarms[:0], s.buf[:0]
	p.p.Put(s)
}

// announced makes the answer to the query of an announce, in s.buf. It goes out with status 200 always: clients
// read the reason of a refusal only there.
func announced(l Logic, s *scratch, query string, from netip.Addr, now time.Time) {
	var err error
	if s.req, err = announce.ParseQuery(query); err != nil {
		s.buf = malformed(l, err).AppendReply(s.buf)
		return
	}
	if fail := l.Announce(now, from, &s.req, &s.out); fail != nil {
		s.buf = fail.AppendReply(s.buf)
		return
	}
	s.buf = s.out.AppendReply(s.buf, s.req.Full)
}

// scraped makes the answer to the query of a scrape, as announced does.
func scraped(l Logic, s *scratch, query string, from netip.Addr, now time.Time) {
	hashes, err := announce.ParseScrapeQuery(query, announce.MaxScrapeHTTP)
	if err != nil {
		s.buf = malformed(l, err).AppendReply(s.buf)
		return
	}
	var fail *announce.Failure
	if s.swarms, fail = swarmsOf(l, now, from, hashes, s.swarms); fail != nil {
		s.buf = fail.AppendReply(s.buf)
		return
	}
	s.buf = announce.AppendScrape(s.buf, s.swarms)
}

func swarmsOf(l Logic, now time.Time, from netip.Addr, hashes []metainfo.InfoHash, dst []announce.Swarm) ([]announce.Swarm, *announce.Failure) {
	if len(hashes) == 0 {
		return l.ScrapeAll(now, from)
	}
	return l.Scrape(now, from, hashes, dst)
}

// malformed is the refusal in an error of the announce package, all of whose parsers of requests give one.
func malformed(l Logic, err error) *announce.Failure {
	l.Malformed()
	var fail *announce.Failure
	if !errors.As(err, &fail) {
		fail = &announce.Failure{Reason: "the request makes no sense"}
	}
	return fail
}

// contentType is that of all answers of the tracker protocol.
const contentType = "text/plain"

// serveTracker answers a request that came by net/http.
func (p *pool) serveTracker(w http.ResponseWriter, r *http.Request, l Logic, answer func(Logic, *scratch, string, netip.Addr, time.Time), from netip.Addr, now time.Time) {
	s := p.get()
	defer p.put(s)
	answer(l, s, r.URL.RawQuery, from, now)
	w.Header().Set("Content-Type", contentType)
	_, _ = w.Write(s.buf) // nobody is left to tell when the client is gone
}
