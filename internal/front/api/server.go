package api

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"shoal"
	"shoal/internal/trust"
)

// Agents is shoal.Station but for Enroll, which the server does itself, with
// Await in place of Watch, and what those need to know who meet others of the fleet.
type Agents interface {
	Hello(ctx context.Context, h shoal.Hello) (shoal.Welcome, error)
	// Await is Watch for who does not want to wait: tell is called once, by any
	// goroutine and perhaps before this returns. It must not wait for long. ctx
	// says who asks, and ends only what happens before this returns.
	Await(ctx context.Context, host string, since uint64, tell func(shoal.Orders, error))
	Report(ctx context.Context, r shoal.Report) error
	Bundle(ctx context.Context, app, version string) (shoal.Bundle, error)
	// ForgottenSince are the hosts that were forgotten after a time.
	ForgottenSince(ctx context.Context, after time.Time) ([]shoal.ForgottenHost, error)
}

// Door is what the server has to know about those who come. It is asked with
// every request, so it answers from memory.
type Door interface {
	// Token is a token by its id; shoal.ErrNotFound when there is none.
	Token(ctx context.Context, id string) (trust.Sealed, error)
	// UseToken stores what trust.Sealed.Use makes of a token.
	UseToken(ctx context.Context, id, by string) error
	// Forgotten is when a host was forgotten the last time; zero if never.
	// Certificates that were issued before are refused.
	Forgotten(ctx context.Context, host string) (time.Time, error)
}

// Options of a server. All are needed but Held and Members, and Certificate to
// Serve only.
type Options struct {
	Fleet     shoal.Fleet
	Access    shoal.Access
	Agents    Agents
	Door      Door
	Authority *trust.Authority
	// Certificate shows who the server is: trust.ServerCertificate's, or one of
	// an authority that clients trust already.
	Certificate func() (*tls.Certificate, error)
	// Held tells whether this server holds all content of a release. nil: of none.
	Held func(app, version string) bool
	// Members are more handlers, by pattern, for those who show a certificate of
	// the fleet: the tracker. MemberOf says who asks.
	Members map[string]http.Handler
	Log     *slog.Logger
}

// Bounds of connections.
const (
	headerLimit   = 10 * time.Second // to send a request's header, and for TLS
	bodyLimit     = 30 * time.Second // to send a body, or a part of a metafile
	maxHeader     = 32 << 10
	maxStreams    = 16      // requests at a time on one connection
	maxBody       = 4 << 20 // of JSON
	maxMetafiles  = 2       // received at a time: each may take 256 MiB
	stopPatience  = 2 * time.Second
	watchPatience = 2 * shoal.WatchFor // of a connection without a request
)

// Server serves the API.
type Server struct {
	Options
	mux       *http.ServeMux
	metafiles chan struct{}
	lobby     *lobby
}

// NewServer makes a server. Serve lets it begin.
func NewServer(o Options) (*Server, error) {
	if o.Fleet == nil || o.Access == nil || o.Agents == nil || o.Door == nil || o.Authority == nil || o.Log == nil {
		return nil, errors.New("api: all of Fleet, Access, Agents, Door, Authority and Log are needed")
	}
	s := &Server{Options: o, mux: http.NewServeMux(), metafiles: make(chan struct{}, maxMetafiles), lobby: newLobby()}
	for _, r := range routes() {
		s.mux.Handle(r.method+" "+r.pattern, s.handler(r))
	}
	for pattern, h := range o.Members {
		s.mux.Handle(pattern, s.membersOnly(h))
	}
	return s, nil
}

// ServeHTTP answers one request. Who is nobody gets no answer, whatever is asked.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	v, err := s.visitorOf(r)
	if err != nil {
		s.fail(w, r, v, err)
		return
	}
	ctx := shoal.WithAddr(shoal.WithPrincipal(r.Context(), v.Principal), addrOf(r))
	r = r.WithContext(withVisitor(ctx, v))
	if _, pattern := s.mux.Handler(r); pattern == "" {
		s.fail(w, r, v, fmt.Errorf("%w: the API has no %s %.100s", shoal.ErrNotFound, r.Method, r.URL.Path))
		return
	}
	s.mux.ServeHTTP(w, r)
}

// Serve answers at a listener until ctx ends; then watches are let go and what
// is being answered may finish.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	if s.Certificate == nil {
		return errors.New("api: a Certificate is needed to serve")
	}
	requests, cancel := context.WithCancel(ctx)
	defer cancel()
	h := &http.Server{
		Handler: s, BaseContext: func(net.Listener) context.Context { return requests },
		ConnContext: func(ctx context.Context, conn net.Conn) context.Context {
			return context.WithValue(ctx, proofKey{}, s.lobby.proofOf(conn))
		},
		ReadHeaderTimeout: headerLimit, IdleTimeout: watchPatience, MaxHeaderBytes: maxHeader,
		ErrorLog: log.New(quiet{s.Log}, "", 0), Protocols: new(http.Protocols),
	}
	// HTTP/2 would save a host that watches and reports its second connection.
	// Measured, that is 13 % of the memory for half as much CPU again.
	h.Protocols.SetHTTP1(true)
	config := &tls.Config{
		MinVersion: tls.VersionTLS13,
		// visitorOf looks at it with each request, so that one which expires or
		// is forgotten ends there, and with an answer that says why.
		ClientAuth:     tls.RequestClientCert,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return s.Certificate() },
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	s.lobby.open(l.Addr(), &wg)
	wg.Go(func() { _ = h.Serve(s.lobby) }) // ends with the other one
	stop := context.AfterFunc(ctx, func() {
		s.lobby.close()
		late, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopPatience)
		defer cancel()
		if h.Shutdown(late) != nil {
			h.Close()
		}
		wg.Done()
	})
	wg.Add(1)
	err := h.Serve(tls.NewListener(l, config))
	if stop() { // it has ended by itself
		wg.Done()
		s.lobby.close()
		h.Close()
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("API at %s: %w", l.Addr(), err)
}

// quiet sends what net/http says of bad connections to where it does not shout:
// every scanner of ports causes some.
type quiet struct{ log *slog.Logger }

func (q quiet) Write(p []byte) (int, error) {
	q.log.Debug("API connection", "said", string(p))
	return len(p), nil
}
