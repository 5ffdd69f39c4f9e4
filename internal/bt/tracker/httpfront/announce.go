package httpfront

import (
	"errors"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"shoal/internal/bt/announce"
	"shoal/internal/bt/metainfo"
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
	s.out = announce.Response{V4: o.V4[:0], V6: o.V6[:0], IDs4: o.IDs4[:0], IDs6: o.IDs6[:0]}
	s.swarms, s.buf = s.swarms[:0], s.buf[:0]
	p.p.Put(s)
}

// announce answers with bencode and status 200 always: clients read the reason of a refusal only there.
func (f *Front) announce(w http.ResponseWriter, r *http.Request, from netip.Addr, now time.Time) {
	s := f.pool.get()
	defer f.pool.put(s)
	var err error
	if s.req, err = announce.ParseQuery(r.URL.RawQuery); err != nil {
		f.refuse(w, s, f.malformed(err))
		return
	}
	if fail := f.o.Logic.Announce(now, from, &s.req, &s.out); fail != nil {
		f.refuse(w, s, fail)
		return
	}
	s.buf = s.out.AppendReply(s.buf, s.req.Full)
	f.send(w, s)
}

func (f *Front) scrape(w http.ResponseWriter, r *http.Request, from netip.Addr, now time.Time) {
	s := f.pool.get()
	defer f.pool.put(s)
	hashes, err := announce.ParseScrapeQuery(r.URL.RawQuery, announce.MaxScrapeHTTP)
	if err != nil {
		f.refuse(w, s, f.malformed(err))
		return
	}
	var fail *announce.Failure
	if s.swarms, fail = f.swarms(now, from, hashes, s.swarms); fail != nil {
		f.refuse(w, s, fail)
		return
	}
	s.buf = announce.AppendScrape(s.buf, s.swarms)
	f.send(w, s)
}

func (f *Front) swarms(now time.Time, from netip.Addr, hashes []metainfo.InfoHash, dst []announce.Swarm) ([]announce.Swarm, *announce.Failure) {
	if len(hashes) == 0 {
		return f.o.Logic.ScrapeAll(now, from)
	}
	return f.o.Logic.Scrape(now, from, hashes, dst)
}

// malformed is the refusal in an error of the announce package, all of whose parsers of requests give one.
func (f *Front) malformed(err error) *announce.Failure {
	f.o.Logic.Malformed()
	var fail *announce.Failure
	if !errors.As(err, &fail) {
		fail = &announce.Failure{Reason: "the request makes no sense"}
	}
	return fail
}

func (f *Front) refuse(w http.ResponseWriter, s *scratch, fail *announce.Failure) {
	s.buf = fail.AppendReply(s.buf)
	f.send(w, s)
}

func (f *Front) send(w http.ResponseWriter, s *scratch) {
	w.Header().Set("Content-Type", "text/plain")
	_, _ = w.Write(s.buf) // nobody is left to tell when the client is gone
}
