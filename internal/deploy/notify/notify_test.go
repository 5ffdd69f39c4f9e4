package notify

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"shoal"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func example() shoal.Notice {
	return shoal.Notice{
		Kind: "plan", At: time.Date(2026, 11, 25, 3, 0, 0, 0, time.UTC), Rollout: &shoal.Rollout{
			ID: 7, App: "web", Version: "2", Waves: shoal.Waves{{Size: shoal.Percent(100)}},
		},
		Text: "rollout 7, web@2: 12 GB to 300 hosts in 2 places", Link: "https://shoal.example.com/rollouts/7", ID: "7-plan",
		Sites: []string{"fra", "nyc"},
		Plan: &shoal.Plan{
			Release: "web@2", Bytes: 12e9, Hosts: 300, By: "arithmetic", Bound: "the link fra to nyc", Time: time.Hour,
			Links: []shoal.LinkUse{{From: "fra", To: "nyc", Bytes: 12e9, Copies: 1, Peak: 100e6}},
			Sites: []shoal.SiteShare{{Name: "fra", Hosts: 200}, {Name: "nyc", Hosts: 100}}, Warn: []string{"3 hosts are offline"},
		},
	}
}

func notifier(t *testing.T, o Options) *Notifier {
	t.Helper()
	n, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// hook is a receiver that keeps what it gets.
type hook struct {
	*httptest.Server
	got    chan *http.Request
	bodies chan string
	status int
}

func newHook(t *testing.T, status int) *hook {
	h := &hook{got: make(chan *http.Request, 10), bodies: make(chan string, 10), status: status}
	h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		h.got <- r
		h.bodies <- string(body)
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(h.status)
		_, _ = io.WriteString(w, "what the service\nsays")
	}))
	t.Cleanup(h.Close)
	return h
}

func TestWebhook(t *testing.T) {
	h := newHook(t, http.StatusOK)
	n := notifier(t, Options{Webhooks: []Webhook{{URL: h.URL + "/services/secret", Secret: "key"}}})
	if err := n.Send(t.Context(), example()); err != nil {
		t.Fatal(err)
	}
	r, body := <-h.got, <-h.bodies
	var p struct {
		Text   string
		Notice shoal.Notice
	}
	if err := json.Unmarshal([]byte(body), &p); err != nil {
		t.Fatal(err)
	}
	if p.Text != example().Text+"\n"+example().Link || p.Notice.ID != "7-plan" || p.Notice.Plan.Links[0].Peak != 100e6 || p.Notice.Rollout.ID != 7 {
		t.Errorf("got %s", body)
	}
	mac := hmac.New(sha256.New, []byte("key"))
	mac.Write([]byte(body))
	if got := r.Header.Get("Shoal-Signature"); got != "sha256="+hex.EncodeToString(mac.Sum(nil)) {
		t.Errorf("signature %q", got)
	}
	if r.Method != "POST" || r.URL.Path != "/services/secret" || r.Header.Get("Content-Type") != "application/json" || r.Header.Get("Idempotency-Key") != "7-plan" {
		t.Errorf("%s %s with %v", r.Method, r.URL, r.Header)
	}
	if err := n.Send(t.Context(), example()); err != nil || len(h.got) != 0 {
		t.Errorf("the same notice again: %v, %d requests", err, len(h.got))
	}
}

// TestWebhookFails wants an error that says what happened and tells no secret,
// and that only those outlets are asked again that have not taken the notice.
func TestWebhookFails(t *testing.T) {
	good := newHook(t, http.StatusNoContent)
	for _, status := range []int{http.StatusFound, http.StatusForbidden, http.StatusInternalServerError} {
		bad := newHook(t, status)
		n := notifier(t, Options{Webhooks: []Webhook{{URL: bad.URL + "/secret"}, {URL: good.URL}}})
		err := n.Send(t.Context(), example())
		if err == nil || !strings.Contains(err.Error(), http.StatusText(status)) || !strings.Contains(err.Error(), "what the service says") || strings.Contains(err.Error(), "/secret") {
			t.Errorf("status %d: %v", status, err)
		}
		<-good.got
		bad.status = http.StatusOK
		if err := n.Send(t.Context(), example()); err != nil || len(good.got) != 0 || len(bad.got) != 2 {
			t.Errorf("again: %v, %d and %d requests", err, len(good.got), len(bad.got))
		}
	}
	good.Close()
	n := notifier(t, Options{Webhooks: []Webhook{{URL: good.URL + "/secret"}}})
	if err := n.Send(t.Context(), example()); err == nil || strings.Contains(err.Error(), "/secret") {
		t.Errorf("nobody there: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := n.Send(ctx, example()); err == nil {
		t.Error("sent after the end")
	}
}

func TestFilter(t *testing.T) {
	for _, c := range []struct {
		filter Filter
		want   bool
	}{
		{Filter{}, true},
		{Filter{Sites: []string{"nyc"}}, true},
		{Filter{Sites: []string{"sgp"}}, false},
		{Filter{Kinds: []string{"problem", "plan"}}, true},
		{Filter{Kinds: []string{"problem"}}, false},
		{Filter{Sites: []string{"fra"}, Kinds: []string{"problem"}}, false},
	} {
		if got := c.filter.wants(example()); got != c.want {
			t.Errorf("%+v: %v", c.filter, got)
		}
	}
	if stop := (shoal.Notice{Kind: "stop"}); !(Filter{Sites: []string{"sgp"}}).wants(stop) {
		t.Error("what concerns the whole fleet is kept from a site")
	}
}

func TestCommand(t *testing.T) {
	dir := t.TempDir()
	program := filepath.Join(dir, "tell")
	if err := os.WriteFile(program, []byte("#!/bin/sh\ncat > "+dir+"/in; echo \"$1 $SHOAL_NOTICE $SHOAL_KIND $SHOAL_TEXT\" > "+dir+"/env; echo oops >&2; exit $2\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	n := notifier(t, Options{Commands: []Command{{Args: []string{program, "x", "0"}}}})
	notice := example()
	notice.Text = "two\nlines"
	if err := n.Send(t.Context(), notice); err != nil {
		t.Fatal(err)
	}
	in, err := os.ReadFile(filepath.Join(dir, "in"))
	if err != nil {
		t.Fatal(err)
	}
	var got shoal.Notice
	if err := json.Unmarshal(in, &got); err != nil || got.ID != "7-plan" || got.Plan.Hosts != 300 {
		t.Errorf("%s, %v", in, err)
	}
	env, err := os.ReadFile(filepath.Join(dir, "env"))
	if err != nil || string(env) != "x 7-plan plan two lines\n" {
		t.Errorf("environment %q, %v", env, err)
	}
	n = notifier(t, Options{Commands: []Command{{Args: []string{program, "x", "3"}}}})
	if err := n.Send(t.Context(), notice); err == nil || !strings.Contains(err.Error(), "exit status 3: oops") {
		t.Errorf("a command that fails: %v", err)
	}
}

func TestOptions(t *testing.T) {
	for _, c := range []struct {
		o    Options
		hint string
	}{
		{Options{Webhooks: []Webhook{{URL: "example.com"}}}, "https://"},
		{Options{Webhooks: []Webhook{{URL: "file:///etc/passwd"}}}, "https://"},
		{Options{Mails: []Mail{{Server: "mail", From: "a@b", To: []string{"c@d"}}}}, "host:port"},
		{Options{Mails: []Mail{{Server: "mail:25", From: "a@b"}}}, "recipients"},
		{Options{Mails: []Mail{{Server: "mail:25", From: "a@b", To: []string{"c@d\r\nBcc: x@y"}}}}, "address"},
		{Options{Mails: []Mail{{Server: "mail:25", From: "A <a@b>", To: []string{"c@d"}}}}, "address"},
		{Options{Commands: []Command{{}}}, "whole path"},
		{Options{Commands: []Command{{Args: []string{"mail"}}}}, "whole path"},
	} {
		if _, err := New(c.o); err == nil || !strings.Contains(err.Error(), c.hint) {
			t.Errorf("%+v: %v, want an error with %q", c.o, err, c.hint)
		}
	}
	if n, err := New(Options{}); err != nil || !n.Empty() {
		t.Errorf("no outlets: %v", err)
	}
}
