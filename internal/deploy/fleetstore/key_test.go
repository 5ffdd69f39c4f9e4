package fleetstore

import (
	"strings"
	"testing"
)

// FuzzKey holds keys to what subjects of NATS allow: one token, and no two keys
// in one place.
func FuzzKey(f *testing.F) {
	for _, key := range []string{"fra-1.example.com", "a..b", "*", ">", "=2E", "ä", " ", "web@1+b~2"} {
		f.Add(key)
	}
	f.Fuzz(func(t *testing.T, key string) {
		token := escape(key)
		if strings.ContainsAny(token, ".*> \t\r\n\x00") {
			t.Fatalf("%q is no token: %q", key, token)
		}
		if back, ok := unescape(token); !ok || back != key {
			t.Fatalf("%q came back as %q, %v", key, back, ok)
		}
		if back, ok := unescape(key); ok && escape(back) != key {
			t.Fatalf("%q reads as %q, which is written %q", key, back, escape(back))
		}
	})
}

func TestRedact(t *testing.T) {
	if got := redact("nats://u:secret@n1:4222,nats://n2"); strings.Contains(got, "secret") || !strings.Contains(got, "n1:4222,nats://n2") {
		t.Errorf("got %q", got)
	}
}
