package cli

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"shoal"
	"shoal/internal/bt/metainfo"
	"shoal/internal/deploy/controller"
	"shoal/internal/deploy/fleetstore"
	"shoal/internal/deploy/release"
	"shoal/internal/front/api"
	"shoal/internal/trust"
)

// plane is a whole control plane, over a store in memory, that the verbs talk to
// by HTTPS.
type plane struct {
	*controller.Controller
	t         *testing.T
	authority *trust.Authority
	url       string
	admin     string // file with a token
}

func newPlane(t *testing.T, trackers ...string) *plane {
	t.Helper()
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	t.Setenv("XDG_STATE_HOME", t.TempDir())
	for _, name := range []string{envServer, envToken, envCA, envSignKey, envSignPassword} {
		t.Setenv(name, "")
	}
	p := &plane{t: t}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	t.Cleanup(func() { cancel(); wg.Wait() })
	store := fleetstore.NewMemory()
	t.Cleanup(func() { store.Close() })
	var err error
	if p.authority, err = trust.NewAuthority(time.Now()); err != nil {
		t.Fatal(err)
	}
	p.Controller, err = controller.New(store, controller.Options{Server: "s1", Trackers: trackers, Lease: controller.Lease{Renew: 100 * time.Millisecond, Patience: 2 * time.Second}})
	if err != nil {
		t.Fatal(err)
	}
	cert, err := p.authority.Serve("s1", nil)
	if err != nil {
		t.Fatal(err)
	}
	s, err := api.NewServer(api.Options{Fleet: p, Access: p, Agents: p, Door: p, Authority: p.authority, Certificate: cert.Certificate, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p.url = "https://" + l.Addr().String()
	for _, run := range []func(context.Context) error{p.Run, func(ctx context.Context) error { return s.Serve(ctx, l) }} {
		wg.Go(func() {
			if err := run(ctx); err != nil {
				t.Errorf("the control plane ended with %v", err)
			}
		})
	}
	<-p.Ready()
	kim := shoal.WithPrincipal(ctx, shoal.Principal{Name: "test", Role: shoal.Admin})
	secret, _, err := p.CreateToken(kim, shoal.Token{Name: "kim", Role: shoal.Admin, Expires: time.Now().Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	p.admin = filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(p.admin, []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return p
}

// run runs a command line against the plane, and wants an exit code.
func (p *plane) run(want Code, args ...string) (stdout, stderr string) {
	p.t.Helper()
	return p.runAs(want, p.admin, args...)
}

func (p *plane) runAs(want Code, token string, args ...string) (stdout, stderr string) {
	p.t.Helper()
	var out, errs bytes.Buffer
	s := newShell(Streams{&out, &errs})
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	err := s.run(ctx, append(args, "--server", p.url, "--token-file", token, "--ca", p.authority.Pin().String()))
	if code := s.report(err); code != want {
		p.t.Fatalf("shoal %s: exit code %d, want %d\n%s%s", strings.Join(args, " "), code, want, out.String(), errs.String())
	}
	return out.String(), errs.String()
}

// see wants something in a text.
func (p *plane) see(text string, patterns ...string) {
	p.t.Helper()
	for _, re := range patterns {
		if !regexp.MustCompile("(?m)" + re).MatchString(text) {
			p.t.Errorf("no %q in:\n%s", re, text)
		}
	}
}

// agent is a host that does what it is told at once, unless a version is bad.
func (p *plane) agent(name, bad string) {
	p.t.Helper()
	w, err := trust.OpenWallet(p.t.TempDir())
	if err != nil {
		p.t.Fatal(err)
	}
	csr, err := w.Request()
	if err != nil {
		p.t.Fatal(err)
	}
	made, err := p.authority.Issue(trust.Host, name, csr, time.Now())
	if err == nil {
		err = w.Keep(made)
	}
	if err != nil {
		p.t.Fatal(err)
	}
	c, err := api.NewClient(api.ClientOptions{Servers: []string{p.url}, Anchor: trust.Anchor{Pin: p.authority.Pin()}, Certificate: func() (*tls.Certificate, error) { return w.Certificate() }})
	if err != nil {
		p.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	p.t.Cleanup(func() { cancel(); wg.Wait(); c.Close() })
	welcome, err := c.Hello(ctx, shoal.Hello{Host: name, Datacenter: strings.Split(name, "-")[0], Labels: map[string]string{"role": "web"}, Software: "test", Instance: name, Clock: time.Now()})
	if err != nil {
		p.t.Fatal(err)
	}
	a := &obeying{host: name, bad: bad, report: shoal.Report{Host: name, Session: welcome.Session, Free: 1 << 40}}
	if err := c.Report(ctx, a.next(shoal.Orders{})); err != nil {
		p.t.Fatal(err)
	}
	wg.Go(func() {
		for since := uint64(0); ctx.Err() == nil; {
			o, err := c.Watch(ctx, name, since)
			if err != nil {
				continue
			}
			since = o.Version
			if err := c.Report(ctx, a.next(o)); err != nil && ctx.Err() == nil {
				p.t.Errorf("%s cannot report: %v", name, err)
			}
		}
	})
}

type obeying struct {
	host, bad string
	report    shoal.Report
}

// next is the report after orders.
func (a *obeying) next(o shoal.Orders) shoal.Report {
	a.report.Seq++
	for _, order := range o.Orders {
		i := slices.IndexFunc(a.report.Apps, func(r shoal.AppReport) bool { return r.App == order.App })
		if i < 0 {
			i = len(a.report.Apps)
			a.report.Apps = append(a.report.Apps, shoal.AppReport{App: order.App})
		}
		app := &a.report.Apps[i]
		app.Taken, app.Failure = order.ID, nil
		if order.Hold {
			continue
		}
		if order.Stage != "" && !slices.Contains(app.Staged, order.Stage) {
			app.Staged = append(slices.Clone(app.Staged), order.Stage)
		}
		switch {
		case order.Live == "" || order.Live == app.Live:
		case order.Live == a.bad:
			app.Failure = &shoal.Failure{Order: order.ID, Step: shoal.StepHealth, Reason: "it does not answer"}
		default:
			app.Live, app.Health = order.Live, shoal.Healthy
		}
	}
	r := a.report
	r.Apps = slices.Clone(r.Apps)
	return r
}

func (p *plane) tree(text string) string {
	p.t.Helper()
	dir := filepath.Join(p.t.TempDir(), "build-"+text)
	if err := os.MkdirAll(filepath.Join(dir, "bin"), 0o755); err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "bin", "start"), []byte(text), 0o755); err != nil {
		p.t.Fatal(err)
	}
	return dir
}

// TestFleetVerbs goes through the life of an app by the verbs alone.
func TestFleetVerbs(t *testing.T) {
	p := newPlane(t)
	for _, name := range []string{"fra-1", "fra-2", "nyc-1", "nyc-2"} {
		bad := ""
		if name == "nyc-2" {
			bad = "2.0"
		}
		p.agent(name, bad)
	}
	key := filepath.Join(t.TempDir(), "release.key")
	out, _ := p.run(CodeOK, "status")
	p.see(out, `^4 hosts, 4 online, rollouts are run by s1$|no server runs rollouts`, `^no rollout is under way$`)
	out, _ = p.run(CodeOK, "hosts", "dc=fra")
	p.see(out, `^fra-1 +fra +- +online +1.1 TB +- +role=web$`)
	if strings.Contains(out, "nyc") {
		t.Errorf("hosts dc=fra: %s", out)
	}

	// A key, and the first release: hashed, signed, registered, served, switched.
	local := newShell(Streams{&bytes.Buffer{}, &bytes.Buffer{}})
	if err := local.run(t.Context(), []string{"key", "generate", key}); err != nil {
		t.Fatal(err)
	}
	out, _ = p.run(CodeOK, "push", p.tree("one"), "--app", "web", "--version", "1.0", "--to", "role=web", "--waves", "1, 100%", "--sign-key", key, "--listen", "127.0.0.1:0")
	p.see(out, `^registered: web@1.0, 3 B in 1 file, signed$`, `^plan: web@1.0, 3 B to 4 hosts`, `^rollout 1: web@1.0 to role=web, by kim: done$`, `^  4 live$`)
	p.signed("web", "1.0", key)
	out, _ = p.run(CodeOK, "releases", "web")
	p.see(out, `^web@1.0 +3 B +1 .* kim +[0-9a-f]{12}$`)
	_, errs := p.run(CodeRefused, "push", p.tree("other"), "--app", "web", "--version", "1.0", "--to", "all", "--listen", "127.0.0.1:0")
	p.see(errs, `web@1.0`)

	// The second fails on a host and goes back by itself.
	out, errs = p.run(CodeFailed, "push", p.tree("two"), "--app", "web", "--version", "2.0", "--to", "all", "--waves", "@fra, 100%", "--on-breach", "rollback", "--listen", "127.0.0.1:0", "--json")
	p.see(out, `^\{"event":"registered","of":\{"app":"web","version":"2.0"`, `"phase":"rolled-back"`, `^\{"event":"error","error":"rollout 2 of web@2.0 is rolled-back`)
	for line := range strings.Lines(out) {
		var doc map[string]any
		if err := json.Unmarshal([]byte(line), &doc); err != nil || doc["event"] == "" {
			t.Errorf("no document: %s", line)
		}
	}
	p.see(errs, `^shoal: rollout 2 of web@2.0 is rolled-back: .*nyc-2`)
	out, _ = p.run(CodeOK, "status", "web")
	p.see(out, `^rollout 2: web@2.0 to all, by kim: rolled-back`, `^  nyc-2 +nyc +failed|^  nyc-2 +nyc +restored`)
	out, _ = p.run(CodeOK, "hosts")
	p.see(out, `^nyc-2 .* web@1.0 `, `^fra-1 .* web@1.0 `)

	// A third one waits for people.
	p.run(CodeOK, "push", p.tree("three"), "--app", "web", "--version", "3.0", "--to", "all", "--waves", "2, 100% approve", "--stage-only", "--listen", "127.0.0.1:0")
	out, _ = p.run(CodeOK, "why", "fra-1")
	p.see(out, `^fra-1: web: .*shoal activate 3`)
	p.run(CodeOK, "activate", "3")
	p.await(`approve 3 --wave 2`, "status")
	p.run(CodeOK, "pause", "web", "--reason", "lunch")
	out, _ = p.run(CodeOK, "status")
	p.see(out, `^  PAUSED: .*kim: lunch$`)
	p.run(CodeOK, "resume", "web")
	_, errs = p.run(CodeUsage, "approve", "web")
	p.see(errs, `--wave says which`)
	p.run(CodeRefused, "approve", "web", "--wave", "7")
	p.run(CodeOK, "approve", "web", "--wave", "2")
	out, _ = p.run(CodeOK, "status", "-w", "3")
	p.see(out, `: done$`)
	p.run(CodeOK, "rollback", "web", "--reason", "slow")
	p.await(`: rolled-back: .*kim: slow`, "status", "web")
	out, _ = p.run(CodeOK, "hosts")
	p.see(out, `^fra-1 .* web@1.0 `)
	p.run(CodeRefused, "abort", "web")
	p.run(CodeNotFound, "retry", "fra-1")
	p.run(CodeNotFound, "pause", "db")

	// The brakes.
	out, _ = p.run(CodeOK, "stop-all", "--reason", "smoke")
	p.see(out, `^STOPPED by kim: smoke: no content moves`)
	out, _ = p.run(CodeOK, "resume")
	if strings.Contains(out, "STOPPED") {
		t.Errorf("resume: %s", out)
	}
	out, _ = p.run(CodeOK, "freeze", "--from", "2099-01-01T00:00:00Z", "--for", "48h", "--why", "sale")
	p.see(out, `^freeze from 2\d\d\d-.*: sale$`)
	p.run(CodeOK, "freeze", "--remove", "2099-01-01T00:00:00Z")
	out, _ = p.run(CodeOK, "freeze")
	if strings.Contains(out, "sale") {
		t.Errorf("freeze --remove: %s", out)
	}

	// Who did it.
	out, _ = p.run(CodeOK, "audit")
	p.see(out, `kim: stop`, `kim: push web@2.0: to all`, `lunch`)
	out, _ = p.run(CodeOK, "audit", "--last", "1", "--json")
	if strings.Count(out, "\n") != 1 {
		t.Errorf("audit --last 1: %s", out)
	}
	p.run(CodeOK, "hosts", "forget", "nyc-2")
	out, _ = p.run(CodeOK, "hosts")
	if strings.Contains(out, "nyc-2") {
		t.Errorf("forgotten: %s", out)
	}
}

// signed checks what hosts would get of a release.
func (p *plane) signed(app, version, key string) {
	p.t.Helper()
	u, err := p.Upload(context.Background(), app, version)
	if err != nil {
		p.t.Fatal(err)
	}
	public, err := os.ReadFile(key + ".pub")
	if err != nil {
		p.t.Fatal(err)
	}
	keys, err := trust.ParseKeys(public)
	if err != nil {
		p.t.Fatal(err)
	}
	meta, err := metainfo.Parse(u.Metafile)
	if err != nil {
		p.t.Fatal(err)
	}
	if err := keys.Verify(shoal.Statement(app, version, release.ID(meta.Info), u.Serial), u.Signature); err != nil {
		p.t.Error(err)
	}
	if !meta.Info.Private || meta.Info.Name != app {
		p.t.Errorf("its metafile is of %q, private %v", meta.Info.Name, meta.Info.Private)
	}
	if len(u.Peers) != 1 || !strings.HasPrefix(u.Peers[0], "127.0.0.1:") {
		p.t.Errorf("it was served at %q", u.Peers)
	}
}

// await runs a verb until it shows something.
func (p *plane) await(pattern string, args ...string) {
	p.t.Helper()
	re, out := regexp.MustCompile("(?m)"+pattern), ""
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if out, _ = p.run(CodeOK, args...); re.MatchString(out) {
			return
		}
	}
	p.t.Fatalf("shoal %s never showed %q; last:\n%s", strings.Join(args, " "), pattern, out)
}

func TestTokenVerbs(t *testing.T) {
	p := newPlane(t)
	out, errs := p.run(CodeOK, "tokens", "create", "ci", "--role", "pusher", "--app", "web", "--expires", "2h")
	p.see(out, `^shoal_[a-z2-7]{52}$`)
	p.see(errs, `^token [0-9a-f]{20} of ci, pusher, until `, `--ca `+regexp.QuoteMeta(p.authority.Pin().String()))
	file := filepath.Join(t.TempDir(), "ci")
	if err := os.WriteFile(file, []byte(out), 0o600); err != nil {
		t.Fatal(err)
	}
	p.runAs(CodeOK, file, "status")
	_, errs = p.runAs(CodePermission, file, "stop-all")
	p.see(errs, `^shoal: denied: `)
	p.runAs(CodePermission, file, "tokens", "list")
	p.runAs(CodePermission, file, "push", p.tree("x"), "--app", "db", "--version", "1", "--register-only", "--listen", "127.0.0.1:0")
	out, _ = p.run(CodeOK, "tokens", "list")
	p.see(out, `^[0-9a-f]{20} +ci +pusher +web +- .* kim$`)
	id := regexp.MustCompile(`(?m)^([0-9a-f]{20}) +ci `).FindStringSubmatch(out)[1]
	p.run(CodeOK, "tokens", "revoke", id)
	p.runAs(CodePermission, file, "status")
	p.run(CodeNotFound, "tokens", "revoke", id)
	p.run(CodeUsage, "tokens", "create", "x", "--role", "root")
	p.run(CodeUsage, "tokens", "create", "x")
}

// TestFleetConfiguration looks for the control plane in flags, environment and
// file, in this order.
func TestFleetConfiguration(t *testing.T) {
	p := newPlane(t)
	token, err := os.ReadFile(p.admin)
	if err != nil {
		t.Fatal(err)
	}
	bare := func(args ...string) (Code, string) {
		var out, errs bytes.Buffer
		s := newShell(Streams{&out, &errs})
		code := s.report(s.run(t.Context(), args))
		return code, out.String() + errs.String()
	}
	if code, text := bare("status"); code != CodeUsage || !strings.Contains(text, envServer) {
		t.Errorf("nothing is said: %d %s", code, text)
	}
	t.Setenv(envServer, p.url)
	if code, text := bare("status"); code != CodeUsage || !strings.Contains(text, envToken) {
		t.Errorf("no token: %d %s", code, text)
	}
	t.Setenv(envToken, strings.TrimSpace(string(token)))
	if code, text := bare("status"); code != CodeNetwork || !strings.Contains(text, "not one of this fleet") {
		t.Errorf("no authority: %d %s", code, text)
	}
	t.Setenv(envCA, p.authority.Pin().String())
	if code, text := bare("status"); code != CodeOK {
		t.Errorf("by the environment: %d %s", code, text)
	}
	if code, _ := bare("status", "--token", "shoal_x"); code != CodePermission {
		t.Errorf("a flag goes first: %d", code)
	}
	for _, name := range []string{envServer, envToken, envCA} {
		t.Setenv(name, "")
	}
	dir := filepath.Join(os.Getenv("XDG_CONFIG_HOME"), "shoal")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	ca := filepath.Join(dir, "ca.crt")
	if err := os.WriteFile(ca, p.authority.Certificates(), 0o600); err != nil {
		t.Fatal(err)
	}
	file := func(text string) {
		if err := os.WriteFile(filepath.Join(dir, "fleet.yaml"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	file(fmt.Sprintf("server: [%s]\ntoken: %sca: %s\n", p.url, token, ca))
	if code, text := bare("status"); code != CodeOK {
		t.Errorf("by the file: %d %s", code, text)
	}
	file("sever: x\n")
	if code, text := bare("status"); code != CodeUsage || !strings.Contains(text, "fleet.yaml") {
		t.Errorf("a typo in the file: %d %s", code, text)
	}
}
