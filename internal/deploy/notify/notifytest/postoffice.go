// Package notifytest has an SMTP server for tests: a real socket that keeps the
// mails that it gets.
package notifytest

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
)

// PostOffice speaks SMTP (RFC 5321) as far as a client needs it.
type PostOffice struct {
	listener net.Listener
	cert     *tls.Certificate
	deny     string
	group    sync.WaitGroup

	mu    sync.Mutex
	log   []string
	mails []string
}

// NewPostOffice listens on loopback. With a certificate it offers STARTTLS; a
// command that begins with deny, if it is not empty, is refused.
func NewPostOffice(cert *tls.Certificate, deny string) (*PostOffice, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &PostOffice{listener: l, cert: cert, deny: deny}
	p.group.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			p.group.Go(func() {
				defer c.Close()
				p.serve(c)
			})
		}
	})
	return p, nil
}

// Addr is host:port.
func (p *PostOffice) Addr() string { return p.listener.Addr().String() }

// Close ends it, when its clients have gone.
func (p *PostOffice) Close() {
	p.listener.Close()
	p.group.Wait()
}

// Mails are those that were taken, as they came.
func (p *PostOffice) Mails() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.mails)
}

// Log is the commands, with + before those that came encrypted.
func (p *PostOffice) Log() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.log)
}

func (p *PostOffice) serve(c net.Conn) {
	r, mark := bufio.NewReader(c), ""
	say := func(text string) { _, _ = io.WriteString(c, text+"\r\n") } // who is gone hears nothing
	say("220 test")
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimRight(line, "\r\n")
		p.mu.Lock()
		p.log = append(p.log, mark+line)
		p.mu.Unlock()
		verb, _, _ := strings.Cut(line, " ")
		switch {
		case p.deny != "" && strings.HasPrefix(line, p.deny):
			say("550 not here")
		case verb == "EHLO" && p.cert != nil && mark == "":
			say("250-test\r\n250 STARTTLS")
		case verb == "EHLO":
			say("250-test\r\n250 AUTH PLAIN")
		case verb == "STARTTLS":
			say("220 go on")
			secure := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{*p.cert}})
			c, r, mark = secure, bufio.NewReader(secure), "+"
		case verb == "AUTH":
			say("235 ok")
		case verb == "DATA":
			say("354 go on")
			if !p.take(r) {
				return
			}
			say("250 taken")
		case verb == "QUIT":
			say("221 bye")
			return
		default:
			say("250 ok")
		}
	}
}

// take reads a mail to its end.
func (p *PostOffice) take(r *bufio.Reader) bool {
	var b strings.Builder
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return false
		}
		if line == ".\r\n" {
			break
		}
		b.WriteString(strings.TrimPrefix(line, "."))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mails = append(p.mails, b.String())
	return true
}
