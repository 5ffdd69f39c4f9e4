package trust

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"time"
)

// Anchor is what a client believes a server by. The zero Anchor are the
// authorities of the system.
type Anchor struct {
	Pin         Pin            // of the fleet's authority, which the server shows; zero: none
	Authorities *x509.CertPool // nil: of the system
}

// ParseAnchor reads the pin of an authority, or the file with its certificate;
// nothing is the zero Anchor.
func ParseAnchor(s string) (Anchor, error) {
	if s == "" {
		return Anchor{}, nil
	}
	if pin, ok, err := ParsePin(s); ok {
		return Anchor{Pin: pin}, err
	}
	text, err := os.ReadFile(s)
	if err != nil {
		return Anchor{}, fmt.Errorf("the fleet's authority: %w", err)
	}
	certs, _, err := parsePEM(text)
	if err == nil && len(certs) == 0 {
		err = errors.New("no certificate in PEM is in it")
	}
	if err != nil {
		return Anchor{}, fmt.Errorf("the fleet's authority, %s: %w", s, err)
	}
	pool := x509.NewCertPool()
	for _, c := range certs {
		pool.AddCert(c)
	}
	return Anchor{Authorities: pool}, nil
}

// ClientTLS is for calls to a server. A certificate that the fleet's authority
// gave to a server is good whatever name the server was reached by, so that an
// address or a load balancer needs no preparation; any other is held to the name.
func ClientTLS(a Anchor, own func() (*tls.Certificate, error)) *tls.Config {
	c := &tls.Config{
		MinVersion:         tls.VersionTLS13,
		InsecureSkipVerify: true, // VerifyConnection does, by what counts here
		VerifyConnection:   func(s tls.ConnectionState) error { return a.verify(s, time.Now()) },
	}
	if own != nil {
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			cert, err := own()
			if errors.Is(err, ErrNotJoined) {
				return &tls.Certificate{}, nil // none: the token speaks
			}
			return cert, err
		}
	}
	return c
}

func (a Anchor) verify(s tls.ConnectionState, now time.Time) error {
	chain, roots := s.PeerCertificates, a.Authorities
	if a.Pin != (Pin{}) {
		roots = x509.NewCertPool()
		for _, c := range chain {
			if PinOf(c) == a.Pin && c.IsCA {
				roots.AddCert(c)
			}
		}
	}
	if roots != nil {
		if id, err := Check(chain, roots, x509.ExtKeyUsageServerAuth, now); err == nil {
			if id.Kind != Server {
				return fmt.Errorf("who answers is %s and no server of the fleet", id)
			}
			return nil
		}
	}
	if len(chain) == 0 {
		return errors.New("the server shows no certificate")
	}
	between := x509.NewCertPool()
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, CurrentTime: now, DNSName: s.ServerName})
	if bad := (x509.CertificateInvalidError{}); errors.As(err, &bad) && bad.Reason == x509.Expired {
		return fmt.Errorf("this machine's clock says that it is %s, and the server's certificate is good from %s until %s: set the clock, if it is that: %w",
			now.UTC().Format(time.RFC3339), bad.Cert.NotBefore.Format(time.RFC3339), bad.Cert.NotAfter.Format(time.RFC3339), err)
	}
	if err != nil {
		return fmt.Errorf("the server that answers is not one of this fleet, as far as its certificate and our --ca tell: %w", err)
	}
	return nil
}
