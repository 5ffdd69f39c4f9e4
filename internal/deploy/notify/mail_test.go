package notify

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"io"
	"mime"
	"mime/quotedprintable"
	"net/http/httptest"
	"net/mail"
	"strings"
	"testing"

	"shoal/internal/deploy/notify/notifytest"
)

func newPostOffice(t *testing.T, cert *tls.Certificate, deny string) *notifytest.PostOffice {
	t.Helper()
	p, err := notifytest.NewPostOffice(cert, deny)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

func TestMailPlain(t *testing.T) {
	p := newPostOffice(t, nil, "")
	n := notifier(t, Options{Mails: []Mail{{Server: p.Addr(), From: "shoal@example.com", To: []string{"a@example.com", "b@example.com"}, Plain: true}}})
	notice := example()
	notice.Text = "ünicode\r\nBcc: x@example.com"
	if err := n.Send(t.Context(), notice); err != nil {
		t.Fatal(err)
	}
	if len(p.Mails()) != 1 {
		t.Fatalf("%d mails", len(p.Mails()))
	}
	m, err := mail.ReadMessage(strings.NewReader(p.Mails()[0]))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(quotedprintable.NewReader(m.Body))
	if err != nil {
		t.Fatal(err)
	}
	subject, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
	if err != nil || subject != "[shoal] plan: rollout 7, web@2" {
		t.Errorf("subject %q, %v", subject, err)
	}
	if m.Header.Get("Message-ID") != "<shoal.7-plan@example.com>" || m.Header.Get("Bcc") != "" || m.Header.Get("To") != "a@example.com, b@example.com" {
		t.Errorf("header %v", m.Header)
	}
	for _, want := range []string{
		"ünicode Bcc: x@example.com", "link fra to nyc: 12GB, 1 copies, at most 100MB/s", "fra: 200 hosts", "note: 3 hosts are offline",
		"https://shoal.example.com/rollouts/7", "shoal stop-all", "Notice 7-plan",
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the mail has no %q:\n%s", want, text)
		}
	}
	log := strings.Join(p.Log(), "\n")
	if !strings.Contains(log, "MAIL FROM:<shoal@example.com>") || strings.Count(log, "RCPT TO:") != 2 {
		t.Errorf("commands:\n%s", log)
	}
}

func TestMailEncrypted(t *testing.T) {
	s := httptest.NewUnstartedServer(nil)
	s.StartTLS() // for its certificate of 127.0.0.1
	defer s.Close()
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	p := newPostOffice(t, &s.TLS.Certificates[0], "")
	m := Mail{Server: p.Addr(), From: "shoal@example.com", To: []string{"a@example.com"}, User: "u", Password: "secret", TLS: &tls.Config{RootCAs: roots}}
	if err := notifier(t, Options{Mails: []Mail{m}}).Send(t.Context(), example()); err != nil {
		t.Fatal(err)
	}
	login := "+AUTH PLAIN " + base64.StdEncoding.EncodeToString([]byte("\x00u\x00secret"))
	if log := strings.Join(p.Log(), "\n"); !strings.Contains(log, login) || !strings.Contains(log, "+MAIL FROM") || len(p.Mails()) != 1 {
		t.Errorf("commands:\n%s", log)
	}
	m.TLS = nil // the system does not know the certificate
	if err := notifier(t, Options{Mails: []Mail{m}}).Send(t.Context(), example()); err == nil || !strings.Contains(err.Error(), "STARTTLS") {
		t.Errorf("an unknown certificate: %v", err)
	}
}

func TestMailFails(t *testing.T) {
	for _, c := range []struct {
		deny, hint string
		change     func(*Mail)
	}{
		{"RCPT", "to a@example.com: 550", func(*Mail) {}},
		{"MAIL", "from shoal@example.com: 550", func(*Mail) {}},
		{"", "no STARTTLS", func(m *Mail) { m.Plain = false }},
		{"", "no STARTTLS", func(m *Mail) { m.User, m.Password = "u", "secret" }},
		{"", "refused", func(m *Mail) { m.Server = "127.0.0.1:1" }},
	} {
		p := newPostOffice(t, nil, c.deny)
		m := Mail{Server: p.Addr(), From: "shoal@example.com", To: []string{"a@example.com"}, Plain: true}
		c.change(&m)
		err := notifier(t, Options{Mails: []Mail{m}}).Send(t.Context(), example())
		if err == nil || !strings.Contains(err.Error(), c.hint) {
			t.Errorf("%q: %v, want an error with %q", c.deny, err, c.hint)
		}
		if len(p.Mails()) != 0 || strings.Contains(strings.Join(p.Log(), " "), "secret") {
			t.Errorf("%q: it got %q %q", c.deny, p.Mails(), p.Log())
		}
	}
	if text := oneLine("a\x1b[1m\tb\u0085c"); strings.ContainsAny(text, "\x1b\t\u0085") {
		t.Errorf("%q", text)
	}
}
