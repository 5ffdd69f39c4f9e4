package trust

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"os"
	"path/filepath"
	"testing"
	"time"

	"shoal"
)

// TestForgotten refuses certificates from before a host was forgotten, and none
// from after that; it holds over a restart until all of them have expired.
func TestForgotten(t *testing.T) {
	now := time.Now()
	authority, err := NewAuthority(now.Add(-time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	leaf := func(k Kind, name string, at time.Time) *x509.Certificate {
		t.Helper()
		der, _, err := authority.sign(Identity{Kind: k, Name: name}, nil, key.Public(), hostLife, at)
		if err != nil {
			t.Fatal(err)
		}
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		return cert
	}
	file := filepath.Join(t.TempDir(), "forgotten.json")
	f, err := OpenForgotten(file)
	if err != nil || !f.After().IsZero() {
		t.Fatalf("one that was never written knows something: %v, %v", f.After(), err)
	}
	long := now.Add(-hostLife - backdate - time.Minute)
	list := []shoal.ForgottenHost{{Host: "web-1", At: now}, {Host: "web-2", At: now.Add(-2 * time.Hour)}, {Host: "web-3", At: long}}
	if news, err := f.Learn(list, now); !news || err != nil {
		t.Fatal(news, err)
	}
	if news, err := f.Learn(list[1:2], now); news || err != nil {
		t.Errorf("the same again is news: %v, %v", news, err)
	}
	if want := now.Add(-overlap); !f.After().Equal(want) {
		t.Errorf("asks for those after %s, want %s", f.After(), want)
	}
	check := func(when string, f *Forgotten) {
		t.Helper()
		for _, c := range []struct {
			leaf *x509.Certificate
			good bool
		}{
			{leaf(Host, "web-1", now.Add(-time.Second)), false},
			{leaf(Host, "web-1", now.Add(time.Second)), true},
			{leaf(Host, "web-2", now.Add(-3*time.Hour)), false},
			{leaf(Host, "web-2", now.Add(-time.Hour)), true},
			{leaf(Host, "web-3", now.Add(-time.Hour)), true},
			{leaf(Host, "web-4", now.Add(-time.Hour)), true},
			{leaf(Server, "web-1", now.Add(-time.Hour)), true}, // another kind of member by that name
			{&x509.Certificate{}, false},
		} {
			if err := f.Check(c.leaf); (err == nil) != c.good {
				t.Errorf("%s: %s from %s: %v", when, c.leaf.Subject.CommonName, c.leaf.NotBefore.Add(backdate), err)
			}
		}
	}
	check("when it was learnt", f)
	again, err := OpenForgotten(file)
	if err != nil {
		t.Fatal(err)
	}
	check("after a restart", again)
	if news, err := again.Learn([]shoal.ForgottenHost{{Host: "web-9", At: now}}, now.Add(hostLife+backdate-time.Hour)); !news || err != nil || len(again.at) != 2 {
		t.Errorf("web-2 does not matter any more, and it knows %v, %v", again.at, err)
	}
	if err := os.WriteFile(file, []byte(`[{"host":`), 0o600); err != nil {
		t.Fatal(err)
	}
	if torn, err := OpenForgotten(file); err != nil || !torn.After().IsZero() {
		t.Errorf("a torn file: asks for those after %s, %v", torn.After(), err)
	}
}
