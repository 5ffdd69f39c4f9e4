package node

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"shoal/internal/bt/metainfo"
	"shoal/internal/bt/peertls"
	"shoal/internal/bt/peertls/testca"
)

func newCA(t *testing.T) *testca.CA {
	t.Helper()
	ca, err := testca.New()
	must(t, err)
	return ca
}

// asMember is the door of a host of ca. The channel is told whom it refuses.
func asMember(t *testing.T, ca *testca.CA, name string, change ...func(*x509.Certificate)) *peertls.Guard {
	t.Helper()
	g, _ := asWary(t, ca, name, change...)
	return g
}

// asWary is the same with a list of forgotten hosts, which holds lost, and a
// channel that is told who is refused.
func asWary(t *testing.T, ca *testca.CA, name string, change ...func(*x509.Certificate)) (*peertls.Guard, chan peertls.Kind) {
	t.Helper()
	cert, err := ca.Issue(name, change...)
	must(t, err)
	return wary(t, cert, ca)
}

func wary(t *testing.T, cert *tls.Certificate, trusted *testca.CA) (*peertls.Guard, chan peertls.Kind) {
	t.Helper()
	told := make(chan peertls.Kind, 100)
	g, err := peertls.New(peertls.Options{
		Certificate: func() (*tls.Certificate, error) { return cert, nil }, CAs: trusted.Pool,
		Check: func(name string, _ *x509.Certificate) error {
			if name == "lost" {
				return errors.New("forgotten by the fleet")
			}
			return nil
		},
		Refused: func(r *peertls.Refusal) {
			select {
			case told <- r.Kind:
			default:
			}
		},
	})
	must(t, err)
	return g, told
}

func secureGet(r published, dir, peer string, o Secure) *Get {
	g := NewGet(GetOptions{Options: quiet("127.0.0.1:0", nil), Source: r.file, Content: ContentOptions{Dir: dir, Peers: []string{peer}}})
	g.Secure = o
	return g
}

// A tree of each version travels whole between members.
func TestSecureGet(t *testing.T) {
	ca := newCA(t)
	for _, v := range []metainfo.Version{metainfo.V1, metainfo.V2, metainfo.Hybrid} {
		t.Run(v.String(), func(t *testing.T) {
			r := newRelease(t, v)
			addr, _ := seedWith(t, r, asMember(t, ca, "source"))
			dir := t.TempDir()
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			must(t, secureGet(r, dir, addr, asMember(t, ca, "web-1")).Run(ctx))
			same(t, dir)
		})
	}
}

// An interrupted get goes on where it was, here with a third of the content gone.
func TestSecureResume(t *testing.T) {
	ca, r := newCA(t), newRelease(t, metainfo.Hybrid)
	addr, _ := seedWith(t, r, asMember(t, ca, "source"))
	dir := t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	must(t, secureGet(r, dir, addr, asMember(t, ca, "web-1")).Run(ctx))
	big := filepath.Join(dir, "app/data/big")
	f, err := os.OpenFile(big, os.O_WRONLY, 0)
	must(t, err)
	_, err = f.WriteAt(make([]byte, 100<<10), 150<<10)
	must(t, err, f.Close())
	g := secureGet(r, dir, addr, asMember(t, ca, "web-1"))
	must(t, g.Run(ctx))
	same(t, dir)
	if got := g.Status().Downloaded; got < 100<<10 || got > 200<<10 {
		t.Errorf("%d bytes were fetched again", got)
	}
}

// A magnet link is resolved over TLS too.
func TestSecureMagnet(t *testing.T) {
	ca, r := newCA(t), newRelease(t, metainfo.V2)
	addr, _ := seedWith(t, r, asMember(t, ca, "source"))
	g := secureGet(r, t.TempDir(), addr, asMember(t, ca, "web-1"))
	g.Source = r.meta.Magnet().String()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	must(t, g.Run(ctx))
	same(t, g.Content.Dir)
}

// Nobody but members gets a byte, and both sides know why.
func TestSecureRefuses(t *testing.T) {
	ca, other := newCA(t), newCA(t)
	expired := func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }
	from := func(signer *testca.CA, name string, change ...func(*x509.Certificate)) *tls.Certificate {
		cert, err := signer.Issue(name, change...)
		must(t, err)
		return cert
	}
	// Strangers trust the fleet's CA: they do not mind whom they rob.
	for _, c := range []struct {
		name      string
		get, seed *tls.Certificate // nil: plain
		atGet     peertls.Kind     // "": not told
		atSeed    peertls.Kind
	}{
		{"foreign", from(other, "spy"), from(ca, "source"), peertls.Unwanted, peertls.Foreign},
		{"expired", from(ca, "web-1", expired), from(ca, "source"), peertls.Unwanted, peertls.Expired},
		{"forgotten", from(ca, "lost"), from(ca, "source"), peertls.Unwanted, peertls.Forgotten},
		{"plain getter", nil, from(ca, "source"), "", peertls.Plain},
		{"plain seed", from(ca, "web-1"), nil, peertls.Plain, ""},
		{"foreign seed", from(ca, "web-1"), from(other, "spy"), peertls.Foreign, peertls.Unwanted},
	} {
		t.Run(c.name, func(t *testing.T) {
			door := func(cert *tls.Certificate) (Secure, chan peertls.Kind) {
				if cert == nil {
					return nil, nil
				}
				g, told := wary(t, cert, ca)
				return g, told
			}
			r := newRelease(t, metainfo.V2)
			atSeed, toldSeed := door(c.seed)
			atGet, toldGet := door(c.get)
			addr, _ := seedWith(t, r, atSeed)
			g := secureGet(r, t.TempDir(), addr, atGet)
			stop := background(t, g.Run)
			expect(t, toldSeed, c.atSeed)
			expect(t, toldGet, c.atGet)
			if got := g.Status(); got.Downloaded != 0 || got.Complete {
				t.Errorf("it has got something: %+v", got)
			}
			if err := stop(); err == nil {
				t.Error("the get says that it is complete")
			}
		})
	}
}

func expect(t *testing.T, told chan peertls.Kind, want peertls.Kind) {
	t.Helper()
	if want == "" {
		return
	}
	select {
	case got := <-told:
		if got != want {
			t.Errorf("refused as %q, want %q", got, want)
		}
	case <-time.After(patience):
		t.Fatalf("nobody was refused as %q", want)
	}
}

// A connection of TLS 1.2 ends before the first byte of a handshake.
func TestSecureRefusesOldTLS(t *testing.T) {
	ca, r := newCA(t), newRelease(t, metainfo.V2)
	door, told := asWary(t, ca, "source")
	addr, _ := seedWith(t, r, door)
	cert, err := ca.Issue("web-1")
	must(t, err)
	c, err := net.Dial("tcp", addr)
	must(t, err)
	defer c.Close()
	old := tls.Client(c, &tls.Config{MaxVersion: tls.VersionTLS12, InsecureSkipVerify: true,
		NextProtos: []string{peertls.Protocol}, Certificates: []tls.Certificate{*cert}})
	if err := old.Handshake(); err == nil {
		t.Error("TLS 1.2 is spoken")
	}
	expect(t, told, peertls.Old)
}

// What a host reports while it fetches names who was turned away lately.
func TestTurnedAway(t *testing.T) {
	ca := newCA(t)
	door := asMember(t, ca, "web-1")
	p := &process{Options: Options{Secure: door}}
	if got := p.turnedAway(time.Now()); got != "" {
		t.Errorf("before anything happened: %q", got)
	}
	addr, _ := seed(t, newRelease(t, metainfo.V2)) // a plain one
	c, err := net.Dial("tcp", addr)
	must(t, err)
	if _, err := door.Client(t.Context(), c); err == nil {
		t.Fatal("a plain peer is taken")
	}
	if got := p.turnedAway(time.Now()); !strings.Contains(got, addr) || !strings.Contains(got, string(peertls.Plain)) {
		t.Errorf("it says %q", got)
	}
	if got := p.turnedAway(time.Now().Add(time.Hour)); got != "" {
		t.Errorf("an hour later: %q", got)
	}
	if got := (&process{}).turnedAway(time.Now()); got != "" {
		t.Errorf("a process without TLS says %q", got)
	}
}
