package trust

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"aead.dev/minisign"

	"shoal"
)

// ContentID is what a Statement calls the content: the hash of a metafile's
// info dictionary, in hex.
func ContentID(info []byte) string {
	sum := sha256.Sum256(info)
	return hex.EncodeToString(sum[:])
}

// NewSigningKey makes a pair of keys as minisign's files hold them. An empty
// password leaves the secret one in the clear.
func NewSigningKey(password string) (public, secret []byte, err error) {
	pub, key, err := minisign.GenerateKey(nil)
	if err != nil {
		return nil, nil, err
	}
	if password == "" {
		secret, err = key.MarshalText()
	} else {
		secret, err = minisign.EncryptKey(password, key)
	}
	if err != nil {
		return nil, nil, err
	}
	public, err = pub.MarshalText()
	return append(public, '\n'), append(secret, '\n'), err
}

// SigningKey signs releases.
type SigningKey struct{ key minisign.PrivateKey }

// ErrPassword means that a secret key needs its password, or another one.
var ErrPassword = errors.New("the key is locked by a password")

// ParseSigningKey reads the file of a secret key.
func ParseSigningKey(text []byte, password string) (SigningKey, error) {
	var k SigningKey
	var err error
	text = []byte(strings.TrimSpace(string(text)))
	switch locked := minisign.IsEncrypted(text); {
	case !locked:
		err = k.key.UnmarshalText(text)
	case password == "":
		err = ErrPassword
	default:
		if k.key, err = minisign.DecryptKey(password, text); err != nil {
			err = fmt.Errorf("%w, and this one does not open it", ErrPassword)
		}
	}
	if err != nil {
		return SigningKey{}, fmt.Errorf("signing key: %w", err)
	}
	return k, nil
}

// Sign signs a release; id is its ContentID.
func (k SigningKey) Sign(app, version, id string, serial uint64) []byte {
	note := fmt.Sprintf("shoal %s@%s serial %d", app, version, serial)
	return minisign.SignWithComments(k.key, shoal.Statement(app, version, id, serial), note, "signature of a release by shoal")
}

// Keys are the public keys whose signatures count.
type Keys []minisign.PublicKey

// maxKeys bounds Keys: each is tried.
const maxKeys = 64

// ParseKeys reads public keys: the text of minisign's files, any number of them
// after each other, or the bare keys, one a line.
func ParseKeys(text []byte) (Keys, error) {
	var keys Keys
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "untrusted comment:") || strings.HasPrefix(line, "#") {
			continue
		}
		var k minisign.PublicKey
		if err := k.UnmarshalText([]byte(line)); err != nil {
			return nil, fmt.Errorf("public key %.60q: %w", line, err)
		}
		if keys = append(keys, k); len(keys) > maxKeys {
			return nil, fmt.Errorf("more than %d public keys", maxKeys)
		}
	}
	if len(keys) == 0 {
		return nil, errors.New("there is no public key in it")
	}
	return keys, nil
}

// Verify tells why a signature does not vouch for a message, which is the
// shoal.Statement of what was received; nil when one of the keys made it.
func (k Keys) Verify(message, signature []byte) error {
	if len(signature) > shoal.MaxSignature {
		return fmt.Errorf("it has %d bytes, more than %d", len(signature), shoal.MaxSignature)
	}
	var s minisign.Signature
	if err := s.UnmarshalText(signature); err != nil {
		return fmt.Errorf("it cannot be read: %w", err)
	}
	known := false
	for _, key := range k {
		if key.ID() != s.KeyID {
			continue
		}
		known = true
		if minisign.Verify(key, message, signature) {
			return nil
		}
	}
	if !known {
		return fmt.Errorf("it is of key %016X, which this host does not trust", s.KeyID)
	}
	return fmt.Errorf("it is of key %016X, but not over this content, name and serial: it or the metafile was changed", s.KeyID)
}
