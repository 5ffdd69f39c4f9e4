package api

import (
	"context"
	"errors"
	"testing"
	"time"

	"shoal"
	"shoal/internal/trust"
)

func TestEnroll(t *testing.T) {
	s, ctx, now := newSite(t), context.Background(), time.Now()
	any := s.token(t, shoal.Token{Role: shoal.Joiner, Name: "rack 7"}, now)
	one := s.token(t, shoal.Token{Role: shoal.Joiner, Host: "db-1"}, now)
	wallet, err := trust.OpenWallet(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	c := s.client(t, "", wallet)
	enroll := func(c *Client, host, token string, w *trust.Wallet) (shoal.Credentials, error) {
		t.Helper()
		csr, err := w.Request()
		if err != nil {
			t.Fatal(err)
		}
		return c.Enroll(ctx, shoal.Enrollment{Host: host, Token: token, CSR: csr})
	}
	other, err := trust.OpenWallet(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	refused := func(what string, kind error, host, token string, w *trust.Wallet) {
		t.Helper()
		if _, err := enroll(c, host, token, w); !errors.Is(err, kind) {
			t.Errorf("%s: %v, want %v", what, err, kind)
		}
	}
	refused("without anything", shoal.ErrDenied, "web-1", "", wallet)
	refused("a bad name", shoal.ErrInvalid, "../x", any, wallet)
	refused("a token for another host", shoal.ErrDenied, "web-1", one, wallet)
	s.answers["Hosts"] = []shoal.Host{{Name: "web-1"}}
	refused("a name that is taken", shoal.ErrConflict, "web-1", any, wallet)
	s.answers["Hosts"] = []shoal.Host(nil)

	made, err := enroll(c, "web-1", any, wallet)
	if err != nil {
		t.Fatal(err)
	}
	if err := wallet.Keep(made); err != nil {
		t.Fatal(err)
	}
	s.answers["Hosts"] = []shoal.Host{{Name: "web-1"}}
	if _, err := enroll(c, "web-1", any, wallet); err != nil {
		t.Errorf("the answer was lost, so it asks again: %v", err)
	}
	refused("the token once more", shoal.ErrDenied, "web-2", any, other)
	refused("the token once more, under that name", shoal.ErrDenied, "web-1", any, other)
	if _, err := c.Hello(ctx, shoal.Hello{}); err != nil {
		t.Errorf("with the certificate: %v", err)
	}

	// It renews by what it has, and for itself only.
	renewed, err := enroll(c, "web-1", "", wallet)
	if err != nil {
		t.Fatal(err)
	}
	before := wallet.Identity()
	if err := wallet.Keep(renewed); err != nil {
		t.Fatal(err)
	}
	if after := wallet.Identity(); !after.Issued.After(before.Issued) || after.Name != "web-1" {
		t.Errorf("renewed: %+v after %+v", after, before)
	}
	refused("for another host", shoal.ErrDenied, "db-1", "", wallet)

	// Forgotten, it is out at once, also on a connection that is open; with a
	// token for it, it may come back.
	s.mu.Lock()
	s.forgotten["web-1"] = time.Now()
	s.mu.Unlock()
	if _, err := c.Hello(ctx, shoal.Hello{}); !errors.Is(err, shoal.ErrDenied) {
		t.Errorf("forgotten: %v", err)
	}
	refused("forgotten", shoal.ErrDenied, "web-1", "", wallet)
	made, err = enroll(c, "web-1", s.token(t, shoal.Token{Role: shoal.Joiner, Host: "web-1"}, now), wallet)
	if err == nil {
		err = wallet.Keep(made)
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Hello(ctx, shoal.Hello{}); err != nil {
		t.Errorf("it came back: %v", err)
	}

	// A machine that pushes is a member for a day, and no host.
	made, err = enroll(c, "build-1", s.token(t, shoal.Token{Role: shoal.Pusher}, now), other)
	if err == nil {
		err = other.Keep(made)
	}
	if err != nil {
		t.Fatal(err)
	}
	if id := other.Identity(); id.Kind != trust.Pusher || time.Until(made.Expires) > 25*time.Hour {
		t.Errorf("a pusher is %v until %v", id, made.Expires)
	}
	pusher := s.client(t, "", other)
	if _, err := pusher.Hello(ctx, shoal.Hello{}); !errors.Is(err, shoal.ErrDenied) {
		t.Errorf("a pusher as a host: %v", err)
	}
	refused("a viewer", shoal.ErrDenied, "x", s.token(t, shoal.Token{Role: shoal.Viewer}, now), other)
}
