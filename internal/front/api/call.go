package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"shoal"
)

// call is one request to one route.
type call struct {
	visitor
	do shoal.Deed
	w  http.ResponseWriter
	r  *http.Request
}

func (c *call) ctx() context.Context { return c.r.Context() }

// handler puts the checks that all routes share before one.
func (s *Server) handler(r route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		c := &call{visitorIn(req.Context()), r.do, w, req}
		if err := r.may(c.Principal); err != nil {
			s.fail(w, req, c.visitor, err)
			return
		}
		answer, err := r.serve(s, c)
		if err != nil {
			s.fail(w, req, c.visitor, err)
			return
		}
		if answer != wrote {
			c.answer(http.StatusOK, answer)
		}
	})
}

// wrote is the answer of a handler that has written it itself.
var wrote any = &struct{ byte }{}

// decode reads the body as JSON. Of people's requests a field that nobody knows
// is refused: a limit with a typo would be no limit.
func (c *call) decode(into any, strict bool) error {
	rc := http.NewResponseController(c.w)
	_ = rc.SetReadDeadline(time.Now().Add(bodyLimit)) // fails in tests without a connection only
	// A deadline that stays would end a watch.
	defer rc.SetReadDeadline(time.Time{})
	d := json.NewDecoder(http.MaxBytesReader(c.w, c.r.Body, maxBody))
	if strict {
		d.DisallowUnknownFields()
	}
	if err := d.Decode(into); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: the body: %w", shoal.ErrInvalid, err)
	}
	return nil
}

// number reads a number of the path or the query; none is 0.
func (c *call) number(name string) (uint64, error) {
	text := c.r.PathValue(name)
	if text == "" {
		text = c.r.URL.Query().Get(name)
	}
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%w: %s=%.40q is no number", shoal.ErrInvalid, name, text)
	}
	return n, nil
}

func (c *call) answer(status int, doc any) {
	_ = http.NewResponseController(c.w).SetWriteDeadline(time.Now().Add(writeLimit))
	c.w.Header().Set("Cache-Control", "no-store")
	if doc == nil {
		c.w.WriteHeader(http.StatusNoContent)
		return
	}
	var b bytes.Buffer
	if err := json.NewEncoder(&b).Encode(doc); err != nil {
		panic(fmt.Sprintf("a %T is no JSON: %v", doc, err)) // a mistake in this program; net/http logs it
	}
	c.w.Header().Set("Content-Type", "application/json")
	c.w.Header().Set("Content-Length", strconv.Itoa(b.Len()))
	c.w.WriteHeader(status)
	_, _ = c.w.Write(b.Bytes()) // the one who asked is gone: nobody is left to tell
}

// Refusal is the body of an answer that is none.
type Refusal struct {
	Code  string `json:"code"` // see kinds
	Error string `json:"error"`
	Hint  string `json:"hint,omitempty"`
}

// kind is how a kind of error travels.
type kind struct {
	err    error
	status int
	code   string
}

// kinds are looked through in their order. What is none of them is a fault of
// the server, and told to its log only.
func kinds() []kind {
	return []kind{
		{errWho, http.StatusUnauthorized, "unauthenticated"},
		{shoal.ErrInvalid, http.StatusBadRequest, "invalid"},
		{shoal.ErrDenied, http.StatusForbidden, "denied"},
		{shoal.ErrNotFound, http.StatusNotFound, "not-found"},
		{shoal.ErrConflict, http.StatusConflict, "conflict"},
		{shoal.ErrUnavailable, http.StatusServiceUnavailable, "unavailable"},
	}
}

func (s *Server) fail(w http.ResponseWriter, r *http.Request, v visitor, err error) {
	status, doc := s.refuse(err, r.Context().Err() != nil, "method", r.Method, "path", r.URL.Path, "by", v.Name, "from", r.RemoteAddr)
	if status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", "Bearer")
	}
	(&call{v, "", w, r}).answer(status, doc)
}

// refuse is the answer to a request that failed, which the log hears of too. gone
// tells that its client has gone, or the server stops.
func (s *Server) refuse(err error, gone bool, about ...any) (status int, doc Refusal) {
	status, doc = http.StatusInternalServerError, Refusal{Code: "internal", Error: "the server failed; its log says how"}
	for _, k := range kinds() {
		if errors.Is(err, k.err) {
			status, doc = k.status, Refusal{Code: k.code, Error: err.Error()}
			break
		}
	}
	var own interface{ Hint() string }
	if errors.As(err, &own) {
		doc.Hint = own.Hint()
	}
	log := s.Log.With(about...).With("err", err)
	switch {
	case status == http.StatusInternalServerError && gone:
		status, doc = http.StatusServiceUnavailable, Refusal{Code: "unavailable", Error: "the server is stopping"}
	case status == http.StatusInternalServerError:
		log.Error("API request failed")
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		log.Info("API request refused")
	default:
		log.Debug("API request refused")
	}
	return status, doc
}
