package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"shoal"
	"shoal/internal/trust"
)

// doors states who gets through which door. Each route has to be here: v, p, a,
// o, A, h and j are viewer, pusher, approver, operator, admin, a host by its
// certificate, and a joiner. P is a pusher on what it pushed itself.
func doors() map[string]string {
	return map[string]string{
		"releases": "vpaoA", "register": "poA", "plan": "poA", "push": "poA", "rollouts": "vpaoA", "rollout": "vpaoA",
		"approve": "aoA", "pause": "PaoA", "resume": "aoA", "activate": "aoA", "retry": "oA", "abort": "PoA", "rollback": "oA",
		"hosts": "vpaoA", "forget": "oA", "why": "vpaoA", "situation": "vpaoA",
		"stop-all": "oA", "start-all": "oA", "freeze": "oA", "thaw": "oA",
		"tokens": "A", "create-token": "A", "revoke-token": "A", "audit": "A",
		"enroll": "jhpoA", "hello": "h", "watch": "h", "report": "h", "bundle": "h", "forgotten": "hpoA",
	}
}

// knock sends a request as bare as HTTP allows.
func knock(t *testing.T, c *Client, method, path string) (status int, body string) {
	t.Helper()
	body = "{}"
	if path == "/v1/enroll" {
		body = `{"host":"web-1"}`
	}
	r, err := http.NewRequest(method, c.urls[0].String()+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if c.o.Token != "" {
		r.Header.Set("Authorization", "Bearer "+c.o.Token)
	}
	res, err := c.http.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(text)
}

// filled is a pattern with values in place of its names.
func filled(pattern string) string {
	return strings.NewReplacer("{app}", "web", "{version}", "1", "{id}", "7", "{host}", "web-1", "{from}", "2026-11-26T10:00:00Z").Replace(pattern)
}

// TestEveryDoor walks the table of routes and knocks at each as everybody.
func TestEveryDoor(t *testing.T) {
	s, now := newSite(t), time.Now()
	s.answers["Rollout"] = shoal.Progress{Rollout: shoal.Rollout{ID: 7, App: "web", By: "owner"}}
	clients := map[string]*Client{
		"v": s.client(t, s.token(t, shoal.Token{Role: shoal.Viewer}, now), nil),
		"p": s.client(t, s.token(t, shoal.Token{Role: shoal.Pusher}, now), nil),
		"P": s.client(t, s.token(t, shoal.Token{Role: shoal.Pusher, Name: "owner"}, now), nil),
		"a": s.client(t, s.token(t, shoal.Token{Role: shoal.Approver}, now), nil),
		"o": s.client(t, s.token(t, shoal.Token{Role: shoal.Operator}, now), nil),
		"A": s.client(t, s.token(t, shoal.Token{Role: shoal.Admin}, now), nil),
		"h": s.client(t, "", host(t, s.authority, trust.Host, "web-1", now)),
		"j": s.client(t, s.token(t, shoal.Token{Role: shoal.Joiner, Name: "j"}, now), nil),
	}
	forgotten := host(t, s.authority, trust.Host, "gone-1", now)
	s.forgotten["gone-1"] = now.Add(time.Second)
	nobody := map[string]*Client{
		"no token":                s.client(t, "", nil),
		"an expired token":        s.client(t, s.token(t, shoal.Token{Role: shoal.Admin}, now.Add(-2*time.Hour)), nil),
		"an unknown token":        s.client(t, "shoal_"+strings.Repeat("a", 52), nil),
		"no token at all":         s.client(t, "admin", nil),
		"a forgotten host":        s.client(t, "", forgotten),
		"a host of another fleet": s.client(t, "", host(t, newAuthority(t), trust.Host, "web-1", now)),
		"an expired certificate":  s.client(t, "", host(t, s.authority, trust.Host, "web-1", now.Add(-40*24*time.Hour))),
	}
	unseen := doors()
	for _, r := range routes() {
		want, ok := unseen[r.verb]
		if !ok {
			t.Errorf("route %s %s, %s: say in doors who may", r.method, r.pattern, r.verb)
			continue
		}
		delete(unseen, r.verb)
		for name, c := range nobody {
			if status, body := knock(t, c, r.method, filled(r.pattern)); status != http.StatusUnauthorized || !strings.Contains(body, `"code":"unauthenticated"`) {
				t.Errorf("%s as %s: %d %s", r.verb, name, status, body)
			}
		}
		if calls := s.taken(); len(calls) > 0 {
			t.Errorf("%s: nobody got through to %q", r.verb, calls)
		}
		for name, c := range clients {
			status, body := knock(t, c, r.method, filled(r.pattern))
			may := strings.Contains(want, name) || name == "P" && strings.Contains(want, "p")
			refused := status == http.StatusForbidden && strings.Contains(body, `"code":"denied"`)
			if status == http.StatusUnauthorized || refused == may {
				t.Errorf("%s as %s: %d %s", r.verb, name, status, body)
			}
			did := slices.DeleteFunc(s.taken(), func(call string) bool { return strings.HasPrefix(call, "Rollout[") })
			if refused && len(did) > 0 {
				t.Errorf("%s as %s: refused, after it did %q", r.verb, name, did)
			}
		}
	}
	for verb := range unseen {
		t.Errorf("doors has %s, and there is no such route", verb)
	}
	// What is no route is no door either.
	for _, path := range []string{"/", "/v1/", "/v1/nothing", "/metrics"} {
		if status, _ := knock(t, nobody["no token"], "GET", path); status != http.StatusUnauthorized {
			t.Errorf("GET %s as nobody: %d", path, status)
		}
		if status, body := knock(t, clients["A"], "GET", path); status != http.StatusNotFound || !strings.Contains(body, `"code":"not-found"`) {
			t.Errorf("GET %s as admin: %d %s", path, status, body)
		}
	}
	// Handlers for members are for certificates only.
	for name, c := range clients {
		status, body := knock(t, c, "GET", "/announce")
		if name == "h" && (status != http.StatusOK || body != "member host:web-1") || name != "h" && status != http.StatusForbidden {
			t.Errorf("announce as %s: %d %s", name, status, body)
		}
	}
	for name, c := range nobody {
		if status, _ := knock(t, c, "GET", "/announce"); status != http.StatusUnauthorized {
			t.Errorf("announce as %s: %d", name, status)
		}
	}
}

// TestScope holds a token to its apps.
func TestScope(t *testing.T) {
	s, ctx := newSite(t), context.Background()
	c := s.client(t, s.token(t, shoal.Token{Role: shoal.Admin, Apps: []string{"web"}}, time.Now()), nil)
	s.answers["Rollout"] = shoal.Progress{Rollout: shoal.Rollout{ID: 7, App: "db"}}
	s.answers["Rollouts"] = []shoal.Progress{{Rollout: shoal.Rollout{ID: 1, App: "db", Waves: waves(t)}}, {Rollout: shoal.Rollout{ID: 2, App: "web", Waves: waves(t)}}}
	s.answers["Push"] = shoal.Progress{Rollout: shoal.Rollout{ID: 8, App: "web", Waves: waves(t)}}
	s.answers["Releases"] = []shoal.Release{{App: "db"}, {App: "web"}}
	s.answers["Why"] = []shoal.Why{{App: "db", What: "x"}, {App: "web", What: "y"}, {What: "z"}}
	s.answers["Hosts"] = []shoal.Host{{Name: "h", Report: shoal.Report{Apps: []shoal.AppReport{{App: "db"}, {App: "web"}}}}}
	denied := func(what string, err error) {
		t.Helper()
		if !errors.Is(err, shoal.ErrDenied) {
			t.Errorf("%s: %v", what, err)
		}
	}
	wish := shoal.Rollout{App: "db", Version: "1", To: all(t), Waves: waves(t)}
	_, err := c.Push(ctx, wish)
	denied("push", err)
	_, err = c.Plan(ctx, wish)
	denied("plan", err)
	_, err = c.Register(ctx, shoal.Upload{App: "db", Version: "1"})
	denied("register", err)
	_, err = c.Rollout(ctx, 7)
	denied("rollout", err)
	_, err = c.Command(ctx, 7, shoal.Command{Do: "abort"})
	denied("abort", err)
	denied("stop", c.Stop(ctx, ""))
	denied("forget", c.Forget(ctx, "web-1"))
	_, _, err = c.CreateToken(ctx, shoal.Token{})
	denied("create a token", err)
	if did := s.taken(); len(did) != 2 { // Rollout was looked at, twice
		t.Errorf("it did %q", did)
	}
	rollouts, err := c.Rollouts(ctx, shoal.RolloutQuery{})
	if err != nil || len(rollouts) != 1 {
		t.Fatalf("rollouts: %+v %v", rollouts, err)
	}
	same(t, "rollouts", rollouts[0].Rollout.App, "web")
	releases, err := c.Releases(ctx, "")
	same(t, "releases", fmt.Sprint(releases[0].Name(), len(releases), err), "web@1 <nil>")
	why, err := c.Why(ctx, "h")
	same(t, "why", fmt.Sprint(len(why), err), "2 <nil>")
	hosts, err := c.Hosts(ctx, all(t))
	same(t, "hosts", fmt.Sprint(len(hosts), len(hosts[0].Report.Apps), err), "1 1 <nil>")
	wish.App = "web"
	if _, err := c.Push(ctx, wish); err != nil {
		t.Error(err)
	}
}

func TestOnlyOperatorsIgnoreFreezes(t *testing.T) {
	s, ctx := newSite(t), context.Background()
	wish := shoal.Rollout{App: "web", Version: "1", To: all(t), Waves: waves(t), IgnoreFreeze: true}
	s.answers["Push"] = shoal.Progress{Rollout: wish}
	for role, ok := range map[shoal.Role]bool{shoal.Pusher: false, shoal.Operator: true} {
		c := s.client(t, s.token(t, shoal.Token{Role: role, Apps: []string{"web"}}, time.Now()), nil)
		if _, err := c.Push(ctx, wish); (err == nil) != ok {
			t.Errorf("%s: %v", role, err)
		}
	}
}

// TestErrors carries each kind over, with text and hint.
func TestErrors(t *testing.T) {
	s, ctx := newSite(t), context.Background()
	c := s.client(t, s.token(t, shoal.Token{Role: shoal.Viewer}, time.Now()), nil)
	for _, kind := range []error{shoal.ErrInvalid, shoal.ErrDenied, shoal.ErrNotFound, shoal.ErrConflict, shoal.ErrUnavailable} {
		s.err = hinted{fmt.Errorf("rollout 7: %w", kind)}
		_, err := c.Rollout(ctx, 7)
		var h interface{ Hint() string }
		if !errors.Is(err, kind) || err.Error() != s.err.Error() || !errors.As(err, &h) || h.Hint() != "do something" {
			t.Errorf("%v: %v", kind, err)
		}
	}
	s.err = errors.New("the password of the database is horse")
	_, err := c.Rollout(ctx, 7)
	if err == nil || strings.Contains(err.Error(), "horse") {
		t.Errorf("a fault of the server: %v", err)
	}
	var e *Error
	if !errors.As(err, &e) || e.Status != http.StatusInternalServerError || e.Kind != nil {
		t.Errorf("a fault of the server: %#v", err)
	}
}

type hinted struct{ error }

func (h hinted) Unwrap() error { return h.error }
func (h hinted) Hint() string  { return "do something" }

// TestBadBodies sends what is too long, broken or unknown.
func TestBadBodies(t *testing.T) {
	s := newSite(t)
	c := s.client(t, s.token(t, shoal.Token{Role: shoal.Admin}, time.Now()), nil)
	h := s.client(t, "", host(t, s.authority, trust.Host, "web-1", time.Now()))
	send := func(c *Client, method, path string, body io.Reader, length int64) (int, string) {
		t.Helper()
		r, err := http.NewRequest(method, c.urls[0].String()+path, body)
		if err != nil {
			t.Fatal(err)
		}
		r.ContentLength = length
		if c.o.Token != "" {
			r.Header.Set("Authorization", "Bearer "+c.o.Token)
		}
		res, err := c.http.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		text, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, string(text)
	}
	long := `{"reason":"` + strings.Repeat("x", maxBody) + `"}`
	for _, b := range []struct{ path, body string }{
		{"/v1/stop", `{"reason":`}, {"/v1/stop", `[]`}, {"/v1/stop", `{"raeson":"typo"}`}, {"/v1/stop", long},
		{"/v1/rollouts", `{"app":"web","waves":"50%"}`}, {"/v1/rollouts", `{"app":"web","to":"=="}`},
		{"/v1/rollouts/x/pause", `{}`}, {"/v1/rollouts/99999999999999999999/pause", `{}`},
	} {
		if status, text := send(c, "POST", b.path, strings.NewReader(b.body), int64(len(b.body))); status != http.StatusBadRequest {
			t.Errorf("POST %s %.60s: %d %s", b.path, b.body, status, text)
		}
	}
	for _, path := range []string{"/v1/hosts?to=a==b", "/v1/audit?limit=100000", "/v1/audit?after=x"} {
		if status, text := send(c, "GET", path, http.NoBody, 0); status != http.StatusBadRequest {
			t.Errorf("GET %s: %d %s", path, status, text)
		}
	}
	if status, text := send(c, "DELETE", "/v1/freezes/yesterday", http.NoBody, 0); status != http.StatusBadRequest {
		t.Errorf("thaw: %d %s", status, text)
	}
	for _, path := range []string{"/v1/releases/web/1?serial=x", "/v1/releases/web/1?" + strings.Repeat("peer=a:1&", maxPeers+1)} {
		if status, text := send(c, "PUT", path, http.NoBody, 0); status != http.StatusBadRequest {
			t.Errorf("PUT %s: %d %s", path, status, text)
		}
	}
	if calls := s.taken(); len(calls) > 0 {
		t.Errorf("some got through: %q", calls)
	}
	// An agent that is newer than the server may say more.
	if status, text := send(h, "POST", "/v1/agent/report", strings.NewReader(`{"seq":3,"mood":"good"}`), -1); status != http.StatusNoContent {
		t.Errorf("a newer agent: %d %s", status, text)
	}
	same(t, "report", s.taken(), []string{`Report[{"host":"web-1","session":0,"seq":3}]`})
}

func TestMetafiles(t *testing.T) {
	s, ctx := newSite(t), context.Background()
	c := s.client(t, s.token(t, shoal.Token{Role: shoal.Pusher}, time.Now()), nil)
	up := shoal.Upload{App: "web", Version: "1.0+b~1", Metafile: bytes.Repeat([]byte("metafile"), 1<<18), Serial: 9, Signature: []byte("a\nb\x00"), Peers: []string{"10.0.0.1:6881", "[::1]:6881"}}
	s.answers["Register"] = shoal.Release{App: "web", Version: "1.0+b~1", Bytes: 5}
	r, err := c.Register(ctx, up)
	if err != nil || r.Bytes != 5 {
		t.Fatalf("%+v %v", r, err)
	}
	_, err = saw[any](ctx, s.fake, "Register", up)
	if calls := s.taken(); err != nil || len(calls) != 2 || calls[0] != calls[1] {
		t.Errorf("the metafile changed on the way")
	}
	down := shoal.Bundle{App: "web", Version: "1.0+b~1", Metafile: up.Metafile, Serial: 9, Signature: up.Signature, Trackers: []string{"https://a/announce", "https://b/announce"}}
	s.answers["Bundle"] = down
	agent := s.client(t, "", host(t, s.authority, trust.Host, "web-1", time.Now()))
	got, err := agent.Bundle(ctx, "web", "1.0+b~1")
	if err != nil {
		t.Fatal(err)
	}
	same(t, "bundle", got, down)
	if _, err := c.Register(ctx, shoal.Upload{App: "web", Version: "1", Signature: make([]byte, shoal.MaxSignature+1)}); !errors.Is(err, shoal.ErrInvalid) {
		t.Errorf("a long signature: %v", err)
	}
}

// TestHeld lets the server that answers say what it holds.
func TestHeld(t *testing.T) {
	s := newSite(t)
	s.answers["Releases"] = []shoal.Release{{App: "web", Version: "held"}, {App: "web", Version: "fetched"}}
	list, err := s.client(t, s.token(t, shoal.Token{Role: shoal.Viewer}, time.Now()), nil).Releases(context.Background(), "web")
	if err != nil || len(list) != 2 || !list[0].Held || list[1].Held {
		t.Errorf("%+v %v", list, err)
	}
}

func all(t *testing.T) shoal.Selector {
	t.Helper()
	to, err := shoal.ParseSelector(shoal.All)
	if err != nil {
		t.Fatal(err)
	}
	return to
}

func waves(t *testing.T) shoal.Waves {
	t.Helper()
	ws, err := shoal.ParseWaves("canary=2 soak=10m approve, 100%", shoal.Wave{})
	if err != nil {
		t.Fatal(err)
	}
	return ws
}
