package api

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"shoal"
	"shoal/internal/trust"
)

// visitor is who asks, and how that is known.
type visitor struct {
	shoal.Principal
	Token trust.Sealed   // if it came with one
	Cert  trust.Identity // if it showed one and no token
}

type visitorKey struct{}

func withVisitor(ctx context.Context, v visitor) context.Context {
	return context.WithValue(ctx, visitorKey{}, v)
}

func visitorIn(ctx context.Context) visitor {
	v, _ := ctx.Value(visitorKey{}).(visitor)
	return v
}

// addrOf is where a request comes from.
func addrOf(r *http.Request) netip.Addr {
	at, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return at.Addr().Unmap()
}

// MemberOf is whose certificate a request to a handler of Options.Members came with.
func MemberOf(r *http.Request) trust.Identity { return visitorIn(r.Context()).Cert }

// errWho is a visitor that is nobody.
var errWho = errors.New("who asks is not known")

// visitorOf says who asks, or why that is nobody. A token goes before a
// certificate: whoever sends one wants to be its bearer.
func (s *Server) visitorOf(r *http.Request) (visitor, error) {
	if head := r.Header.Get("Authorization"); head != "" {
		secret, ok := strings.CutPrefix(head, "Bearer ")
		if !ok {
			return visitor{}, fmt.Errorf("%w: Authorization has to be a Bearer token", errWho)
		}
		return s.bearer(r.Context(), strings.TrimSpace(secret))
	}
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		return visitor{}, fmt.Errorf("%w: it came with no token and no certificate", errWho)
	}
	return s.member(r.Context(), r.TLS.PeerCertificates, time.Now())
}

// proof is who a connection's certificate speaks for, once that was checked: a
// host asks many times over one connection, and a signature costs more to check
// than all the rest.
type proof struct {
	mu sync.Mutex
	id trust.Identity
}

type proofKey struct{}

// proven is trust.Check, once a connection; that time passes is looked at each time.
func (s *Server) proven(ctx context.Context, chain []*x509.Certificate, now time.Time) (trust.Identity, error) {
	p, _ := ctx.Value(proofKey{}).(*proof)
	if p == nil {
		p = &proof{}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if now.Before(p.id.Expires) && now.After(p.id.Issued) {
		return p.id, nil
	}
	id, err := trust.Check(chain, s.Authority.Pool(), x509.ExtKeyUsageClientAuth, now)
	if err == nil {
		p.id = id
	}
	return id, err
}

func (s *Server) bearer(ctx context.Context, secret string) (visitor, error) {
	id, err := trust.TokenID(secret)
	if err != nil {
		return visitor{}, fmt.Errorf("%w: %w", errWho, err)
	}
	token, err := s.Door.Token(ctx, id)
	switch {
	case errors.Is(err, shoal.ErrNotFound):
		return visitor{}, fmt.Errorf("%w: no such token here: it was revoked, or is of another fleet", errWho)
	case err != nil:
		return visitor{}, err
	}
	if err := token.Admit(secret, time.Now()); err != nil {
		return visitor{}, fmt.Errorf("%w: %w", errWho, err)
	}
	return visitor{Principal: token.Principal(), Token: token}, nil
}

func (s *Server) member(ctx context.Context, chain []*x509.Certificate, now time.Time) (visitor, error) {
	id, err := s.proven(ctx, chain, now)
	if err != nil {
		return visitor{}, fmt.Errorf("%w: its certificate is not good here: %w", errWho, err)
	}
	v := visitor{Principal: shoal.Principal{Name: id.Name}, Cert: id}
	if id.Kind != trust.Host {
		return v, nil // a member, but none that orders anything
	}
	forgotten, err := s.Door.Forgotten(ctx, id.Name)
	if err != nil {
		return visitor{}, err
	}
	if !id.Issued.After(forgotten) {
		return visitor{}, fmt.Errorf("%w: host %s was forgotten at %s: to join anew it has to move ROOT/.shoal/identity away and be given a new token", errWho, id.Name, forgotten.Format(time.RFC3339))
	}
	v.Role = shoal.Agent
	return v, nil
}

// membersOnly lets only those in who showed a certificate of the fleet.
func (s *Server) membersOnly(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if v := visitorIn(r.Context()); v.Cert.Name == "" {
			s.fail(w, r, v, fmt.Errorf("%w: only members of the fleet may, by their certificate", shoal.ErrDenied))
			return
		}
		h.ServeHTTP(w, r)
	})
}
