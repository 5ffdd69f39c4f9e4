package peertls

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"shoal/internal/bt/peertls/testca"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newCA(t *testing.T) *testca.CA {
	t.Helper()
	ca, err := testca.New()
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

func issue(t *testing.T, ca *testca.CA, name string, change ...func(*x509.Certificate)) *tls.Certificate {
	t.Helper()
	cert, err := ca.Issue(name, change...)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// options are those of a host of ca.
func options(t *testing.T, ca *testca.CA, name string, change ...func(*x509.Certificate)) Options {
	t.Helper()
	cert := issue(t, ca, name, change...)
	return Options{Certificate: func() (*tls.Certificate, error) { return cert, nil }, CAs: ca.Pool}
}

func guard(t *testing.T, o Options) *Guard {
	t.Helper()
	g, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// pair is a TCP connection on loopback.
func pair(t *testing.T) (client, server net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if client, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if server, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close(); server.Close() })
	return client, server
}

// meet lets two guards shake hands, and a byte go each way.
func meet(t *testing.T, client, server *Guard) (c, s *Conn, clientErr, serverErr error) {
	t.Helper()
	a, b := pair(t)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var wg sync.WaitGroup
	wg.Go(func() {
		conn, err := server.Server(ctx, b)
		if serverErr = err; err == nil {
			s = conn.(*Conn)
			serverErr = exchange(s)
		}
	})
	conn, clientErr := client.Client(ctx, a)
	if clientErr == nil {
		c = conn.(*Conn)
		clientErr = exchange(c)
	}
	wg.Wait()
	return c, s, clientErr, serverErr
}

func exchange(c *Conn) error {
	c.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := c.Write([]byte{1}); err != nil {
		return err
	}
	_, err := io.ReadFull(c, make([]byte, 1))
	return err
}

func TestMembersMeet(t *testing.T) {
	ca := newCA(t)
	a, b := guard(t, options(t, ca, "a")), guard(t, options(t, ca, "b"))
	c, s, err1, err2 := meet(t, a, b)
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	if c.Name() != "b" || s.Name() != "a" {
		t.Errorf("names %q and %q", c.Name(), s.Name())
	}
	for _, conn := range []*Conn{c, s} {
		st := conn.ConnectionState()
		if st.Version != tls.VersionTLS13 || st.NegotiatedProtocol != Protocol {
			t.Errorf("%x %q", st.Version, st.NegotiatedProtocol)
		}
		conn.Close()
	}
	if len(a.conns)+len(b.conns) != 0 || len(a.Refused())+len(b.Refused()) != 0 {
		t.Errorf("left: %v %v, refused %v %v", a.conns, b.conns, a.Refused(), b.Refused())
	}
}

// Whoever is refused hears so, and both ends count why.
func TestRefusals(t *testing.T) {
	ca, other := newCA(t), newCA(t)
	expired := func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }
	early := func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Hour) }
	onlyServer := func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }
	forget := options(t, ca, "host")
	forget.Check = func(name string, leaf *x509.Certificate) error {
		if name == "lost" && leaf != nil {
			return errors.New("the fleet has forgotten it")
		}
		return nil
	}
	keyless := Options{CAs: ca.Pool, Certificate: func() (*tls.Certificate, error) { return nil, errors.New("no such file") }}
	for _, c := range []struct {
		name             string
		client, server   Options
		atClient, atHost Kind // "": takes it
		text             string
	}{
		{"foreign client", options(t, other, "a"), options(t, ca, "b"), Foreign, Unwanted, "unknown authority"}, // the client looks first
		{"client trusts both", withCAs(options(t, other, "a"), ca.Pool), options(t, ca, "b"), Unwanted, Foreign, "unknown authority"},
		{"expired client", options(t, ca, "a", expired), options(t, ca, "b"), Unwanted, Expired, "expired"},
		{"expired server", options(t, ca, "a"), options(t, ca, "b", expired), Expired, Unwanted, "expired"},
		{"not valid yet", options(t, ca, "a", early), options(t, ca, "b"), Unwanted, Expired, "not yet valid"},
		{"not for clients", options(t, ca, "a", onlyServer), options(t, ca, "b"), Unwanted, Foreign, "usage"},
		{"forgotten client", options(t, ca, "lost"), forget, Unwanted, Forgotten, "has forgotten it"},
		{"forgotten server", forget, options(t, ca, "lost"), Forgotten, Unwanted, "has forgotten it"},
		{"no member", options(t, ca, "a"), unnamed(options(t, ca, "b")), Unwanted, Foreign, "names no host"},
		{"own key is missing", keyless, options(t, ca, "b"), Ours, "", "no such file"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var told atomic.Int32
			c.client.Refused = func(*Refusal) { told.Add(1) }
			client, server := guard(t, c.client), guard(t, c.server)
			_, _, err1, err2 := meet(t, client, server)
			if !strings.Contains(errors.Join(err1, err2).Error(), c.text) {
				t.Errorf("%v and %v do not say %q", err1, err2, c.text)
			}
			if got := only(t, client); got != c.atClient || told.Load() != 1 {
				t.Errorf("the client says %q, %d times: %v", got, told.Load(), err1)
			}
			if c.atHost != "" {
				if got := only(t, server); got != c.atHost {
					t.Errorf("the server says %q: %v", got, err2)
				}
			}
			for _, g := range []*Guard{client, server} {
				for _, n := range g.Refused() {
					if r := n.Last; r.Hint() == "" || !r.Peer.IsValid() || n.At.IsZero() {
						t.Errorf("%+v", r)
					}
				}
			}
		})
	}
}

func unnamed(o Options) Options {
	o.Name = func(*x509.Certificate) (string, error) { return "", errors.New("it names no host of the fleet") }
	return o
}

func withCAs(o Options, cas func() *x509.CertPool) Options {
	o.CAs = cas
	return o
}

// only is the one kind of refusal that a guard has counted.
func only(t *testing.T, g *Guard) Kind {
	t.Helper()
	all := g.Refused()
	if len(all) != 1 || all[0].N != 1 {
		t.Errorf("refused %+v", all)
		return "none"
	}
	return all[0].Kind
}

// Strangers to the fleet: those who speak no TLS, an old one, none of ours, or show nothing.
func TestStrangers(t *testing.T) {
	ca := newCA(t)
	cert := issue(t, ca, "a")
	for _, c := range []struct {
		name string
		tls  *tls.Config // nil: plain
		want Kind
	}{
		{"plain", nil, Plain},
		{"TLS 1.2", &tls.Config{MaxVersion: tls.VersionTLS12, NextProtos: []string{Protocol}, Certificates: []tls.Certificate{*cert}}, Old},
		{"another protocol", &tls.Config{NextProtos: []string{"h2"}, Certificates: []tls.Certificate{*cert}}, Stranger},
		{"no protocol", &tls.Config{Certificates: []tls.Certificate{*cert}}, Stranger},
		{"no certificate", &tls.Config{NextProtos: []string{Protocol}}, Nameless},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := guard(t, options(t, ca, "b"))
			a, b := pair(t)
			done := make(chan error, 1)
			go func() {
				_, err := g.Server(t.Context(), b)
				done <- err
			}()
			if c.tls == nil {
				a.Write(append([]byte{19}, "BitTorrent protocol and 48 bytes more, which nobody reads"...))
			} else {
				c.tls.InsecureSkipVerify = true
				s := tls.Client(a, c.tls)
				s.Handshake()
				if n, err := s.Read(make([]byte, 1)); err == nil {
					t.Errorf("the stranger was answered with %d bytes", n)
				}
			}
			var r *Refusal
			if err := <-done; !errors.As(err, &r) || r.Kind != c.want {
				t.Errorf("refused as %v, want %q", err, c.want)
			}
		})
	}
}

// A member that finds a plain peer, or an old one, at an address.
func TestStrangeServers(t *testing.T) {
	ca := newCA(t)
	cert := issue(t, ca, "a")
	for name, c := range map[string]struct {
		serve func(net.Conn)
		want  Kind
	}{
		"answers plainly": {func(c net.Conn) { c.Write(make([]byte, 68)); io.Copy(io.Discard, c) }, Plain},
		"hangs up":        {func(c net.Conn) { io.ReadFull(c, make([]byte, 1)) }, Plain},
		"TLS 1.2": {func(c net.Conn) {
			tls.Server(c, &tls.Config{MaxVersion: tls.VersionTLS12, Certificates: []tls.Certificate{*cert}}).Handshake()
		}, Unwanted},
		"another service": {func(c net.Conn) {
			tls.Server(c, &tls.Config{Certificates: []tls.Certificate{*cert}}).Handshake()
		}, Stranger},
	} {
		t.Run(name, func(t *testing.T) {
			g := guard(t, options(t, ca, "b"))
			a, b := pair(t)
			done := make(chan struct{})
			go func() { defer close(done); c.serve(b); b.Close() }()
			_, err := g.Client(t.Context(), a)
			<-done
			var r *Refusal
			if !errors.As(err, &r) || r.Kind != c.want || !r.Outgoing {
				t.Errorf("refused as %v, want %q", err, c.want)
			}
		})
	}
}

// Members that are forgotten, or whose certificates expire, lose their connections.
func TestRecheck(t *testing.T) {
	ca := newCA(t)
	var forgotten atomic.Bool
	o := options(t, ca, "b")
	o.Check = func(string, *x509.Certificate) error {
		if forgotten.Load() {
			return errors.New("forgotten")
		}
		return nil
	}
	g := guard(t, o)
	for _, c := range []struct {
		want Kind
		end  func()
	}{
		{Forgotten, func() { forgotten.Store(true); g.Recheck(time.Now()); forgotten.Store(false) }},
		{Expired, func() { g.Recheck(time.Now().Add(25 * time.Hour)) }},
	} {
		peer, s, err1, err2 := meet(t, guard(t, options(t, ca, "a")), g)
		if err1 != nil || err2 != nil {
			t.Fatal(err1, err2)
		}
		g.Recheck(time.Now())
		if err := exchangeBoth(peer, s); err != nil {
			t.Errorf("a good connection was cut: %v", err)
		}
		c.end()
		if _, err := peer.Read(make([]byte, 1)); err == nil || len(g.conns) != 0 {
			t.Errorf("%s: the connection goes on: %v, %d", c.want, err, len(g.conns))
		}
		all := g.Refused()
		if all[len(all)-1].Kind != c.want && all[0].Kind != c.want {
			t.Errorf("%+v", all)
		}
		peer.Close()
	}
}

func exchangeBoth(a, b *Conn) error {
	done := make(chan error, 1)
	go func() { done <- exchange(b) }()
	return errors.Join(exchange(a), <-done)
}

// Whoever hangs on the line without a word is let go when ctx says so.
func TestSilentPeer(t *testing.T) {
	ca := newCA(t)
	g := guard(t, options(t, ca, "b"))
	_, b := pair(t)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	var r *Refusal
	if _, err := g.Server(ctx, b); !errors.As(err, &r) || r.Kind != Broken {
		t.Errorf("%v", err)
	}
	ctx2, stop := context.WithCancel(t.Context())
	stop()
	_, b = pair(t)
	if _, err := g.Server(ctx2, b); !errors.Is(err, context.Canceled) || len(g.Refused()) != 1 {
		t.Errorf("the end of the process counts as a refusal: %v, %v", err, g.Refused())
	}
}

func TestFiles(t *testing.T) {
	ca, dir := newCA(t), t.TempDir()
	cert, key, trusted, err := ca.Write(dir, issue(t, ca, "a"))
	if err != nil {
		t.Fatal(err)
	}
	o, err := Files(cert, key, trusted)
	if err != nil {
		t.Fatal(err)
	}
	c, s, err1, err2 := meet(t, guard(t, o), guard(t, options(t, ca, "b")))
	if err1 != nil || err2 != nil || s.Name() != "a" {
		t.Fatal(err1, err2)
	}
	c.Close()
	s.Close()
	for _, bad := range [][3]string{{"none", key, trusted}, {cert, trusted, trusted}, {cert, key, key}} {
		if _, err := Files(bad[0], bad[1], bad[2]); err == nil {
			t.Errorf("%v are taken", bad)
		}
	}
}

// A renewed certificate is used without a restart, half of a renewal is not.
func TestFilesRenew(t *testing.T) {
	ca, dir := newCA(t), t.TempDir()
	first := issue(t, ca, "a")
	cert, key, trusted, err := ca.Write(dir, first)
	if err != nil {
		t.Fatal(err)
	}
	f := &files{cert: cert, key: key, ca: trusted}
	if err := f.read(); err != nil {
		t.Fatal(err)
	}
	at := time.Now()
	if err := os.WriteFile(cert, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if own, _ := f.current(at.Add(lookEvery)); own == nil || string(own.Certificate[0]) != string(first.Certificate[0]) {
		t.Error("half a file took the certificate away")
	}
	second := issue(t, ca, "a")
	if _, _, _, err := ca.Write(dir, second); err != nil {
		t.Fatal(err)
	}
	if own, pool := f.current(at.Add(2 * lookEvery)); string(own.Certificate[0]) != string(second.Certificate[0]) || pool == nil {
		t.Error("the renewed certificate is not used")
	}
}

func TestNewRefuses(t *testing.T) {
	if _, err := New(Options{}); err == nil {
		t.Error("no certificate is accepted")
	}
}
