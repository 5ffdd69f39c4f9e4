package controller

import (
	"context"
	"errors"
	"fmt"
	"time"

	"shoal"
	"shoal/internal/deploy/fleetstore"
	"shoal/internal/trust"
)

// maxTokens lets a large fleet join anew several times within a token's life.
const maxTokens = 100_000

// CreateToken makes a token and tells its secret, once.
func (c *Controller) CreateToken(ctx context.Context, t shoal.Token) (string, shoal.Token, error) {
	if err := c.enter(ctx, shoal.ToToken, "", ""); err != nil {
		return "", shoal.Token{}, err
	}
	t.By = shoal.PrincipalOf(ctx).Name
	return c.makeToken(ctx, t)
}

func (c *Controller) makeToken(ctx context.Context, t shoal.Token) (string, shoal.Token, error) {
	if err := c.roomForToken(ctx); err != nil {
		return "", shoal.Token{}, err
	}
	secret, sealed, err := trust.NewToken(t, time.Now())
	if err != nil {
		return "", shoal.Token{}, err
	}
	e := shoal.AuditEntry{Do: "token-create", What: sealed.ID, Text: fmt.Sprintf("%s for %s until %s", t.Role, t.Name, t.Expires.UTC().Format(time.RFC3339))}
	if err := c.record(ctx, e); err != nil {
		return "", shoal.Token{}, err
	}
	if _, err := c.tokens.put(ctx, sealed.ID, sealed, 0); err != nil {
		return "", shoal.Token{}, err
	}
	return secret, sealed.Token, nil
}

// roomForToken forgets tokens that let nobody in any more when there is room for no
// other.
func (c *Controller) roomForToken(ctx context.Context) error {
	if c.tokens.size() < maxTokens {
		return nil
	}
	for _, t := range c.tokens.all() {
		if t.Spent(time.Now()) {
			if err := c.tokens.remove(ctx, t.ID, anyRevision); err != nil {
				return err
			}
		}
	}
	if c.tokens.size() >= maxTokens {
		return fmt.Errorf("%w: there are %d tokens that somebody may still use, and may not be more: revoke some", shoal.ErrConflict, maxTokens)
	}
	return nil
}

// FirstToken makes the token of the first admin, if the fleet has no token yet:
// somebody has to be let in before anybody can make tokens. The secret is ""
// when there are tokens.
func (c *Controller) FirstToken(ctx context.Context, life time.Duration) (string, error) {
	select {
	case <-c.ready:
	case <-ctx.Done():
		return "", ctx.Err()
	}
	if len(c.tokens.all()) > 0 {
		return "", nil
	}
	name := "server " + c.o.Server
	ctx = shoal.WithPrincipal(ctx, shoal.Principal{Name: name, Role: shoal.Admin})
	secret, _, err := c.makeToken(ctx, shoal.Token{Name: "admin", Role: shoal.Admin, Expires: time.Now().Add(life), By: name})
	return secret, err
}

// Tokens are all of them, without their secrets.
func (c *Controller) Tokens(ctx context.Context) ([]shoal.Token, error) {
	if err := c.enter(ctx, shoal.ToToken, "", ""); err != nil {
		return nil, err
	}
	var out []shoal.Token
	for _, t := range c.tokens.all() {
		out = append(out, t.Token)
	}
	return out, nil
}

// RevokeToken lets a token in no more.
func (c *Controller) RevokeToken(ctx context.Context, id string) error {
	if err := c.enter(ctx, shoal.ToToken, "", ""); err != nil {
		return err
	}
	t, _, ok := c.tokens.get(id)
	if !ok {
		return fmt.Errorf("token %.80s: %w", id, shoal.ErrNotFound)
	}
	if err := c.record(ctx, shoal.AuditEntry{Do: "token-revoke", What: id, Text: fmt.Sprintf("%s for %s", t.Role, t.Name)}); err != nil {
		return err
	}
	return c.tokens.remove(ctx, id, anyRevision)
}

// Token is a token by its id, from memory, for the one who checks its bearer.
func (c *Controller) Token(ctx context.Context, id string) (trust.Sealed, error) {
	select {
	case <-c.ready:
	case <-ctx.Done():
		return trust.Sealed{}, ctx.Err()
	}
	t, _, ok := c.tokens.get(id)
	if !ok {
		return trust.Sealed{}, fmt.Errorf("token %.80s: %w", id, shoal.ErrNotFound)
	}
	return t, nil
}

// UseToken stores that a joiner's token was used.
func (c *Controller) UseToken(ctx context.Context, id, by string) error {
	if _, err := c.Token(ctx, id); err != nil {
		return err
	}
	_, err := c.tokens.edit(ctx, id, func(was trust.Sealed, ok bool) (trust.Sealed, error) {
		if !ok {
			return was, fmt.Errorf("token %.80s: %w", id, shoal.ErrNotFound)
		}
		used, err := was.Use(by, time.Now())
		if err == nil && used.Used.Equal(was.Used) {
			err = errNothing // the same host again: its first answer was lost
		}
		return used, err
	})
	if errors.Is(err, errNothing) {
		return nil
	}
	return err
}

// Vault keeps the secrets of a fleet in its store, where all servers find them.
type Vault struct{ Store fleetstore.Store }

// Secret implements trust.Vault.
func (v Vault) Secret(ctx context.Context, name string) ([]byte, uint64, error) {
	e, err := v.Store.Get(ctx, fleetstore.Trust, name)
	if errors.Is(err, fleetstore.ErrNone) {
		err = fmt.Errorf("secret %.80s: %w", name, shoal.ErrNotFound)
	}
	return e.Value, e.Revision, err
}

// KeepSecret implements trust.Vault.
func (v Vault) KeepSecret(ctx context.Context, name string, value []byte, rev uint64) error {
	_, err := v.Store.Put(ctx, fleetstore.Trust, name, value, rev)
	if errors.Is(err, fleetstore.ErrStale) {
		err = fmt.Errorf("secret %.80s: %w: %w", name, shoal.ErrConflict, err)
	}
	return err
}
