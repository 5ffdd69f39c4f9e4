package trust

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"shoal"
	"shoal/internal/atomicfile"
)

// ErrNotJoined means that a host has no certificate yet.
var ErrNotJoined = errors.New("this host has not joined a fleet")

// The files of a Wallet.
const (
	keyFile  = "host.key"
	certFile = "host.crt" // with its chain
	caFile   = "fleet-ca.crt"
)

// Wallet is a host's key and certificate, kept in a folder. The key is made on
// the host and never leaves it.
type Wallet struct {
	dir string
	key crypto.Signer

	mu          sync.Mutex
	id          Identity
	cert        *tls.Certificate
	authorities *x509.CertPool
}

// OpenWallet reads what is in a folder, and makes the key if there is none.
func OpenWallet(dir string) (*Wallet, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	w := &Wallet{dir: dir}
	var err error
	if w.key, err = openKey(filepath.Join(dir, keyFile)); err != nil {
		return nil, err
	}
	chain, err := os.ReadFile(filepath.Join(dir, certFile))
	if errors.Is(err, fs.ErrNotExist) {
		return w, nil
	}
	ca, err2 := os.ReadFile(filepath.Join(dir, caFile))
	if err := errors.Join(err, err2); err != nil {
		return nil, err
	}
	if err := w.take(shoal.Credentials{Certificate: chain, CA: ca}); err != nil {
		return nil, fmt.Errorf("%s: %w; move its files away to join anew", dir, err)
	}
	return w, nil
}

func openKey(file string) (crypto.Signer, error) {
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return nil, err
		}
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			return nil, err
		}
		return key, atomicfile.Write(file, pemOf(pemKey, der), 0o600)
	}
	if err != nil {
		return nil, err
	}
	_, key, err := parsePEM(text)
	if err == nil && key == nil {
		err = errors.New("no key is in it")
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return key, nil
}

// Request asks for a certificate (PKCS #10, DER). Who it is for is said beside it.
func (w *Wallet) Request() ([]byte, error) {
	return x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, w.key)
}

// Keep stores credentials and uses them from now on. They have to be for our key.
func (w *Wallet) Keep(c shoal.Credentials) error {
	if err := w.take(c); err != nil {
		return fmt.Errorf("the certificate that was given: %w", err)
	}
	// The certificate comes last: without it the folder counts as not joined.
	if err := atomicfile.Write(filepath.Join(w.dir, caFile), c.CA, 0o644); err != nil {
		return err
	}
	return atomicfile.Write(filepath.Join(w.dir, certFile), c.Certificate, 0o644)
}

func (w *Wallet) take(c shoal.Credentials) error {
	certs, _, err := parsePEM(c.Certificate)
	if err != nil {
		return err
	}
	roots, _, err := parsePEM(c.CA)
	if err != nil {
		return err
	}
	if len(certs) == 0 || len(roots) == 0 {
		return errors.New("the certificate or its authority is missing")
	}
	if !samePublic(certs[0].PublicKey, w.key.Public()) {
		return errors.New("it is for another key")
	}
	id, err := IdentityOf(certs[0])
	if err != nil {
		return err
	}
	pool := x509.NewCertPool()
	for _, r := range roots {
		pool.AddCert(r)
	}
	cert := &tls.Certificate{PrivateKey: w.key, Leaf: certs[0]}
	for _, c := range certs {
		cert.Certificate = append(cert.Certificate, c.Raw)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.id, w.cert, w.authorities = id, cert, pool
	return nil
}

// Certificate is the newest one; ErrNotJoined when there is none.
func (w *Wallet) Certificate() (*tls.Certificate, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.cert == nil {
		return nil, ErrNotJoined
	}
	return w.cert, nil
}

// Authorities are whose certificates count; nobody's before the host has joined.
func (w *Wallet) Authorities() *x509.CertPool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.authorities == nil {
		return x509.NewCertPool()
	}
	return w.authorities
}

// Identity is who the certificate speaks for; zero before the host has joined.
func (w *Wallet) Identity() Identity {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.id
}

// Due is when to renew: after two thirds of the certificate's life, so that a
// host may be without a server for ten days.
func (w *Wallet) Due() time.Time {
	id := w.Identity()
	return id.Expires.Add(-id.Expires.Sub(id.Issued) / 3)
}
