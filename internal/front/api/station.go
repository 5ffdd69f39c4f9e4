package api

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"shoal"
	"shoal/internal/trust"
)

// enroll gives certificates out: to a host that joins with its one-time token,
// to one that renews, and to a machine that serves what it pushes.
func (s *Server) enroll(c *call) (any, error) {
	var e shoal.Enrollment
	if err := c.decode(&e, false); err != nil {
		return nil, err
	}
	kind := trust.Host
	switch {
	case c.Role == shoal.Agent:
		if e.Host != c.Cert.Name {
			return nil, fmt.Errorf("%w: the certificate is of host %s, so it cannot be renewed for %.80q", shoal.ErrDenied, c.Cert.Name, e.Host)
		}
	case c.Role == shoal.Joiner:
		if err := s.mayJoin(c, e.Host); err != nil {
			return nil, err
		}
	default:
		kind = trust.Pusher
	}
	made, err := s.Authority.Issue(kind, e.Host, e.CSR, time.Now())
	if err != nil || c.Role != shoal.Joiner {
		return made, err
	}
	by, err := keyName(e.Host, e.CSR)
	if err != nil {
		return nil, err
	}
	// Only now, so that a request that was no good does not use it up.
	if err := s.Door.UseToken(c.ctx(), c.Token.ID, by); err != nil {
		return nil, err
	}
	s.Log.Info("host joins", "host", e.Host, "token", c.Token.ID, "from", c.r.RemoteAddr)
	return made, nil
}

// mayJoin refuses a name that is another host's: whoever has a token for any
// host must not become one that is there.
func (s *Server) mayJoin(c *call, host string) error {
	switch {
	case c.Token.Host == host:
		return nil
	case c.Token.Host != "":
		return fmt.Errorf("%w: the token is for host %s, not %.80q", shoal.ErrDenied, c.Token.Host, host)
	}
	if err := shoal.CheckHost(host); err != nil {
		return fmt.Errorf("%w: %w", shoal.ErrInvalid, err)
	}
	named, err := shoal.ParseSelector("host=" + host)
	if err != nil {
		return fmt.Errorf("%w: %w", shoal.ErrInvalid, err)
	}
	// A joiner may not look at the fleet, so the server looks for it.
	own := shoal.WithPrincipal(c.ctx(), shoal.Principal{Name: "enroll", Role: shoal.Viewer})
	there, err := s.Fleet.Hosts(own, named)
	if err == nil && len(there) > 0 && !c.Token.Used.IsZero() {
		return nil // it used this token itself and lost the answer; UseToken says whether it is the same
	}
	if err == nil && len(there) > 0 {
		err = fmt.Errorf("%w: a host %s is in the fleet already; `shoal hosts forget %s` first, or make a token for it (--host)", shoal.ErrConflict, host, host)
	}
	return err
}

// keyName is a host and its key, to know whether it comes again.
func keyName(host string, csr []byte) (string, error) {
	request, err := x509.ParseCertificateRequest(csr)
	if err != nil {
		return "", fmt.Errorf("%w: %w", shoal.ErrInvalid, err)
	}
	sum := sha256.Sum256(request.RawSubjectPublicKeyInfo)
	return host + " " + hex.EncodeToString(sum[:]), nil
}

func (s *Server) hello(c *call) (any, error) {
	var h shoal.Hello
	if err := c.decode(&h, false); err != nil {
		return nil, err
	}
	h.Host = c.Cert.Name
	return s.Agents.Hello(c.ctx(), h)
}

func (s *Server) watch(c *call) (any, error) {
	since, err := c.number("since")
	if err != nil {
		return nil, err
	}
	g, err := s.lobby.enter(c)
	if err != nil {
		return nil, err
	}
	host := c.Cert.Name // the request itself is not kept
	s.Agents.Await(c.ctx(), host, since, func(o shoal.Orders, err error) {
		if err != nil {
			status, doc := s.refuse(err, errors.Is(err, context.Canceled), "path", "/v1/agent/orders", "by", host)
			s.lobby.tell(answer{g, status, doc})
			return
		}
		if o.Orders == nil {
			o.Orders = []shoal.Order{}
		}
		s.lobby.tell(answer{g, http.StatusOK, o})
	})
	return wrote, nil
}

func (s *Server) report(c *call) (any, error) {
	var r shoal.Report
	if err := c.decode(&r, false); err != nil {
		return nil, err
	}
	r.Host = c.Cert.Name
	return nil, s.Agents.Report(c.ctx(), r)
}

func (s *Server) forgotten(c *call) (any, error) {
	var after time.Time
	if text := c.r.URL.Query().Get("after"); text != "" {
		var err error
		if after, err = time.Parse(time.RFC3339, text); err != nil {
			return nil, fmt.Errorf("%w: after=%.40q: write it as 2006-01-02T15:04:05Z", shoal.ErrInvalid, text)
		}
	}
	list, err := s.Agents.ForgottenSince(c.ctx(), after)
	return visible(list, func(shoal.ForgottenHost) bool { return true }), err
}

// Header fields of a metafile, up and down.
const (
	headSignature = "Shoal-Signature" // base64
	headSerial    = "Shoal-Serial"
	headTracker   = "Shoal-Tracker" // one each
	typeMetafile  = "application/x-bittorrent"
)

func (s *Server) bundle(c *call) (any, error) {
	b, err := s.Agents.Bundle(c.ctx(), c.r.PathValue("app"), c.r.PathValue("version"))
	if err != nil {
		return nil, err
	}
	head := c.w.Header()
	head.Set("Content-Type", typeMetafile)
	head.Set("Content-Length", strconv.Itoa(len(b.Metafile)))
	head.Set(headSerial, strconv.FormatUint(b.Serial, 10))
	head.Set(headSignature, base64.StdEncoding.EncodeToString(b.Signature))
	for _, t := range b.Trackers {
		head.Add(headTracker, t)
	}
	rc, rest := http.NewResponseController(c.w), b.Metafile
	for len(rest) > 0 {
		part := rest[:min(len(rest), 1<<20)]
		_ = rc.SetWriteDeadline(time.Now().Add(writeLimit))
		if _, err := c.w.Write(part); err != nil {
			return wrote, nil // it is gone
		}
		rest = rest[len(part):]
	}
	return wrote, nil
}

// Bounds of an upload.
const maxPeers = 16

// register takes a metafile in, as long as bytes keep coming.
func (s *Server) register(c *call) (any, error) {
	u := shoal.Upload{App: c.r.PathValue("app"), Version: c.r.PathValue("version"), Peers: c.r.URL.Query()["peer"], Pending: c.r.URL.Query().Get("pending") == "true"}
	if err := c.scope(u.App); err != nil {
		return nil, err
	}
	var err error
	if u.Serial, err = c.number("serial"); err != nil {
		return nil, err
	}
	if u.Signature, err = base64.StdEncoding.DecodeString(c.r.Header.Get(headSignature)); err != nil {
		return nil, fmt.Errorf("%w: %s is no base64", shoal.ErrInvalid, headSignature)
	}
	switch {
	case len(u.Signature) > shoal.MaxSignature:
		return nil, fmt.Errorf("%w: a signature of %d bytes, more than %d", shoal.ErrInvalid, len(u.Signature), shoal.MaxSignature)
	case len(u.Peers) > maxPeers:
		return nil, fmt.Errorf("%w: %d peers, more than %d", shoal.ErrInvalid, len(u.Peers), maxPeers)
	case c.r.ContentLength > shoal.MaxMetafile:
		return nil, fmt.Errorf("%w: a metafile of %d bytes, more than %d", shoal.ErrInvalid, c.r.ContentLength, shoal.MaxMetafile)
	}
	select {
	case s.metafiles <- struct{}{}:
		defer func() { <-s.metafiles }()
	case <-c.ctx().Done():
		return nil, c.ctx().Err()
	}
	rc := http.NewResponseController(c.w)
	defer rc.SetReadDeadline(time.Time{})
	body := http.MaxBytesReader(c.w, c.r.Body, shoal.MaxMetafile)
	if u.Metafile, err = io.ReadAll(patientReader{body, rc}); err != nil {
		return nil, fmt.Errorf("%w: the metafile did not arrive: %w", shoal.ErrInvalid, err)
	}
	return s.Fleet.Register(c.ctx(), u)
}

// patientReader gives every part of a body its own deadline.
type patientReader struct {
	r  io.Reader
	rc *http.ResponseController
}

func (p patientReader) Read(b []byte) (int, error) {
	_ = p.rc.SetReadDeadline(time.Now().Add(bodyLimit))
	return p.r.Read(b)
}
