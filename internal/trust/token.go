package trust

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"shoal"
)

// Bounds of a token.
const (
	maxTokenLife = 5 * 365 * 24 * time.Hour
	maxTokenName = 100
	maxTokenApps = 100
	// MaxSecret bounds what is looked at as a secret, in bytes.
	MaxSecret = 128
)

// secretPrefix lets scanners of repositories notice a secret that slipped in.
const secretPrefix = "shoal_"

// idDigits of the hash are the id: a hash that is known says nothing of its
// secret, and 80 bits of it do not meet by chance.
const idDigits = 20

// Sealed is a token as it is stored: without its secret.
type Sealed struct {
	shoal.Token
	Hash   []byte `json:"hash"`              // SHA-256 of the secret
	UsedBy string `json:"used_by,omitempty"` // Joiner: the host, and its key
}

// NewToken makes a token of a wish: role, expiry and scope are checked, id and
// Created filled in. The secret is told here and never again.
func NewToken(wish shoal.Token, now time.Time) (secret string, t Sealed, err error) {
	if err := checkToken(wish, now); err != nil {
		return "", Sealed{}, fmt.Errorf("%w: %w", shoal.ErrInvalid, err)
	}
	var random [32]byte
	rand.Read(random[:]) // never fails (crypto/rand)
	secret = secretPrefix + strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(random[:]))
	hash := sha256.Sum256([]byte(secret))
	wish.ID, wish.Created, wish.Used = hex.EncodeToString(hash[:])[:idDigits], now, time.Time{}
	return secret, Sealed{Token: wish, Hash: hash[:]}, nil
}

func checkToken(t shoal.Token, now time.Time) error {
	switch t.Role {
	case shoal.Viewer, shoal.Pusher, shoal.Approver, shoal.Operator, shoal.Admin, shoal.Joiner:
	default:
		return fmt.Errorf("role %.20q: there are viewer, pusher, approver, operator, admin, and joiner for a host", t.Role)
	}
	switch life := t.Expires.Sub(now); {
	case t.Expires.IsZero():
		return fmt.Errorf("a token has to expire: say when")
	case life <= 0 || life > maxTokenLife:
		return fmt.Errorf("the token would expire at %s: it has to be later than now and within 5 years", t.Expires.Format(time.RFC3339))
	}
	if t.Name == "" || len(t.Name) > maxTokenName || strings.ContainsFunc(t.Name, unprintable) {
		return fmt.Errorf("a token needs a name for the audit log, of 1 to %d printable characters", maxTokenName)
	}
	if len(t.Apps) > maxTokenApps {
		return fmt.Errorf("a scope of %d apps, more than %d", len(t.Apps), maxTokenApps)
	}
	for _, app := range t.Apps {
		if err := shoal.CheckApp(app); err != nil {
			return err
		}
	}
	switch {
	case t.Host == "":
		return nil
	case t.Role != shoal.Joiner:
		return fmt.Errorf("a token of role %s is not for a host", t.Role)
	}
	return shoal.CheckHost(t.Host)
}

func unprintable(r rune) bool { return r < ' ' || r == 0x7f || r == '\ufffd' }

// TokenID is the id under which the token of a secret is stored.
func TokenID(secret string) (id string, err error) {
	if !strings.HasPrefix(secret, secretPrefix) || len(secret) > MaxSecret {
		return "", fmt.Errorf("%w: what was given is no token: one starts with %s", shoal.ErrDenied, secretPrefix)
	}
	hash := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(hash[:])[:idDigits], nil
}

// Admit tells why a secret does not let its bearer in now; nil when it does.
func (t Sealed) Admit(secret string, now time.Time) error {
	hash := sha256.Sum256([]byte(secret))
	switch {
	case subtle.ConstantTimeCompare(hash[:], t.Hash) != 1:
		return fmt.Errorf("%w: no such token", shoal.ErrDenied)
	case !now.Before(t.Expires):
		return fmt.Errorf("%w: the token %s expired at %s", shoal.ErrDenied, t.ID, t.Expires.Format(time.RFC3339))
	}
	return nil
}

// Use is what becomes of a joiner's token when a host uses it. The same host
// with the same key may use it again: the answer may have been lost. What is
// returned has to be stored by compare-and-swap before it counts.
func (t Sealed) Use(by string, now time.Time) (Sealed, error) {
	switch {
	case t.Role != shoal.Joiner:
		return t, fmt.Errorf("%w: the token %s is not for a host that joins", shoal.ErrDenied, t.ID)
	case t.Used.IsZero():
		t.Used, t.UsedBy = now, by
	case t.UsedBy != by:
		return t, fmt.Errorf("%w: the token %s was for one time and is used", shoal.ErrDenied, t.ID)
	}
	return t, nil
}

// usedFor is how long a used token is kept for its host, whose answer may have been lost.
const usedFor = 24 * time.Hour

// Spent tells whether the token lets nobody in any more.
func (t Sealed) Spent(now time.Time) bool {
	return !now.Before(t.Expires) || !t.Used.IsZero() && now.Sub(t.Used) > usedFor
}

// Principal is who the bearer is.
func (t Sealed) Principal() shoal.Principal {
	return shoal.Principal{Name: t.Name, Role: t.Role, Apps: t.Apps}
}
