package node

import (
	"crypto/rand"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"shoal"
	"shoal/internal/bt/metainfo"
	"shoal/internal/bt/peertls"
	"shoal/internal/bt/wire"
	"shoal/internal/front/api"
	"shoal/internal/trust"
)

// impostor has the certificate of a host, and does what it likes with it.
type impostor struct {
	wallet *trust.Wallet
	client *api.Client
}

func (f fleet) impostor(t *testing.T, name string) impostor {
	t.Helper()
	w, err := trust.OpenWallet(t.TempDir())
	must(t, err)
	secret, _, err := f.admin.CreateToken(t.Context(), shoal.Token{Name: name, Role: shoal.Joiner, Host: name, Expires: time.Now().Add(time.Hour)})
	must(t, err)
	csr, err := w.Request()
	must(t, err)
	made, err := f.admin.Enroll(t.Context(), shoal.Enrollment{Host: name, Token: secret, CSR: csr})
	must(t, err, w.Keep(made))
	c, err := api.NewClient(api.ClientOptions{Servers: []string{f.URL}, Anchor: trust.Anchor{Authorities: w.Authorities}, Certificate: w.Certificate})
	must(t, err)
	t.Cleanup(c.Close)
	_, err = c.Hello(t.Context(), shoal.Hello{Host: name, Instance: name})
	must(t, err)
	return impostor{w, c}
}

// connect makes a connection of BitTorrent to a peer, and says why it cannot.
func (i impostor) connect(t *testing.T, to netip.AddrPort, r published) (net.Conn, error) {
	t.Helper()
	g, err := peertls.New(peertls.Options{Certificate: i.wallet.Certificate, CAs: i.wallet.Authorities})
	must(t, err)
	plain, err := net.Dial("tcp", to.String())
	must(t, err)
	t.Cleanup(func() { plain.Close() })
	c, err := g.Client(t.Context(), plain)
	if err != nil {
		return nil, err
	}
	var id [20]byte
	rand.Read(id[:])
	_, err = c.Write(wire.NewHandshake(r.meta.Info.Swarms()[0], id, wire.CapFast).Append(nil))
	must(t, err, c.SetReadDeadline(time.Now().Add(patience)))
	_, err = io.ReadFull(c, make([]byte, wire.HandshakeLen))
	return c, err
}

// ended reads a connection to its end, or for so long.
func ended(t *testing.T, c net.Conn, patience time.Duration) bool {
	t.Helper()
	must(t, c.SetReadDeadline(time.Now().Add(patience)))
	_, err := io.Copy(io.Discard, c)
	return !errors.Is(err, os.ErrDeadlineExceeded)
}

func TestEnoughFiles(t *testing.T) {
	if err := enoughFiles(10_000, 20_512); err != nil {
		t.Error(err)
	}
	if err := enoughFiles(10_000, 20_000); err == nil {
		t.Error("20,000 files are enough for 10,000 hosts")
	}
}

// TestForgottenHost has the fleet forget a host that is connected to everybody:
// its connections to server and hosts end while those of another host stay, and
// it gets no new ones, also from a host that starts with no server there.
func TestForgottenHost(t *testing.T) {
	f := newFleet(t, t.TempDir(), "127.0.0.1:0")
	at := make(chan netip.AddrPort, 1)
	root := t.TempDir()
	ready := func(o *AgentOptions) { o.Ready = func(a netip.AddrPort) { at <- a } }
	stop := f.host(t, "web-0", root, ready)
	host := <-at
	r := newRelease(t, metainfo.Hybrid)
	f.register(t, r, "1")
	f.online(t, 1)
	f.reaches(t, f.push(t, "1", nil), "done")
	wait(t, func() bool { _, err := os.Stat(filepath.Join(f.dir, "source/web/releases/1")); return err == nil })

	lost, kept := f.impostor(t, "lost"), f.impostor(t, "kept")
	conns := map[string][2]net.Conn{}
	for name, peer := range map[string]netip.AddrPort{"the server": f.Peers, "a host": host} {
		var pair [2]net.Conn
		for n, who := range []impostor{lost, kept} {
			wait(t, func() (ok bool) { // until it is served
				var err error
				pair[n], err = who.connect(t, peer, r)
				return err == nil
			})
		}
		conns[name] = pair
	}
	watching := make(chan error, 1)
	go func() {
		o, err := lost.client.Watch(t.Context(), "lost", 0)
		for err == nil {
			o, err = lost.client.Watch(t.Context(), "lost", o.Version)
		}
		watching <- err
	}()
	must(t, f.admin.Forget(t.Context(), "lost"))
	told := time.Now()
	for name, pair := range conns {
		if !ended(t, pair[0], patience) {
			t.Errorf("%s goes on to talk to a host that was forgotten", name)
		}
		t.Logf("%s has ended its connection after %v", name, time.Since(told))
		if ended(t, pair[1], 100*time.Millisecond) {
			t.Errorf("%s does not talk to a host that belongs to the fleet", name)
		}
	}
	if err := <-watching; !errors.Is(err, shoal.ErrNotFound) && !errors.Is(err, shoal.ErrDenied) {
		t.Errorf("its watch ended with %v", err)
	}
	refused := func(when string, peer netip.AddrPort) {
		t.Helper()
		if c, err := lost.connect(t, peer, r); err == nil {
			c.Close()
			t.Errorf("%s: a host that was forgotten is let in", when)
		}
		if c, err := kept.connect(t, peer, r); err != nil {
			t.Errorf("%s: one that was not: %v", when, err)
		} else {
			c.Close()
		}
	}
	refused("the server", f.Peers)
	refused("a host", host)
	if _, err := lost.client.Hello(t.Context(), shoal.Hello{Host: "lost"}); !errors.Is(err, shoal.ErrDenied) {
		t.Errorf("the server answers it: %v", err)
	}
	web := http.Client{Transport: &http.Transport{TLSClientConfig: trust.ClientTLS(trust.Anchor{Authorities: lost.wallet.Authorities}, lost.wallet.Certificate)}}
	defer web.CloseIdleConnections()
	res, err := web.Get(f.URL + "/announce?info_hash=" + strings.Repeat("a", 20) + "&peer_id=" + strings.Repeat("b", 20) + "&port=1&left=1&compact=1")
	must(t, err)
	res.Body.Close()
	if res.StatusCode != http.StatusUnauthorized {
		t.Errorf("the tracker answers it: %s", res.Status)
	}

	// The host starts again while there is nobody whom it could ask.
	must(t, stop(), f.stop())
	f.agent(t, "web-0", root, "", ready)
	host = <-at
	wait(t, func() bool { // until it serves
		c, err := kept.connect(t, host, r)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	refused("a host without a server", host)
}
