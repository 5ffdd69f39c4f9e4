package webseed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"shoal/internal/bt/metainfo"
)

const (
	bufferSize   = 256 << 10
	maxRedirects = 5
	maxSkip      = 4 << 20 // bytes that are read and dropped of an answer that is not a range
	defaultStall = 20 * time.Second
)

// Options of a Seed; the zero value is good.
type Options struct {
	Agent string        // User-Agent; "": shoal
	Stall time.Duration // longest wait for the next bytes, for the first ones too; 0: 20 s
	Idle  int           // connections kept open between fetches; 0: 4
}

// Seed is one web server that has the content. Its methods may be called from
// several goroutines; each Fetch uses one connection.
type Seed struct {
	plan    Plan
	agent   string
	stall   time.Duration
	client  *http.Client
	buffers sync.Pool
	zeros   []byte
}

// New makes a Seed of an entry of a metafile's url-list. It does not connect.
func New(info *metainfo.Info, rawURL string, o Options) (*Seed, error) {
	plan, err := NewPlan(info, rawURL)
	if err != nil {
		return nil, err
	}
	s := &Seed{plan: plan, agent: o.Agent, stall: o.Stall, zeros: make([]byte, 16<<10)}
	if s.agent == "" {
		s.agent = "shoal"
	}
	if s.stall <= 0 {
		s.stall = defaultStall
	}
	if o.Idle <= 0 {
		o.Idle = 4
	}
	s.buffers.New = func() any { b := make([]byte, bufferSize); return &b }
	s.client = &http.Client{Transport: newTransport(o.Idle), CheckRedirect: checkRedirect}
	return s, nil
}

// newTransport keeps to HTTP/1.1: many ranges in parallel go faster over
// connections of their own than inside of one.
func newTransport(idle int) *http.Transport {
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
		TLSHandshakeTimeout:    10 * time.Second,
		MaxIdleConnsPerHost:    idle,
		IdleConnTimeout:        30 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
		ReadBufferSize:         64 << 10,
		DisableCompression:     true, // a range of compressed bytes is of no use
		Protocols:              &protocols,
	}
}

func checkRedirect(_ *http.Request, via []*http.Request) error {
	if len(via) > maxRedirects {
		return fmt.Errorf("more than %d redirects", maxRedirects)
	}
	return nil
}

// Close drops idle connections. Fetches under way are ended by their contexts.
func (s *Seed) Close() { s.client.CloseIdleConnections() }

// Fetch gets n bytes from off inside of piece p and hands them to sink in order,
// padding as zeros; the range may reach into the pieces that follow. sink must not
// keep its argument. What sink returns ends the fetch and is returned; ctx ending
// gives its error; everything else is an *Error.
func (s *Seed) Fetch(ctx context.Context, p metainfo.Piece, off, n int64, sink func([]byte) error) error {
	start := s.plan.info.PieceOffset(p) + off
	if off < 0 || n < 0 || start+n > s.plan.info.Length() {
		return fmt.Errorf("webseed: %d bytes at %d of piece %d are not in the release", n, off, p)
	}
	for part := range s.plan.Parts(start, n) {
		var err error
		if part.File < 0 {
			err = s.pad(part.Length, sink)
		} else {
			err = s.fetchPart(ctx, part, sink)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *Seed) pad(n int64, sink func([]byte) error) error {
	for n > 0 {
		z := s.zeros[:min(n, int64(len(s.zeros)))]
		if err := sink(z); err != nil {
			return err
		}
		n -= int64(len(z))
	}
	return nil
}

// sinkError marks what came from the sink.
type sinkError struct{ err error }

func (e sinkError) Error() string { return e.err.Error() }

// fetchPart gets one run of one file and types the errors.
func (s *Seed) fetchPart(ctx context.Context, part Part, sink func([]byte) error) error {
	watched, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	dog := time.AfterFunc(s.stall, func() { cancel(ErrStalled) })
	defer dog.Stop()

	after, err := s.get(watched, part, func(b []byte) error {
		dog.Stop() // the sink may take its time
		err := sink(b)
		dog.Reset(s.stall)
		return err
	})
	var fromSink sinkError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &fromSink):
		return fromSink.err
	case ctx.Err() != nil:
		return ctx.Err()
	case watched.Err() != nil:
		err = context.Cause(watched)
	}
	return &Error{URL: redact(part.URL), File: part.File, Permanent: lasting(err), After: after, Err: err}
}

// lasting tells the failures that will be the same next time.
func lasting(err error) bool {
	var status StatusError
	if errors.As(err, &status) {
		return status.lasting()
	}
	return errors.Is(err, ErrRange) || errors.Is(err, ErrSize) || errors.Is(err, ErrEncoded)
}

// get asks for one run and hands it to sink.
func (s *Seed) get(ctx context.Context, part Part, sink func([]byte) error) (after time.Duration, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, part.URL, nil)
	if err != nil {
		return 0, err
	}
	req.Header.Set("User-Agent", s.agent)
	req.Header.Set("Accept-Encoding", "identity")
	req.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", part.Off, part.Off+part.Length-1))
	resp, err := s.client.Do(req)
	if err != nil {
		return 0, withoutURL(err)
	}
	defer resp.Body.Close()
	skip, err := examine(resp, part, s.plan.info.Files[part.File].Length)
	if err != nil {
		return retryAfter(resp.Header, time.Now()), err
	}
	return 0, s.copyBody(resp.Body, skip, part.Length, sink)
}

// copyBody drops skip bytes and hands the n after them to sink.
func (s *Seed) copyBody(body io.Reader, skip, n int64, sink func([]byte) error) error {
	if _, err := io.CopyN(io.Discard, body, skip); err != nil {
		return ended(err)
	}
	buf := s.buffers.Get().(*[]byte)
	defer s.buffers.Put(buf)
	for n > 0 {
		got, err := body.Read((*buf)[:min(n, bufferSize)])
		if got > 0 {
			if err := sink((*buf)[:got]); err != nil {
				return sinkError{err}
			}
			n -= int64(got)
		}
		if err != nil && n > 0 {
			return ended(err)
		}
	}
	return nil
}

func ended(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return ErrShort
	}
	return err
}

// withoutURL drops the URL, which Error shows anyway and which may hold a password.
func withoutURL(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

func redact(rawURL string) string {
	if u, err := url.Parse(rawURL); err == nil {
		return u.Redacted()
	}
	before, _, _ := strings.Cut(rawURL, "?")
	return before
}
