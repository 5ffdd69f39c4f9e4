package trust

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"shoal"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func authority(t *testing.T) *Authority {
	t.Helper()
	return must[*Authority](t)(OpenAuthority(context.Background(), &vault{}, nil, time.Now()))
}

// join gives a new wallet a certificate.
func join(t *testing.T, a *Authority, k Kind, name string, now time.Time) *Wallet {
	t.Helper()
	w := must[*Wallet](t)(OpenWallet(t.TempDir()))
	csr := must[[]byte](t)(w.Request())
	c := must[shoal.Credentials](t)(a.Issue(k, name, csr, now))
	if err := w.Keep(c); err != nil {
		t.Fatal(err)
	}
	return w
}

// vault keeps one secret in memory.
type vault struct {
	mu    sync.Mutex
	value []byte
	rev   uint64
}

func (v *vault) Secret(context.Context, string) ([]byte, uint64, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.rev == 0 {
		return nil, 0, shoal.ErrNotFound
	}
	return v.value, v.rev, nil
}

func (v *vault) KeepSecret(_ context.Context, _ string, value []byte, rev uint64) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if rev != v.rev {
		return shoal.ErrConflict
	}
	v.value, v.rev = value, rev+1
	return nil
}

// TestServersShareOneAuthority starts many servers at once on one vault.
func TestServersShareOneAuthority(t *testing.T) {
	v := &vault{}
	var wg sync.WaitGroup
	pins := make([]Pin, 8)
	for i := range pins {
		wg.Go(func() {
			a, err := OpenAuthority(context.Background(), v, nil, time.Now())
			if err != nil {
				t.Error(err)
				return
			}
			pins[i] = a.Pin()
		})
	}
	wg.Wait()
	for _, p := range pins {
		if p != pins[0] || p == (Pin{}) {
			t.Fatalf("the servers have different authorities: %v", pins)
		}
	}
	if v.rev != 1 {
		t.Errorf("it was written %d times", v.rev)
	}
}

// TestGivenAuthority has a company's CA sign for a fleet, and one take over from
// another step by step, but not at once.
func TestGivenAuthority(t *testing.T) {
	now := time.Now()
	text := func(a *Authority) []byte { return must[[]byte](t)(a.encode()) }
	company, other := must[*Authority](t)(NewAuthority(now)), must[*Authority](t)(NewAuthority(now))
	v := &vault{}
	open := func(given []byte) (*Authority, error) { return OpenAuthority(t.Context(), v, given, now) }
	for _, given := range [][]byte{text(company), nil, text(company)} {
		if a, err := open(given); err != nil || a.Pin() != company.Pin() || v.rev != 1 {
			t.Fatalf("%v, written %d times", err, v.rev)
		}
	}
	if _, err := open(text(other)); !errors.Is(err, shoal.ErrConflict) || !strings.Contains(err.Error(), company.Pin().String()) {
		t.Errorf("another one at once: %v", err)
	}
	tooSoon := append(text(other), company.Certificates()...)
	if _, err := open(tooSoon); !errors.Is(err, shoal.ErrConflict) {
		t.Errorf("another one signs before anybody trusts it: %v", err)
	}
	for step, given := range [][]byte{append(text(company), other.Certificates()...), tooSoon, text(other)} {
		want := company.Pin()
		if step > 0 {
			want = other.Pin()
		}
		if a, err := open(given); err != nil || a.Pin() != want || v.rev != uint64(step+2) {
			t.Errorf("step %d: %v, written %d times", step, err, v.rev)
		}
	}
	if a, err := open(nil); err != nil || a.Pin() != other.Pin() {
		t.Errorf("after a restart: %v", err)
	}
	if _, err := open(company.Certificates()); err == nil || !strings.Contains(err.Error(), "key") {
		t.Errorf("a certificate alone: %v", err)
	}
}

func TestWalletSurvivesARestart(t *testing.T) {
	a, dir := authority(t), t.TempDir()
	w := must[*Wallet](t)(OpenWallet(dir))
	if _, err := w.Certificate(); !errors.Is(err, ErrNotJoined) {
		t.Errorf("before joining: %v", err)
	}
	now := time.Now()
	c := must[shoal.Credentials](t)(a.Issue(Host, "web_1", must[[]byte](t)(w.Request()), now))
	if err := w.Keep(c); err != nil {
		t.Fatal(err)
	}
	again := must[*Wallet](t)(OpenWallet(dir))
	id := again.Identity()
	if id.Kind != Host || id.Name != "web_1" || !id.Issued.Equal(now.Truncate(time.Nanosecond)) {
		t.Errorf("read back: %+v", id)
	}
	if due := again.Due().Sub(now); due < hostLife/2 || due > hostLife*3/4 {
		t.Errorf("renewal is due after %v of %v", due, hostLife)
	}
	// A certificate for another key is not kept.
	other := must[*Wallet](t)(OpenWallet(t.TempDir()))
	if err := other.Keep(c); err == nil || !strings.Contains(err.Error(), "another key") {
		t.Errorf("somebody else's certificate: %v", err)
	}
}

func TestIssueRefuses(t *testing.T) {
	a, w := authority(t), must[*Wallet](t)(OpenWallet(t.TempDir()))
	good := must[[]byte](t)(w.Request())
	broken := append([]byte{}, good...)
	broken[len(broken)-1] ^= 1
	for name, c := range map[string]struct {
		kind Kind
		host string
		csr  []byte
	}{
		"a server":        {Server, "s1", good},
		"no name":         {Host, "", good},
		"a path":          {Host, "../x", good},
		"two names":       {Host, "a:b", good},
		"no request":      {Host, "web", nil},
		"a bad signature": {Host, "web", broken},
		"a huge request":  {Host, "web", make([]byte, maxCSR+1)},
	} {
		if _, err := a.Issue(c.kind, c.host, c.csr, time.Now()); !errors.Is(err, shoal.ErrInvalid) {
			t.Errorf("%s: %v, want invalid", name, err)
		}
	}
}

// talk makes a TLS connection and exchanges a byte both ways; the errors are
// those of either end.
func talk(t *testing.T, server, client *tls.Config) (atServer, atClient error) {
	t.Helper()
	l := must[net.Listener](t)(net.Listen("tcp", "127.0.0.1:0"))
	defer l.Close()
	done := make(chan error, 1)
	go func() {
		c, err := l.Accept()
		if err == nil {
			defer c.Close()
			c = tls.Server(c, server)
			_, err = c.Read(make([]byte, 1))
			if err == nil {
				_, err = c.Write([]byte{1})
			}
		}
		done <- err
	}()
	c, err := tls.Dial("tcp", l.Addr().String(), client)
	if err == nil {
		if _, err = c.Write([]byte{1}); err == nil {
			_, err = c.Read(make([]byte, 1))
		}
		c.Close()
	}
	return <-done, err
}

// TestCheck says who is a member, for either end of a connection.
func TestCheck(t *testing.T) {
	now, a, b := time.Now(), authority(t), authority(t)
	source := must[*ServerCertificate](t)(a.Serve("s1", nil))
	web := join(t, a, Host, "web-1", now)
	nameless := must[*x509.Certificate](t)(x509.ParseCertificate(leafOf(t, web).Certificate[0]))
	nameless.URIs = nil
	if _, err := IdentityOf(nameless); err == nil {
		t.Error("a certificate that names nobody is nobody's")
	}
	for _, c := range []struct {
		name   string
		holder shower
		at     time.Time
		want   string
	}{
		{"a host", web, now, "host:web-1"},
		{"a host, on a clock that is behind", web, now.Add(-backdate / 2), "host:web-1"},
		{"a server", source, now, "server:s1"},
		{"a pusher", join(t, a, Pusher, "build-1", now), now, "pusher:build-1"},
		{"of a foreign fleet", join(t, b, Host, "web-2", now), now, ""},
		{"expired", web, now.Add(hostLife + time.Second), ""},
	} {
		for _, usage := range []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth} {
			id, err := Check(chainOf(t, c.holder), a.Pool(), usage, c.at)
			if (err == nil) != (c.want != "") || err == nil && id.String() != c.want {
				t.Errorf("%s: %v %v, want %q", c.name, id, err, c.want)
			}
		}
	}
	if _, err := Check(nil, a.Pool(), x509.ExtKeyUsageClientAuth, now); err == nil {
		t.Error("no certificate is nobody's")
	}
}

// shower shows a certificate.
type shower interface {
	Certificate() (*tls.Certificate, error)
}

func leafOf(t *testing.T, h shower) *tls.Certificate {
	t.Helper()
	return must[*tls.Certificate](t)(h.Certificate())
}

func chainOf(t *testing.T, h shower) []*x509.Certificate {
	t.Helper()
	var chain []*x509.Certificate
	for _, der := range leafOf(t, h).Certificate {
		chain = append(chain, must[*x509.Certificate](t)(x509.ParseCertificate(der)))
	}
	return chain
}

func TestClients(t *testing.T) {
	now, a, b := time.Now(), authority(t), authority(t)
	caFile := filepath.Join(t.TempDir(), "ca.crt")
	if err := os.WriteFile(caFile, a.Certificates(), 0o600); err != nil {
		t.Fatal(err)
	}
	anchor := func(s string) Anchor { return must[Anchor](t)(ParseAnchor(s)) }
	// The name is another one than the address that is dialled.
	server := must[*ServerCertificate](t)(a.Serve("s1", []string{"control.example"}))
	for _, c := range []struct {
		name   string
		anchor Anchor
		holder shower
		ok     bool
	}{
		{"pinned", anchor(a.Pin().String()), server, true},
		{"by file", anchor(caFile), server, true},
		{"another pin", anchor(b.Pin().String()), server, false},
		{"authorities of the system", anchor(""), server, false},
		{"a host that plays the server", anchor(a.Pin().String()), join(t, a, Host, "control.example", now), false},
		{"a foreign server with our authority beside", anchor(caFile), join(t, b, Host, "s1", now), false},
	} {
		config := &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.holder.Certificate() }}
		_, err := talk(t, config, ClientTLS(c.anchor, nil))
		if (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// TestForeignNames holds a certificate of a given authority, without our URI,
// to the name that was dialled.
func TestForeignNames(t *testing.T) {
	a := authority(t)
	key := must[*ecdsa.PrivateKey](t)(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	leaf := &x509.Certificate{SerialNumber: newSerial(time.Now()), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der := must[[]byte](t)(x509.CreateCertificate(rand.Reader, leaf, a.cert, key.Public(), a.key))
	for name, ok := range map[string]bool{"127.0.0.1": true, "control.example": false} {
		config := ClientTLS(Anchor{Authorities: a.Pool}, nil)
		config.ServerName = name
		_, err := talk(t, &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}, config)
		if (err == nil) != ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestRotation goes from an old authority to a new one without a moment in
// which a host could not talk to a server.
func TestRotation(t *testing.T) {
	now := time.Now()
	oldText := must[[]byte](t)(must[*Authority](t)(NewAuthority(now)).encode())
	newText := must[[]byte](t)(must[*Authority](t)(NewAuthority(now)).encode())
	newCert := must[*Authority](t)(ParseAuthority(newText)).Certificates()
	oldCert := must[*Authority](t)(ParseAuthority(oldText)).Certificates()
	host := join(t, must[*Authority](t)(ParseAuthority(oldText)), Host, "web-1", now)
	running := ClientTLS(Anchor{Authorities: host.Authorities}, nil) // of an agent that is not started again all the time
	for step, text := range [][]byte{append(oldText, newCert...), append(newText, oldCert...), newText} {
		a := must[*Authority](t)(ParseAuthority(text))
		s := must[*ServerCertificate](t)(a.Serve("s1", nil))
		_, takesHost := Check(chainOf(t, host), a.Pool(), x509.ExtKeyUsageClientAuth, now)
		_, takesServer := Check(chainOf(t, s), host.Authorities(), x509.ExtKeyUsageServerAuth, now)
		if takesHost != nil || takesServer != nil {
			t.Fatalf("step %d: %v, %v", step, takesHost, takesServer)
		}
		if _, err := talk(t, &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return s.Certificate() }}, running); err != nil {
			t.Fatalf("step %d: a client that runs since the beginning: %v", step, err)
		}
		if err := host.Keep(must[shoal.Credentials](t)(a.Issue(Host, "web-1", must[[]byte](t)(host.Request()), now))); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := ParseAuthority(append(oldCert, newText...)); err == nil || !strings.Contains(err.Error(), "its key") {
		t.Errorf("a key of another certificate: %v", err)
	}
}

func TestServerCertificateIsRenewed(t *testing.T) {
	s, now := must[*ServerCertificate](t)(authority(t).Serve("s1", []string{"localhost", "10.0.0.1", "::1"})), time.Now()
	first := must[*tls.Certificate](t)(s.at(now))
	if len(first.Leaf.DNSNames) != 1 || len(first.Leaf.IPAddresses) != 2 {
		t.Errorf("names %q, addresses %v", first.Leaf.DNSNames, first.Leaf.IPAddresses)
	}
	if again := must[*tls.Certificate](t)(s.at(now.Add(serverLife / 2))); again != first {
		t.Error("renewed too early")
	}
	if later := must[*tls.Certificate](t)(s.at(now.Add(serverLife * 3 / 4))); later == first {
		t.Error("not renewed")
	}
}

func TestTokens(t *testing.T) {
	now := time.Now()
	wish := shoal.Token{Name: "ci", Role: shoal.Pusher, Apps: []string{"web"}, Expires: now.Add(time.Hour), ID: "chosen", Used: now}
	secret, sealed, err := NewToken(wish, now)
	if err != nil {
		t.Fatal(err)
	}
	if id := must[string](t)(TokenID(secret)); id != sealed.ID || id == "chosen" {
		t.Errorf("id %s of the secret, %s of the token", id, sealed.ID)
	}
	if strings.Contains(string(sealed.Hash), secret) || len(sealed.Hash) != 32 {
		t.Errorf("stored: %x", sealed.Hash)
	}
	for _, c := range []struct {
		name   string
		t      Sealed
		secret string
		at     time.Time
		ok     bool
	}{
		{"good", sealed, secret, now, true},
		{"the last moment", sealed, secret, now.Add(time.Hour - 1), true},
		{"expired", sealed, secret, now.Add(time.Hour), false},
		{"another", sealed, secret[:len(secret)-1] + "7", now, secret[len(secret)-1] == '7'},
		{"empty", sealed, "", now, false},
		{"no hash", Sealed{Token: sealed.Token}, secret, now, false},
	} {
		if err := c.t.Admit(c.secret, c.at); (err == nil) != c.ok || err != nil && !errors.Is(err, shoal.ErrDenied) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	if _, err := sealed.Use("web-1 key", now); !errors.Is(err, shoal.ErrDenied) {
		t.Errorf("a pusher's token lets a host join: %v", err)
	}
	sealed.Role = shoal.Joiner
	used := must[Sealed](t)(sealed.Use("web-1 key", now))
	if again := must[Sealed](t)(used.Use("web-1 key", now.Add(time.Minute))); !again.Used.Equal(now) {
		t.Errorf("used at %v, then at %v", now, again.Used)
	}
	if _, err := used.Use("web-2 key", now); !errors.Is(err, shoal.ErrDenied) {
		t.Errorf("used twice: %v", err)
	}
	for name, change := range map[string]func(*shoal.Token){
		"no name":            func(t *shoal.Token) { t.Name = "" },
		"a name with a line": func(t *shoal.Token) { t.Name = "a\nb" },
		"no role":            func(t *shoal.Token) { t.Role = "" },
		"role agent":         func(t *shoal.Token) { t.Role = shoal.Agent },
		"no expiry":          func(t *shoal.Token) { t.Expires = time.Time{} },
		"expired":            func(t *shoal.Token) { t.Expires = now },
		"for ever":           func(t *shoal.Token) { t.Expires = now.Add(100 * 365 * 24 * time.Hour) },
		"a bad app":          func(t *shoal.Token) { t.Apps = []string{"../x"} },
		"a host for a pusher": func(t *shoal.Token) {
			t.Host = "web-1"
		},
		"a bad host": func(t *shoal.Token) { t.Role, t.Host = shoal.Joiner, "../x" },
	} {
		wrong := wish
		change(&wrong)
		if _, _, err := NewToken(wrong, now); !errors.Is(err, shoal.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, s := range []string{"", "Bearer x", secretPrefix + strings.Repeat("a", MaxSecret)} {
		if _, err := TokenID(s); !errors.Is(err, shoal.ErrDenied) {
			t.Errorf("TokenID(%.20q): %v", s, err)
		}
	}
}

func TestSignatures(t *testing.T) {
	public, secret, err := NewSigningKey("")
	if err != nil {
		t.Fatal(err)
	}
	other, _, err := NewSigningKey("")
	if err != nil {
		t.Fatal(err)
	}
	key := must[SigningKey](t)(ParseSigningKey(secret, ""))
	keys := must[Keys](t)(ParseKeys(append(other, public...)))
	id := ContentID([]byte("d4:name3:webe"))
	sig := key.Sign("web", "1.2.3", id, 7)
	if err := keys.Verify(shoal.Statement("web", "1.2.3", id, 7), sig); err != nil {
		t.Fatal(err)
	}
	broken := []byte(strings.Replace(string(sig), "\ntrusted comment: shoal web", "\ntrusted comment: shoal db", 1))
	for _, c := range []struct {
		name    string
		message []byte
		keys    Keys
		sig     []byte
		want    string
	}{
		{"another app", shoal.Statement("db", "1.2.3", id, 7), keys, sig, "was changed"},
		{"another version", shoal.Statement("web", "1.2.4", id, 7), keys, sig, "was changed"},
		{"another content", shoal.Statement("web", "1.2.3", ContentID(nil), 7), keys, sig, "was changed"},
		{"another serial", shoal.Statement("web", "1.2.3", id, 8), keys, sig, "was changed"},
		{"another comment", shoal.Statement("web", "1.2.3", id, 7), keys, broken, "was changed"},
		{"a foreign key", shoal.Statement("web", "1.2.3", id, 7), must[Keys](t)(ParseKeys(other)), sig, "does not trust"},
		{"no signature", nil, keys, nil, "cannot be read"},
		{"noise", nil, keys, []byte("noise"), "cannot be read"},
		{"too long", nil, keys, make([]byte, shoal.MaxSignature+1), "more than"},
	} {
		if err := c.keys.Verify(c.message, c.sig); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

// lockedKey is a file as minisign makes it, with the password horse, but for a
// derivation that takes milliseconds and not seconds; lockedPublic is its other half.
const (
	lockedKey = "untrusted comment: minisign encrypted secret key\n" +
		"RWRTY0IyY0ea1poJCyWCd+yPum+ZQZov+ySJgVEGV8lEzNEUjpcAgAAAAAAAAAAAAAEAAAAATq7axG/17fzuOxIS85z0XbnOuyAyAG7bvkBiF0IOf6LvYPPB" +
		"XNelc6IRzj+/OZO8IpermwUuKgcieYY/OJwTX6u8rxYtoWVjfQW/rq4OqsR+lWhU4KvVvb3EyqkCe4kkmc4Q9hkDp/E=\n"
	lockedPublic = "untrusted comment: minisign public key\nRWRzaG9hbHRzdL/d0aboVbT9iKb2AylH6gCaSm2DpQW2GP/uoS+znsDY\n"
)

func TestSigningKeyFiles(t *testing.T) {
	if _, err := ParseSigningKey([]byte(lockedKey), ""); !errors.Is(err, ErrPassword) {
		t.Errorf("without its password: %v", err)
	}
	if _, err := ParseSigningKey([]byte(lockedKey), "cow"); !errors.Is(err, ErrPassword) {
		t.Errorf("with another password: %v", err)
	}
	key := must[SigningKey](t)(ParseSigningKey([]byte(lockedKey), "horse"))
	if err := must[Keys](t)(ParseKeys([]byte(lockedPublic))).Verify(shoal.Statement("a", "1", "x", 1), key.Sign("a", "1", "x", 1)); err != nil {
		t.Error(err)
	}
	for _, text := range []string{"", "untrusted comment: x\n", "AAAA", strings.Repeat(strings.SplitN(lockedPublic, "\n", 2)[1], maxKeys+1)} {
		if _, err := ParseKeys([]byte(text)); err == nil {
			t.Errorf("ParseKeys(%.20q) took it", text)
		}
	}
	if _, err := ParseSigningKey([]byte("noise"), ""); err == nil {
		t.Error("noise is no key")
	}
}

func TestPins(t *testing.T) {
	p := authority(t).Pin()
	if again, ok, err := ParsePin(p.String()); again != p || !ok || err != nil {
		t.Errorf("%v %v %v", again, ok, err)
	}
	for _, s := range []string{"sha256:", "sha256:00", p.String() + "00", "sha256:" + strings.Repeat("g", 64)} {
		if _, _, err := ParsePin(s); err == nil {
			t.Errorf("ParsePin(%q) took it", s)
		}
	}
	if _, ok, _ := ParsePin("ca.crt"); ok {
		t.Error("a file is no pin")
	}
}

func FuzzIdentity(f *testing.F) {
	f.Add([]byte("untrusted comment: x\nRWQ="), "sha256:00")
	f.Fuzz(func(t *testing.T, text []byte, pin string) {
		_, _ = ParseKeys(text)
		_, _ = ParseSigningKey(text, "")
		_, _, _ = parsePEM(text)
		_, _, _ = ParsePin(pin)
		_, _ = keyOf(text)
		_ = Keys{}.Verify(nil, text)
	})
}

// TestSpent: a token is done for when it has expired, or a day after its host used it.
func TestSpent(t *testing.T) {
	now := time.Now()
	for _, tt := range []struct {
		name          string
		expires, used time.Duration // from now; used 0: never
		want          bool
	}{
		{"good for an hour", time.Hour, 0, false},
		{"expired", 0, 0, true},
		{"its host may have lost the answer", time.Hour, -time.Hour, false},
		{"used the day before", time.Hour, -25 * time.Hour, true},
	} {
		token := Sealed{Token: shoal.Token{Expires: now.Add(tt.expires)}}
		if tt.used != 0 {
			token.Used = now.Add(tt.used)
		}
		if got := token.Spent(now); got != tt.want {
			t.Errorf("%s: spent is %v", tt.name, got)
		}
	}
}
