package trust

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"time"

	"shoal"
)

// How long certificates are valid. The authority's own has to outlive every
// fleet that nobody rotates it in; a pusher needs one for as long as its push.
const (
	authorityLife = 20 * 365 * 24 * time.Hour
	hostLife      = 30 * 24 * time.Hour
	serverLife    = 30 * 24 * time.Hour
	pusherLife    = 24 * time.Hour
	// backdate is how far a clock may be behind before it takes a new
	// certificate for one of the future.
	backdate = 24 * time.Hour
)

// maxCSR bounds a request for a certificate, in bytes.
const maxCSR = 16 << 10

// authoritySecret is the name under which a Vault keeps the authority.
const authoritySecret = "authority.pem"

// Authority issues the certificates of a fleet.
type Authority struct {
	cert    *x509.Certificate
	key     crypto.Signer
	trusted []*x509.Certificate // cert first
}

// OpenAuthority returns the authority of a vault. If there is none, it is the
// given one, in the form that ParseAuthority reads, or a new one for nil. A given
// one takes the place of one that is kept if those who trust either also trust
// what the other signs; else a fleet would fall apart, and it is an error.
func OpenAuthority(ctx context.Context, v Vault, given []byte, now time.Time) (*Authority, error) {
	var wish *Authority
	var err error
	if given != nil {
		if wish, err = ParseAuthority(given); err != nil {
			return nil, err
		}
	}
	for {
		kept, rev, err := keptAuthority(ctx, v)
		next := wish
		switch {
		case err != nil:
			return nil, err
		case kept != nil && (wish == nil || wish.same(kept)):
			return kept, nil
		case kept != nil && !(wish.trusts(kept) && kept.trusts(wish)):
			return nil, fmt.Errorf("%w: the given authority (%s) is not the one that the fleet has (%s), and members of one do not trust the other: docs/security.md says how a fleet gets a new one", shoal.ErrConflict, wish.Pin(), kept.Pin())
		case kept == nil && wish == nil:
			if next, err = NewAuthority(now); err != nil {
				return nil, fmt.Errorf("the fleet's authority: %w", err)
			}
		}
		text, err := next.encode()
		if err == nil {
			err = v.KeepSecret(ctx, authoritySecret, text, rev)
		}
		if err == nil {
			return next, nil
		}
		if !errors.Is(err, shoal.ErrConflict) { // else another server was first: see what it has kept
			return nil, fmt.Errorf("the fleet's authority: %w", err)
		}
	}
}

// keptAuthority is that of a vault; nil when there is none.
func keptAuthority(ctx context.Context, v Vault) (*Authority, uint64, error) {
	text, rev, err := v.Secret(ctx, authoritySecret)
	if errors.Is(err, shoal.ErrNotFound) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, fmt.Errorf("the fleet's authority: %w", err)
	}
	a, err := ParseAuthority(text)
	return a, rev, err
}

// encode is what ParseAuthority reads.
func (a *Authority) encode() ([]byte, error) {
	secret, err := x509.MarshalPKCS8PrivateKey(a.key)
	return append(a.Certificates(), pemOf(pemKey, secret)...), err
}

func (a *Authority) same(b *Authority) bool { return bytes.Equal(a.Certificates(), b.Certificates()) }

// trusts tells whether members of a trust what b signs.
func (a *Authority) trusts(b *Authority) bool { return slices.ContainsFunc(a.trusted, b.cert.Equal) }

// NewAuthority makes one that nobody knows yet.
func NewAuthority(now time.Time) (*Authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	t := &x509.Certificate{
		SerialNumber: newSerial(now), Subject: pkix.Name{CommonName: "shoal fleet " + now.UTC().Format(time.DateOnly)},
		NotBefore: now.Add(-backdate), NotAfter: now.Add(authorityLife),
		BasicConstraintsValid: true, IsCA: true, MaxPathLenZero: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	return &Authority{cert, key, []*x509.Certificate{cert}}, err
}

// ParseAuthority reads an authority that somebody else made: its certificate
// and its key (PKCS #8) in PEM. It has to be one that may sign. Certificates
// after the first are trusted and do not sign: the way from an old authority to
// a new one.
func ParseAuthority(text []byte) (*Authority, error) {
	certs, key, err := parsePEM(text)
	switch {
	case err != nil:
		return nil, fmt.Errorf("the fleet's authority: %w", err)
	case len(certs) == 0 || key == nil:
		return nil, errors.New("the fleet's authority: it needs a certificate and its key (PKCS #8), both in PEM")
	case slices.ContainsFunc(certs, func(c *x509.Certificate) bool { return !c.IsCA || c.KeyUsage&x509.KeyUsageCertSign == 0 }):
		return nil, errors.New("the fleet's authority: a certificate of it may not sign others")
	case !samePublic(certs[0].PublicKey, key.Public()):
		return nil, errors.New("the fleet's authority: its key is not that of its certificate")
	}
	return &Authority{certs[0], key, certs}, nil
}

// Certificates are all that members trust, in PEM; the first one signs.
func (a *Authority) Certificates() []byte {
	var text []byte
	for _, c := range a.trusted {
		text = append(text, pemOf(pemCertificate, c.Raw)...)
	}
	return text
}

// Pin is what a host can know the authority by.
func (a *Authority) Pin() Pin { return PinOf(a.cert) }

// Pool holds all that members trust.
func (a *Authority) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	for _, c := range a.trusted {
		pool.AddCert(c)
	}
	return pool
}

// Issue gives a certificate to a host or a pusher for its request (PKCS #10,
// DER). Of the request only the key is taken. It serves both ends of a
// connection, but not a connection to a name of DNS.
func (a *Authority) Issue(k Kind, name string, csr []byte, now time.Time) (shoal.Credentials, error) {
	life := hostLife
	switch k {
	case Host:
	case Pusher:
		life = pusherLife
	default:
		return shoal.Credentials{}, fmt.Errorf("%w: no certificate of kind %q can be asked for", shoal.ErrInvalid, k)
	}
	if err := shoal.CheckHost(name); err != nil {
		return shoal.Credentials{}, fmt.Errorf("%w: %w", shoal.ErrInvalid, err)
	}
	key, err := keyOf(csr)
	if err != nil {
		return shoal.Credentials{}, fmt.Errorf("%w: request for a certificate: %w", shoal.ErrInvalid, err)
	}
	der, expires, err := a.sign(Identity{Kind: k, Name: name}, nil, key, life, now)
	if err != nil {
		return shoal.Credentials{}, err
	}
	return shoal.Credentials{Certificate: pemOf(pemCertificate, der), CA: a.Certificates(), Expires: expires}, nil
}

// keyOf is the key that a request proves to have.
func keyOf(csr []byte) (crypto.PublicKey, error) {
	if len(csr) > maxCSR {
		return nil, fmt.Errorf("%d bytes, more than %d", len(csr), maxCSR)
	}
	request, err := x509.ParseCertificateRequest(csr)
	if err != nil {
		return nil, err
	}
	switch key := request.PublicKey.(type) {
	case ed25519.PublicKey:
	case *ecdsa.PublicKey:
		if key.Curve.Params().BitSize < 256 {
			return nil, fmt.Errorf("a key of %d bits is too short", key.Curve.Params().BitSize)
		}
	default:
		return nil, errors.New("the key has to be Ed25519 or ECDSA")
	}
	return request.PublicKey, request.CheckSignature()
}

// sign issues a certificate that never outlives the authority's own.
func (a *Authority) sign(id Identity, dns []string, key crypto.PublicKey, life time.Duration, now time.Time) (der []byte, expires time.Time, err error) {
	expires = now.Add(life)
	if expires.After(a.cert.NotAfter) {
		expires = a.cert.NotAfter
	}
	if !expires.After(now) {
		return nil, expires, fmt.Errorf("the fleet's authority expired at %s: make a new one (docs/security.md)", a.cert.NotAfter.Format(time.RFC3339))
	}
	t := &x509.Certificate{
		SerialNumber: newSerial(now), Subject: pkix.Name{CommonName: id.String()}, URIs: []*url.URL{id.uri()},
		NotBefore: now.Add(-backdate), NotAfter: expires, BasicConstraintsValid: true,
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	for _, name := range dns {
		if ip := net.ParseIP(name); ip != nil {
			t.IPAddresses = append(t.IPAddresses, ip)
		} else {
			t.DNSNames = append(t.DNSNames, name)
		}
	}
	der, err = x509.CreateCertificate(rand.Reader, t, a.cert, key, a.key)
	return der, expires, err
}

const (
	pemCertificate = "CERTIFICATE"
	pemKey         = "PRIVATE KEY"
)

func pemOf(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// parsePEM reads certificates, and the last key if there is one.
func parsePEM(text []byte) (certs []*x509.Certificate, key crypto.Signer, err error) {
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		switch block.Type {
		case pemCertificate:
			c, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return nil, nil, err
			}
			certs = append(certs, c)
		case pemKey:
			k, err := x509.ParsePKCS8PrivateKey(block.Bytes)
			if err != nil {
				return nil, nil, err
			}
			var ok bool
			if key, ok = k.(crypto.Signer); !ok {
				return nil, nil, fmt.Errorf("a %T cannot sign", k)
			}
		}
	}
	return certs, key, nil
}

func samePublic(a, b crypto.PublicKey) bool {
	x, err := x509.MarshalPKIXPublicKey(a)
	y, err2 := x509.MarshalPKIXPublicKey(b)
	return errors.Join(err, err2) == nil && bytes.Equal(x, y)
}
