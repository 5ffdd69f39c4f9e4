// Package peertls lets only the members of a fleet talk to each other: it turns
// a TCP connection between two peers into mutual TLS 1.3 (RFC 8446) under the
// fleet's own CA, and says of everybody whom it turns away why.
//
// It knows neither torrents nor handshakes of BitTorrent: those come after it.
package peertls

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"slices"
	"sync"
	"time"
)

// Protocol is what both ends must name in ALPN (RFC 7301), so that no
// connection that was meant for another service of the fleet is taken for one
// between peers.
const Protocol = "shoal-peer/1"

// Options say who we are and whom we take. Certificate and CAs are required;
// they are asked at every handshake, so that a renewed certificate and a new CA
// need no restart. All may be called from several goroutines.
type Options struct {
	Certificate func() (*tls.Certificate, error) // ours, for both directions
	CAs         func() *x509.CertPool            // who signs members
	// Check refuses members that have a good certificate all the same: hosts
	// that the fleet has forgotten. nil: none.
	Check func(name string, leaf *x509.Certificate) error
	// Name is who a certificate is for, or why that is no member; nil: its common name.
	Name func(leaf *x509.Certificate) (string, error)
	// Refused is told of everybody who is turned away. May be nil; must not block.
	Refused func(*Refusal)
	Log     *slog.Logger // nil: no log
}

// Guard stands at the door of a process. Its methods may be called from any
// goroutine.
type Guard struct {
	o Options

	mu    sync.Mutex
	tally map[Kind]*tally
	conns map[*Conn]struct{}
}

// tally is what is remembered of one kind of refusal.
type tally struct {
	Count
	told  time.Time // when the log heard of it
	quiet int       // how many it has not heard of since
}

// Count sums up the refusals of one kind.
type Count struct {
	Kind Kind
	N    int64
	At   time.Time // of the last one
	Last *Refusal
}

// New checks the options.
func New(o Options) (*Guard, error) {
	if o.Certificate == nil || o.CAs == nil {
		return nil, errors.New("peertls: Certificate and CAs are needed")
	}
	if o.Name == nil {
		o.Name = func(leaf *x509.Certificate) (string, error) { return leaf.Subject.CommonName, nil }
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Guard{o: o, tally: map[Kind]*tally{}, conns: map[*Conn]struct{}{}}, nil
}

// Server makes an accepted connection one to a member, a *Conn. When that fails
// nc is closed; the error is a *Refusal unless ctx has ended.
func (g *Guard) Server(ctx context.Context, nc net.Conn) (net.Conn, error) {
	return g.shake(ctx, nc, false, func(c *tls.Config) *tls.Conn { return tls.Server(nc, c) })
}

// Client does the same for a connection that we have opened. A member that does
// not want us says so only when the handshake is over for us: the first Read
// then returns that.
func (g *Guard) Client(ctx context.Context, nc net.Conn) (net.Conn, error) {
	return g.shake(ctx, nc, true, func(c *tls.Config) *tls.Conn { return tls.Client(nc, c) })
}

func (g *Guard) shake(ctx context.Context, nc net.Conn, outgoing bool, start func(*tls.Config) *tls.Conn) (net.Conn, error) {
	c := &Conn{guard: g, outgoing: outgoing}
	c.Conn = start(g.config(c))
	if err := c.HandshakeContext(ctx); err != nil {
		nc.Close()
		if ctx.Err() != nil && context.Cause(ctx) != context.DeadlineExceeded {
			return nil, context.Cause(ctx)
		}
		return nil, g.refuse(classify(c, err))
	}
	g.mu.Lock()
	g.conns[c] = struct{}{}
	g.mu.Unlock()
	if err := g.check(c); err != nil { // it was forgotten while it shook hands, and Recheck did not know it yet
		c.Close()
		return nil, g.refuse(classify(c, err))
	}
	return c, nil
}

// config is that of one handshake. Sessions are not resumed: connections live
// long, and every one shall be checked in full.
func (g *Guard) config(c *Conn) *tls.Config {
	return &tls.Config{
		MinVersion:             tls.VersionTLS13,
		NextProtos:             []string{Protocol},
		SessionTicketsDisabled: true,
		// Content comes in bulk: small first records would only cost calls.
		DynamicRecordSizingDisabled: true,
		ClientAuth:                  tls.RequestClientCert, // verify refuses those without, with a better reason
		InsecureSkipVerify:          true,                  // verify does it: a peer is known by its CA and not by its address
		GetCertificate:              func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return g.own() },
		GetClientCertificate:        func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return g.own() },
		GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			c.old = !slices.Contains(hello.SupportedVersions, tls.VersionTLS13)
			c.stranger = !slices.Contains(hello.SupportedProtos, Protocol)
			return nil, nil
		},
		VerifyConnection: func(s tls.ConnectionState) error { return g.verify(c, s) },
	}
}

// WebConfig is for HTTPS to a server of the fleet: its certificate must be of
// the fleet's CA and name the host, and it is shown ours.
func (g *Guard) WebConfig(host string) *tls.Config {
	return &tls.Config{
		MinVersion:           tls.VersionTLS13,
		ServerName:           host,
		RootCAs:              g.o.CAs(),
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return g.own() },
	}
}

func (g *Guard) own() (*tls.Certificate, error) {
	cert, err := g.o.Certificate()
	if err != nil {
		return nil, &Refusal{Kind: Ours, Err: err}
	}
	return cert, nil
}

// verify is called in the middle of the handshake: that the peer holds the
// certificate's key is proven when all of it is over.
func (g *Guard) verify(c *Conn, s tls.ConnectionState) error {
	switch {
	case s.NegotiatedProtocol != Protocol:
		return &Refusal{Kind: Stranger, Err: errProtocol}
	case len(s.PeerCertificates) == 0:
		return &Refusal{Kind: Nameless, Err: errNoCertificate}
	}
	leaf := s.PeerCertificates[0]
	name, noMember := g.o.Name(leaf)
	c.leaf, c.name = leaf, name
	between := x509.NewCertPool()
	for _, cert := range s.PeerCertificates[1:] {
		between.AddCert(cert)
	}
	usage := x509.ExtKeyUsageClientAuth
	if c.outgoing {
		usage = x509.ExtKeyUsageServerAuth
	}
	_, err := leaf.Verify(x509.VerifyOptions{Roots: g.o.CAs(), Intermediates: between, KeyUsages: []x509.ExtKeyUsage{usage}})
	if err = cmp.Or(err, noMember); err != nil {
		return &Refusal{Kind: kindOf(err), Name: name, Err: err}
	}
	return g.check(c)
}

// check asks whether the fleet still wants the member.
func (g *Guard) check(c *Conn) error {
	if g.o.Check == nil {
		return nil
	}
	if err := g.o.Check(c.name, c.leaf); err != nil {
		return &Refusal{Kind: Forgotten, Name: c.name, Err: err}
	}
	return nil
}

// Recheck closes the connections of members that would be refused today: whose
// certificate has expired, or whom the fleet has forgotten.
func (g *Guard) Recheck(now time.Time) {
	g.mu.Lock()
	conns := make([]*Conn, 0, len(g.conns))
	for c := range g.conns {
		conns = append(conns, c)
	}
	g.mu.Unlock()
	for _, c := range conns {
		err := g.check(c)
		if now.After(c.leaf.NotAfter) {
			err = &Refusal{Kind: Expired, Name: c.name, Err: x509.CertificateInvalidError{Cert: c.leaf, Reason: x509.Expired}}
		}
		if err != nil {
			g.refuse(classify(c, err))
			c.Close()
		}
	}
}

// Refused sums up who was turned away since the start, by kind.
func (g *Guard) Refused() []Count {
	g.mu.Lock()
	defer g.mu.Unlock()
	out := []Count{}
	for _, k := range kinds() {
		if t := g.tally[k]; t != nil {
			out = append(out, t.Count)
		}
	}
	return out
}

// tellEvery is how often the log hears of one kind of refusal: who scans a
// network must not fill a disk.
const tellEvery = time.Minute

// refuse counts a refusal and tells of it.
func (g *Guard) refuse(r *Refusal) error {
	g.mu.Lock()
	t := g.tally[r.Kind]
	if t == nil {
		t = &tally{Count: Count{Kind: r.Kind}}
		g.tally[r.Kind] = t
	}
	t.N++
	t.At, t.Last = r.At, r
	more, level := t.quiet, slog.LevelDebug
	if t.quiet++; t.told.IsZero() || r.At.Sub(t.told) >= tellEvery {
		level, t.told, t.quiet = slog.LevelWarn, r.At, 0
	}
	g.mu.Unlock()
	g.o.Log.Log(context.Background(), level, "peer refused", "peer", r.Peer, "host", r.Name, "reason", r.Kind, "err", r.Err, "hint", r.Hint(), "before", more)
	if g.o.Refused != nil {
		g.o.Refused(r)
	}
	return r
}
