package node

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"shoal"
	"shoal/internal/bt/peertls"
	"shoal/internal/front/api"
	"shoal/internal/trust"
)

// JoinFleet makes this process take part in swarms as a member of a fleet: it
// shows a certificate to peers and to https trackers, and talks only to those
// that show one of the same fleet, and that forgotten gives no error for: call
// recheck when it may have changed its mind.
func (o *Options) JoinFleet(own func() (*tls.Certificate, error), authorities func() *x509.CertPool, forgotten func(*x509.Certificate) error) (recheck func(), err error) {
	guard, err := peertls.New(peertls.Options{
		Certificate: own, CAs: authorities, Log: o.Log,
		Check: func(_ string, leaf *x509.Certificate) error { return forgotten(leaf) },
		Name: func(leaf *x509.Certificate) (string, error) {
			id, err := trust.IdentityOf(leaf)
			return id.String(), err
		},
	})
	if err != nil {
		return nil, err
	}
	o.Secure = guard
	o.TrackWith(own, authorities)
	return func() { guard.Recheck(time.Now()) }, nil
}

// TrackWith shows a certificate to https trackers only: peers are talked to in
// the clear.
func (o *Options) TrackWith(own func() (*tls.Certificate, error), authorities func() *x509.CertPool) {
	o.TrackerTLS = func(string) *tls.Config { return trust.ClientTLS(trust.Anchor{Authorities: authorities}, own) }
}

// Membership is how an agent talks to its fleet.
type Membership struct {
	Servers []string // https URLs
	// Authority is what is known of the fleet before it was joined: the pin of
	// its authority, or a file with its certificate; "": the system's.
	Authority string
	Token     string // one-time; only used before it was joined
	Plain     bool   // peers are talked to in the clear
}

// Below the root, an agent keeps its key and certificate, and whom it refuses.
const (
	identityDir   = ".shoal/identity"
	forgottenFile = identityDir + "/forgotten.json"
)

// joined is an agent's place in its fleet.
type joined struct {
	*api.Client
	wallet    *trust.Wallet
	forgotten *trust.Forgotten
	recheck   func() // ends connections to whom it names; may be nil
	wanted    uint64 // shoal.Orders.Forgotten of the newest orders; only Watch's
	known     uint64 // that of the last time it was asked for; only Watch's
	log       *slog.Logger
}

const forgottenLimit = 10 * time.Second

// Watch implements shoal.Station. Whom the fleet has forgotten is asked for when
// orders say that it is time to; should that fail, before the next ones are
// waited for.
func (j *joined) Watch(ctx context.Context, host string, since uint64) (shoal.Orders, error) {
	j.keepUp(ctx)
	o, err := j.Client.Watch(ctx, host, since)
	if err == nil {
		j.wanted = o.Forgotten
		j.keepUp(ctx)
	}
	return o, err
}

func (j *joined) keepUp(ctx context.Context) {
	if j.wanted == j.known {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, forgottenLimit)
	defer cancel()
	if err := KeepUp(ctx, j.Client, j.forgotten, j.recheck); err != nil {
		j.log.Warn("does not know whom the fleet has forgotten; asks again", "err", err)
		return
	}
	j.known = j.wanted
}

// KeepUp asks whom the fleet has forgotten, and ends connections to them.
func KeepUp(ctx context.Context, c *api.Client, known *trust.Forgotten, recheck func()) error {
	list, err := c.ForgottenSince(ctx, known.After())
	if err != nil {
		return err
	}
	news, err := known.Learn(list, time.Now())
	if news && recheck != nil {
		recheck()
	}
	return err
}

// join makes host a member of the fleet, or finds that it is one. It waits for
// a server for as long as none answers.
func (m Membership) join(ctx context.Context, root, host string, log *slog.Logger) (*joined, error) {
	dir := filepath.Join(root, identityDir)
	w, err := trust.OpenWallet(dir)
	if err != nil {
		return nil, err
	}
	id := w.Identity()
	if id.Name != "" && id.Name != host {
		return nil, fmt.Errorf("the certificate in %s is of host %s, not %s: move the folder away and join anew, or say --host %s", dir, id.Name, host, id.Name)
	}
	if id.Name == "" {
		if err := m.enroll(ctx, w, host, log); err != nil {
			return nil, err
		}
	}
	// The authorities are looked up at each connection: a renewal may bring a new one.
	anchor := trust.Anchor{Authorities: w.Authorities, Advice: "if the fleet was made anew, move " + dir + " away and join with a new token; else see that the URL is that of a server"}
	c, err := api.NewClient(api.ClientOptions{Servers: m.Servers, Anchor: anchor, Certificate: w.Certificate})
	if err != nil {
		return nil, err
	}
	forgotten, err := trust.OpenForgotten(filepath.Join(root, forgottenFile))
	if err != nil {
		return nil, err
	}
	return &joined{Client: c, wallet: w, forgotten: forgotten, log: log}, nil
}

// ErrNoToken says that a host is no member yet and has nothing to become one with.
var ErrNoToken = errors.New("this host has not joined a fleet, and has no token to join with")

// ErrNotAdmitted says that the fleet does not let a host in with the token it has.
var ErrNotAdmitted = errors.New("the token does not let this host in")

func (m Membership) enroll(ctx context.Context, w *trust.Wallet, host string, log *slog.Logger) error {
	if m.Token == "" {
		return ErrNoToken
	}
	anchor, err := trust.ParseAnchor(m.Authority)
	if err != nil {
		return err
	}
	c, err := api.NewClient(api.ClientOptions{Servers: m.Servers, Token: m.Token, Anchor: anchor, Patient: true, Log: log})
	if err != nil {
		return err
	}
	defer c.Close()
	csr, err := w.Request()
	if err != nil {
		return err
	}
	made, err := c.Enroll(ctx, shoal.Enrollment{Host: host, Token: m.Token, CSR: csr})
	if errors.Is(err, shoal.ErrDenied) {
		err = fmt.Errorf("%w: %w", ErrNotAdmitted, err)
	}
	if err != nil {
		return fmt.Errorf("join the fleet: %w", err)
	}
	log.Info("joined the fleet", "host", host, "until", made.Expires)
	return w.Keep(made)
}

// Bounds of renewing.
const (
	renewLook  = time.Minute
	renewAgain = 15 * time.Minute
)

// renew gets a new certificate in time, until ctx ends.
func (j *joined) renew(ctx context.Context) {
	pause := renewLook
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		pause = renewLook
		if time.Now().Before(j.wallet.Due()) {
			continue
		}
		csr, err := j.wallet.Request()
		if err == nil {
			var made shoal.Credentials
			if made, err = j.Enroll(ctx, shoal.Enrollment{Host: j.wallet.Identity().Name, CSR: csr}); err == nil {
				err = j.wallet.Keep(made)
			}
		}
		if err != nil {
			j.log.Warn("cannot renew the certificate", "until", j.wallet.Identity().Expires, "err", err)
			pause = renewAgain
			continue
		}
		j.log.Info("renewed the certificate", "until", j.wallet.Identity().Expires)
	}
}
