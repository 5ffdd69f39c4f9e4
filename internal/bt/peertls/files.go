package peertls

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"
)

// files are a certificate, its key and the CAs as they lie on disk.
type files struct {
	cert, key, ca string

	mu     sync.Mutex
	looked time.Time
	seen   [3]stamp
	own    *tls.Certificate
	pool   *x509.CertPool
}

// stamp tells two contents of a file apart.
type stamp struct {
	at   time.Time
	size int64
}

// lookEvery is how often the files are looked at, while there are handshakes.
const lookEvery = 10 * time.Second

// maxPEM bounds what is read of each file, in bytes.
const maxPEM = 4 << 20

// Files makes the options of PEM files: our certificate with its chain, its key,
// and the certificates of the CAs that sign members. They are read again when
// they have changed; while that fails, for somebody may be in the middle of
// renewing them, what was read before is used.
func Files(cert, key, ca string) (Options, error) {
	f := &files{cert: cert, key: key, ca: ca}
	if err := f.read(); err != nil {
		return Options{}, err
	}
	f.looked = time.Now()
	return Options{
		Certificate: func() (*tls.Certificate, error) { own, _ := f.current(time.Now()); return own, nil },
		CAs:         func() *x509.CertPool { _, pool := f.current(time.Now()); return pool },
	}, nil
}

func (f *files) current(now time.Time) (*tls.Certificate, *x509.CertPool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if now.Sub(f.looked) >= lookEvery {
		f.looked = now
		_ = f.read() // tried again, see Files
	}
	return f.own, f.pool
}

// read reads all three if one of them has changed.
func (f *files) read() error {
	var seen [3]stamp
	for i, name := range []string{f.cert, f.key, f.ca} {
		info, err := os.Stat(name)
		if err != nil {
			return fmt.Errorf("TLS: %w", err)
		}
		if info.Size() > maxPEM {
			return fmt.Errorf("TLS: %s has %d bytes, more than any PEM file of certificates", name, info.Size())
		}
		seen[i] = stamp{info.ModTime(), info.Size()}
	}
	if seen == f.seen {
		return nil
	}
	own, err := tls.LoadX509KeyPair(f.cert, f.key)
	if err != nil {
		return fmt.Errorf("TLS: certificate %s with key %s: %w", f.cert, f.key, err)
	}
	pem, err := os.ReadFile(f.ca)
	if err != nil {
		return fmt.Errorf("TLS: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return fmt.Errorf("TLS: %s: %w", f.ca, errNoCA)
	}
	f.own, f.pool, f.seen = &own, pool, seen
	return nil
}

var errNoCA = errors.New("it holds no certificate in PEM form")
