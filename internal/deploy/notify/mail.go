package notify

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"mime"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"net/smtp"
	"strings"
	"time"

	"shoal"
)

// Mail is an SMTP server that takes notices for some people.
type Mail struct {
	Server   string // host:port
	From     string
	To       []string
	User     string // "" does not log in
	Password string
	// Plain lets the mail go unencrypted to a server that offers no STARTTLS,
	// such as one on this machine. A password never goes without.
	Plain  bool
	TLS    *tls.Config // nil is the system's roots
	Filter Filter
}

const (
	mailTimeout = 30 * time.Second
	maxTo       = 100
)

func (m *Mail) filter() Filter { return m.Filter }
func (m *Mail) String() string { return "mail by " + m.Server }

func (m *Mail) check() error {
	if _, _, err := net.SplitHostPort(m.Server); err != nil {
		return fmt.Errorf("the server is host:port, such as mail.example.com:587: %w", err)
	}
	if len(m.To) == 0 || len(m.To) > maxTo {
		return fmt.Errorf("%d recipients: there have to be 1 to %d", len(m.To), maxTo)
	}
	for _, a := range append([]string{m.From}, m.To...) {
		if parsed, err := mail.ParseAddress(a); err != nil || parsed.Address != a {
			return fmt.Errorf("address %.80q: write it as ops@example.com", a)
		}
	}
	return nil
}

func (m *Mail) send(ctx context.Context, n shoal.Notice) (err error) {
	ctx, cancel := context.WithTimeout(ctx, mailTimeout)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", m.Server)
	if err != nil {
		return err
	}
	// net/smtp knows no contexts: the end of this one ends the connection.
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	host, _, _ := net.SplitHostPort(m.Server) // was checked
	c, err := smtp.NewClient(conn, host)
	if err != nil {
		return errors.Join(err, conn.Close())
	}
	defer func() {
		if err != nil {
			_ = c.Close() // the error before it says more
		}
	}()
	if err := m.secure(c, host); err != nil {
		return err
	}
	if err := c.Mail(m.From); err != nil {
		return fmt.Errorf("from %s: %w", m.From, err)
	}
	for _, to := range m.To {
		if err := c.Rcpt(to); err != nil {
			return fmt.Errorf("to %s: %w", to, err)
		}
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	_, err = w.Write(m.message(n))
	if err = errors.Join(err, w.Close()); err != nil {
		return err
	}
	_ = c.Quit() // it has taken the mail
	return nil
}

// secure encrypts the connection and logs in.
func (m *Mail) secure(c *smtp.Client, host string) error {
	encrypts, _ := c.Extension("STARTTLS")
	switch {
	case encrypts:
		config := &tls.Config{}
		if m.TLS != nil {
			config = m.TLS.Clone()
		}
		config.ServerName = cmp.Or(config.ServerName, host)
		if err := c.StartTLS(config); err != nil {
			return fmt.Errorf("STARTTLS: %w", err)
		}
	case !m.Plain || m.User != "":
		return errors.New("it offers no STARTTLS: use one that does, or allow plain text and no password")
	}
	if m.User == "" {
		return nil
	}
	if err := c.Auth(smtp.PlainAuth("", m.User, m.Password, host)); err != nil {
		return fmt.Errorf("log in as %s: %w", m.User, err)
	}
	return nil
}

// message is a mail (RFC 5322). Its Message-ID is the notice's, so mailboxes
// know one that comes twice.
func (m *Mail) message(n shoal.Notice) []byte {
	var b strings.Builder
	_, domain, _ := strings.Cut(m.From, "@")
	for _, h := range [][2]string{
		{"From", m.From}, {"To", strings.Join(m.To, ", ")}, {"Subject", mime.QEncoding.Encode("utf-8", oneLine(title(n)))},
		{"Date", n.At.Format(time.RFC1123Z)}, {"Message-ID", fmt.Sprintf("<shoal.%s@%s>", token(n.ID), domain)},
		{"Auto-Submitted", "auto-generated"}, {"MIME-Version", "1.0"},
		{"Content-Type", "text/plain; charset=utf-8"}, {"Content-Transfer-Encoding", "quoted-printable"},
	} {
		b.WriteString(h[0] + ": " + h[1] + "\r\n")
	}
	b.WriteString("\r\n")
	w := quotedprintable.NewWriter(&b)
	_, _ = w.Write([]byte(body(n))) // into memory
	_ = w.Close()
	return []byte(b.String())
}

// token keeps of an ID what may stand in a Message-ID.
func token(id string) string {
	return strings.Map(func(r rune) rune {
		if r == '-' || r == '.' || '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' {
			return r
		}
		return '_'
	}, id)
}
