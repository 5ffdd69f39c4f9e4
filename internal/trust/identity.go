package trust

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"net/url"
	"strings"
	"time"

	"shoal"
)

// Kind is what somebody with a certificate is.
type Kind string

// The kinds.
const (
	Host   Kind = "host"   // has an agent
	Server Kind = "server" // of the control plane, and its source of releases
	Pusher Kind = "pusher" // a machine that serves what it pushes, for a day
)

// Identity is who a certificate speaks for.
type Identity struct {
	Kind    Kind
	Name    string
	Issued  time.Time // to the nanosecond; valid from a while before
	Expires time.Time
}

// String is kind:name, as in the certificate.
func (i Identity) String() string { return string(i.Kind) + ":" + i.Name }

// scheme starts the URI that names who a certificate speaks for.
const scheme = "shoal"

func (i Identity) uri() *url.URL { return &url.URL{Scheme: scheme, Opaque: i.String()} }

// IdentityOf reads who a certificate speaks for. That it is valid has to be
// checked before.
func IdentityOf(cert *x509.Certificate) (Identity, error) {
	var found []string
	for _, u := range cert.URIs {
		if u.Scheme == scheme {
			found = append(found, u.Opaque)
		}
	}
	if len(found) != 1 {
		return Identity{}, fmt.Errorf("the certificate names %d members of a fleet, and has to name one", len(found))
	}
	kind, name, _ := strings.Cut(found[0], ":")
	i := Identity{Kind: Kind(kind), Name: name, Issued: issued(cert.SerialNumber), Expires: cert.NotAfter}
	if i.Kind != Host && i.Kind != Server && i.Kind != Pusher {
		return Identity{}, fmt.Errorf("the certificate is of the unknown kind %.20q", kind)
	}
	return i, shoal.CheckHost(name)
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

// serialBytes are 8 of time and 8 random ones: RFC 5280 (4.1.2.2) allows 20.
const serialBytes = 16

func newSerial(now time.Time) *big.Int {
	var b [serialBytes]byte
	binary.BigEndian.PutUint64(b[:], uint64(max(now.UnixNano(), 1)))
	rand.Read(b[8:]) // never fails (crypto/rand)
	return new(big.Int).SetBytes(b[:])
}

// issued is the zero time for a serial number that is not ours.
func issued(serial *big.Int) time.Time {
	if serial == nil || serial.Sign() < 0 || serial.BitLen() > 8*serialBytes-1 {
		return time.Time{}
	}
	var b [serialBytes]byte
	serial.FillBytes(b[:])
	return time.Unix(0, int64(binary.BigEndian.Uint64(b[:])))
}

// Pin is how people pass an authority on without a file: sha256: and the hash of
// its certificate in hex.
type Pin [sha256.Size]byte

const pinPrefix = "sha256:"

// PinOf is the pin of a certificate.
func PinOf(cert *x509.Certificate) Pin { return sha256.Sum256(cert.Raw) }

// ParsePin reads a pin; ok tells whether the text starts like one.
func ParsePin(s string) (p Pin, ok bool, err error) {
	digits, ok := strings.CutPrefix(s, pinPrefix)
	if !ok {
		return p, false, nil
	}
	b, err := hex.DecodeString(digits)
	if err == nil && copy(p[:], b) != len(b) || len(b) != len(p) {
		err = errors.New("it needs 64 hexadecimal digits")
	}
	if err != nil {
		return Pin{}, true, fmt.Errorf("%w: pin %.80q of an authority: %w", shoal.ErrInvalid, s, err)
	}
	return p, true, nil
}

// String is the form that ParsePin reads.
func (p Pin) String() string { return pinPrefix + hex.EncodeToString(p[:]) }
