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
	Pin         Pin                   // of the fleet's authority, which the server shows; zero: none
	Authorities func() *x509.CertPool // as they are now; nil: of the system
	Advice      string                // what to do when a server is not known by it
}

// Stranger is the error of a server that an Anchor does not know. Another try
// changes nothing.
type Stranger struct {
	Shown  Pin // of the authority that the server shows; zero: none
	advice string
	err    error
}

// Error implements error.
func (s *Stranger) Error() string {
	shown := "no authority"
	if s.Shown != (Pin{}) {
		shown = "the authority " + s.Shown.String()
	}
	return fmt.Sprintf("the server that answers is not one of this fleet: it shows %s, and that is not who is trusted here: %v", shown, s.err)
}

// Unwrap is what was wrong with the certificate.
func (s *Stranger) Unwrap() error { return s.err }

// Hint is what the operator can do.
func (s *Stranger) Hint() string { return s.advice }

// adviceToCompare is for those who were told what servers are known by.
const adviceToCompare = "a server prints its `authority: sha256:...` when it starts: --ca has to be that (in a file it is ca: or authority:), and the URL that of the server"

// ParseAnchor reads the pin of an authority, or the file with its certificate;
// nothing stands for the authorities of the system.
func ParseAnchor(s string) (Anchor, error) {
	if s == "" {
		return Anchor{Advice: adviceToCompare}, nil
	}
	if pin, ok, err := ParsePin(s); ok {
		return Anchor{Pin: pin, Advice: adviceToCompare}, err
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
	return Anchor{Authorities: func() *x509.CertPool { return pool }, Advice: adviceToCompare}, nil
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
	chain := s.PeerCertificates
	var roots *x509.CertPool
	if a.Authorities != nil {
		roots = a.Authorities()
	}
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
		stranger := &Stranger{advice: a.Advice, err: err}
		if last := chain[len(chain)-1]; last.IsCA {
			stranger.Shown = PinOf(last)
		}
		return stranger
	}
	return nil
}
