package trust

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"time"
)

// Holder is somebody with a certificate, which may change when it is renewed.
type Holder interface {
	Certificate() (*tls.Certificate, error)
	Authorities() *x509.CertPool
}

// Check verifies a chain, its leaf first, by the authorities at a time, and says
// who it speaks for.
func Check(chain []*x509.Certificate, authorities *x509.CertPool, usage x509.ExtKeyUsage, now time.Time) (Identity, error) {
	if len(chain) == 0 {
		return Identity{}, errors.New("no certificate was shown")
	}
	between := x509.NewCertPool()
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{
		Roots: authorities, Intermediates: between, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{usage},
	})
	if err != nil {
		return Identity{}, err
	}
	return IdentityOf(chain[0])
}

// peerProtocol keeps a peer connection from being taken for a call of the API.
const peerProtocol = "shoal-peer/1"

// PeerTLS is for connections between members of a fleet, at either end: TLS
// 1.3, both show a certificate of the fleet. Peers are found by address, so
// there is no name to expect; admit, if it is not nil, may refuse one by who it is.
func PeerTLS(h Holder, admit func(Identity) error) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13, NextProtos: []string{peerProtocol},
		ClientAuth:           tls.RequireAnyClientCert, // VerifyConnection checks it
		InsecureSkipVerify:   true,                     // VerifyConnection does, by what counts here
		GetCertificate:       func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return h.Certificate() },
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return h.Certificate() },
		VerifyConnection: func(c tls.ConnectionState) error {
			// Every certificate of a member is good for both ends.
			id, err := Check(c.PeerCertificates, h.Authorities(), x509.ExtKeyUsageClientAuth, time.Now())
			if err == nil && admit != nil {
				err = admit(id)
			}
			if err != nil {
				return fmt.Errorf("no peer of this fleet: %w", err)
			}
			return nil
		},
	}
}
