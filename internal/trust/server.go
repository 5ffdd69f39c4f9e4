package trust

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"sync"
	"time"
)

// ServerCertificate is a server's own certificate: in memory only, and renewed
// by whoever asks for it when it has grown old.
type ServerCertificate struct {
	authority *Authority
	id        Identity
	names     []string

	mu    sync.Mutex
	cert  *tls.Certificate
	until time.Time // renewed from then on
}

// Serve makes the certificate of a server: name tells it from others, names are
// the DNS names and addresses that clients reach it by.
func (a *Authority) Serve(name string, names []string) (*ServerCertificate, error) {
	s := &ServerCertificate{authority: a, id: Identity{Kind: Server, Name: name}, names: names}
	_, err := s.at(time.Now())
	return s, err
}

func (s *ServerCertificate) at(now time.Time) (*tls.Certificate, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cert != nil && now.Before(s.until) {
		return s.cert, nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	der, expires, err := s.authority.sign(s.id, s.names, key.Public(), serverLife, now)
	if err != nil {
		return nil, fmt.Errorf("certificate of server %s: %w", s.id.Name, err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("certificate of server %s for %q: %w", s.id.Name, s.names, err)
	}
	if _, err := IdentityOf(leaf); err != nil {
		return nil, fmt.Errorf("certificate of server %s: %w", s.id.Name, err)
	}
	// With the authority's own, which those who only have its pin need.
	s.cert = &tls.Certificate{Certificate: [][]byte{der, s.authority.cert.Raw}, PrivateKey: key, Leaf: leaf}
	s.until = expires.Add(-expires.Sub(now) / 3)
	return s.cert, nil
}

// Certificate is the one to show now.
func (s *ServerCertificate) Certificate() (*tls.Certificate, error) { return s.at(time.Now()) }

// Authorities are those of the fleet.
func (s *ServerCertificate) Authorities() *x509.CertPool { return s.authority.Pool() }
