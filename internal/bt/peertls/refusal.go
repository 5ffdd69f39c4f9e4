package peertls

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"syscall"
	"time"
)

// Kind is why a peer was turned away.
type Kind string

// The kinds of refusal.
const (
	Plain     Kind = "plain"          // it does not speak TLS
	Old       Kind = "tls-version"    // it does not speak TLS 1.3
	Stranger  Kind = "protocol"       // it speaks TLS, but not as a peer
	Nameless  Kind = "no-certificate" // it shows none
	Foreign   Kind = "foreign"        // its certificate is not of the fleet's CA, or not for peers
	Expired   Kind = "expired"        // its certificate has expired, or is not valid yet
	Forgotten Kind = "forgotten"      // its certificate is good, but the fleet does not want it
	Unwanted  Kind = "unwanted"       // it does not want us
	Ours      Kind = "own"            // we have no certificate to show
	Broken    Kind = "handshake"      // anything else
)

func kinds() []Kind {
	return []Kind{Plain, Old, Stranger, Nameless, Foreign, Expired, Forgotten, Unwanted, Ours, Broken}
}

// Refusal is why there is no connection to a peer.
type Refusal struct {
	Kind     Kind
	Peer     netip.AddrPort
	Outgoing bool
	Name     string // in its certificate; it need not be its own
	At       time.Time
	Err      error
}

var (
	errProtocol      = errors.New("it did not agree on ALPN " + Protocol)
	errNoCertificate = errors.New("it shows no certificate")
	errOld           = errors.New("it offers nothing newer than TLS 1.2")
)

func (r *Refusal) Error() string {
	who := r.Peer.String()
	if r.Name != "" {
		who += fmt.Sprintf(" (%.64q)", r.Name)
	}
	return fmt.Sprintf("no connection to peer %s: %s: %v", who, r.Kind, r.Err)
}

// Unwrap is the cause.
func (r *Refusal) Unwrap() error { return r.Err }

// Hint is what the operator can do.
func (r *Refusal) Hint() string {
	switch r.Kind {
	case Plain, Old, Stranger:
		return "give that peer a certificate of the fleet's CA, or run all of this swarm without TLS"
	case Nameless, Foreign:
		return "if it belongs to the fleet, enrol it: its certificate must be signed by the CA that is trusted here, for server and client authentication"
	case Expired:
		return "renew its certificate, and compare the clocks of both hosts"
	case Forgotten:
		return "enrol it again if it belongs to the fleet"
	case Unwanted:
		return "its log says why; compare the CAs and the clocks of both hosts, and whether this one was forgotten"
	case Ours:
		return "look at the certificate and key of this host"
	}
	return "its log may say more"
}

// kindOf sorts what the check of a certificate says.
func kindOf(err error) Kind {
	var invalid x509.CertificateInvalidError
	if errors.As(err, &invalid) && invalid.Reason == x509.Expired {
		return Expired
	}
	return Foreign
}

// classify completes the refusal in what ended a handshake, or makes one of it.
func classify(c *Conn, err error) *Refusal {
	var known *Refusal
	r := &Refusal{Kind: Broken, Err: err}
	var header tls.RecordHeaderError
	switch {
	case errors.As(err, &known):
		r.Kind, r.Err = known.Kind, known.Err
	case errors.As(err, &header):
		r.Kind = Plain
	case c.old:
		r.Kind, r.Err = Old, errOld
	case c.stranger:
		r.Kind, r.Err = Stranger, errProtocol
	case isAlert(err):
		r.Kind = Unwanted
	case c.outgoing && (errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET)):
		r.Kind, r.Err = Plain, fmt.Errorf("it hung up at the word TLS, as plain peers do: %w", err)
	}
	r.Name, r.Outgoing, r.At = c.name, c.outgoing, time.Now()
	if a, err := netip.ParseAddrPort(c.RemoteAddr().String()); err == nil {
		r.Peer = netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
	}
	return r
}

// isAlert tells whether the other end has ended it by a TLS alert.
func isAlert(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "remote error"
}
