package node

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"shoal"
	"shoal/internal/bt/metainfo"
	"shoal/internal/deploy/agent"
	"shoal/internal/deploy/release"
	"shoal/internal/front/api"
	"shoal/internal/trust"
)

// fleet is a server with what is needed to ask it.
type fleet struct {
	Started
	urls  []string // of its servers
	dir   string
	admin *api.Client
	stop  func() error
}

func newFleet(t *testing.T, dir, listen string, change ...func(*ServerOptions)) fleet {
	t.Helper()
	f := fleet{dir: dir}
	ready := make(chan Started, 1)
	f.stop = background(t, func(ctx context.Context) error {
		o := ServerOptions{Options: quiet("127.0.0.1:0", nil), Data: dir, API: listen, Name: "hq", Ready: func(s Started) { ready <- s }}
		for _, c := range change {
			c(&o)
		}
		err := Server(ctx, o)
		if err != nil {
			t.Error(err)
		}
		return err
	})
	select {
	case f.Started = <-ready:
	case <-time.After(patience):
		t.Fatal("the server does not start")
	}
	f.urls = []string{f.URL}
	f.enter(t)
	return f
}

// enter makes the client of the first admin.
func (f *fleet) enter(t *testing.T) {
	t.Helper()
	name := filepath.Join(f.dir, "admin.token")
	secret, err := os.ReadFile(name)
	must(t, err)
	if st, err := os.Stat(name); err != nil || st.Mode() != 0o600 {
		t.Errorf("%s: %v, %v", name, st.Mode(), err)
	}
	anchor, err := trust.ParseAnchor(f.Pin)
	must(t, err)
	f.admin, err = api.NewClient(api.ClientOptions{Servers: f.urls, Token: strings.TrimSpace(string(secret)), Anchor: anchor, Patient: true})
	must(t, err)
	t.Cleanup(f.admin.Close)
}

// host joins the fleet with a token of its own and starts an agent.
func (f fleet) host(t *testing.T, name, root string, change func(*AgentOptions)) (stop func() error) {
	t.Helper()
	secret, _, err := f.admin.CreateToken(t.Context(), shoal.Token{Name: name, Role: shoal.Joiner, Host: name, Expires: time.Now().Add(time.Hour)})
	must(t, err)
	return f.agent(t, name, root, secret, change)
}

// agent starts one on a root that may have joined before.
func (f fleet) agent(t *testing.T, name, root, secret string, change func(*AgentOptions)) (stop func() error) {
	t.Helper()
	o := AgentOptions{
		Options: quiet("127.0.0.1:0", nil), Config: agent.Config{Root: root, Host: name, Datacenter: "fra"},
		Fleet: Membership{Servers: f.urls, Authority: f.Pin, Token: secret},
		Pace:  agent.Pace{Tick: 50 * time.Millisecond, Quiet: 300 * time.Millisecond, Busy: 100 * time.Millisecond, Retry: 50 * time.Millisecond, Reports: 10 * time.Millisecond},
	}
	if change != nil {
		change(&o)
	}
	return background(t, func(ctx context.Context) error {
		err := Agent(ctx, o)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		return err
	})
}

// member is a certificate of a machine that pushes.
func (f fleet) member(t *testing.T) *trust.Wallet {
	t.Helper()
	w, err := trust.OpenWallet(t.TempDir())
	must(t, err)
	csr, err := w.Request()
	must(t, err)
	made, err := f.admin.Enroll(t.Context(), shoal.Enrollment{Host: "build-1", CSR: csr})
	must(t, err, w.Keep(made))
	return w
}

// register makes the server know a release that a pusher with a certificate of
// the fleet serves.
func (f fleet) register(t *testing.T, r published, version string, change ...func(*shoal.Upload)) (leave func() error) {
	t.Helper()
	w := f.member(t)
	now, err := f.admin.Situation(t.Context())
	must(t, err)
	r.meta.Announce = nil
	for _, url := range now.Trackers {
		r.meta.Announce = append(r.meta.Announce, []string{url})
	}
	must(t, os.WriteFile(r.file, r.meta.Encode(), 0o644))
	e := make(events, 100)
	o := SeedOptions{Options: quiet("127.0.0.1:0", e), Files: []string{r.file}, Content: ContentOptions{Dir: r.dir}}
	o.EveryTracker = true
	_, err = o.JoinFleet(w.Certificate, w.Authorities, func(*x509.Certificate) error { return nil })
	must(t, err)
	leave = background(t, NewSeed(o).Run)
	addr := e.wait(t, Serving).Addr
	raw, err := os.ReadFile(r.file)
	must(t, err)
	u := shoal.Upload{App: "web", Version: version, Metafile: raw, Serial: 1, Peers: []string{addr.String()}}
	for _, c := range change {
		c(&u)
	}
	_, err = f.admin.Register(t.Context(), u)
	must(t, err)
	return leave
}

// push rolls a version out to all hosts.
func (f fleet) push(t *testing.T, version string, change func(*shoal.Rollout)) uint64 {
	t.Helper()
	to, err := shoal.ParseSelector("all")
	must(t, err)
	waves, err := shoal.ParseWaves("1 soak=100ms, 100%", shoal.Wave{})
	must(t, err)
	r := shoal.Rollout{App: "web", Version: version, To: to, Waves: waves}
	if change != nil {
		change(&r)
	}
	p, err := f.admin.Push(t.Context(), r)
	must(t, err)
	return p.Rollout.ID
}

// reaches waits until a rollout is in a phase.
func (f fleet) reaches(t *testing.T, id uint64, phase string) shoal.Progress {
	t.Helper()
	for a := newAwake(); ; time.Sleep(50 * time.Millisecond) {
		p, err := f.admin.Rollout(t.Context(), id)
		must(t, err)
		if p.Phase == phase {
			return p
		}
		if a.so() > 2*patience {
			text, err := json.Marshal(p.Members)
			t.Fatalf("rollout %d is %s, want %s: %s, %v", id, p.Phase, phase, text, err)
		}
	}
}

// TestFleet is the whole path: a server makes its fleet, hosts join it, a release
// is pushed and goes live in waves; its pusher goes away, a host joins later and
// gets it from the others; the next release is unwell on one host, and all go back.
func TestFleet(t *testing.T) {
	dir := t.TempDir()
	f := newFleet(t, dir, "127.0.0.1:0")
	var roots []string
	sick := filepath.Join(t.TempDir(), "sick")
	must(t, os.WriteFile(sick, []byte("#!/bin/sh\ntest $SHOAL_VERSION != 2\n"), 0o755))
	for n := range 3 {
		roots = append(roots, t.TempDir())
		f.host(t, fmt.Sprint("web-", n), roots[n], func(o *AgentOptions) {
			if n == 2 {
				none := 0
				o.Config.Apps = map[string]agent.AppConfig{"web": {Health: agent.Health{Hook: agent.Hook{Command: []string{sick}}, Retries: &none}}}
			}
		})
	}
	f.online(t, 3)
	first := newRelease(t, metainfo.Hybrid)
	leave := f.register(t, first, "1")
	f.reaches(t, f.push(t, "1", nil), "done")
	for _, root := range roots {
		sameTree(t, filepath.Join(root, "web/current"))
	}
	wait(t, func() bool { _, err := os.Stat(filepath.Join(dir, "source/web/releases/1")); return err == nil })
	must(t, leave())
	late := t.TempDir()
	stop := f.host(t, "web-9", late, nil)
	wait(t, func() bool { _, err := os.Stat(filepath.Join(late, "web/current/VERSION")); return err == nil })
	sameTree(t, filepath.Join(late, "web/current"))
	must(t, stop())

	next := newRelease(t, metainfo.Hybrid, func(app string) { must(t, os.WriteFile(app+"/VERSION", []byte("2\n"), 0o644)) })
	f.register(t, next, "2")
	f.host(t, "web-9", late, func(o *AgentOptions) { o.Fleet.Token = "" }) // it has its certificate
	f.online(t, 4)
	id := f.push(t, "2", func(r *shoal.Rollout) { r.Limits.OnBreach = shoal.BreachRollback })
	p := f.reaches(t, id, "rolled-back")
	if !strings.Contains(p.End, "health") && !strings.Contains(fmt.Sprint(p.Members), "health") {
		t.Errorf("nothing tells why it went back: %+v", p)
	}
	for _, root := range append(roots, late) {
		sameTree(t, filepath.Join(root, "web/current"))
	}
}

// online waits until so many hosts have reported.
func (f fleet) online(t *testing.T, n int) {
	t.Helper()
	wait(t, func() bool {
		all, err := shoal.ParseSelector("all")
		must(t, err)
		hosts, err := f.admin.Hosts(t.Context(), all)
		must(t, err)
		up := 0
		for _, h := range hosts {
			if h.Online(time.Now()) && h.Report.Seq > 0 {
				up++
			}
		}
		return up == n
	})
}

// TestFleetServerGone kills the only server in the middle of staging. All hosts
// get all bytes, from each other and from who pushed; with the server back the rollout goes on by itself.
func TestFleetServerGone(t *testing.T) {
	dir := t.TempDir()
	f := newFleet(t, dir, "127.0.0.1:0")
	var roots []string
	r := newRelease(t, metainfo.Hybrid)
	for n := range 2 {
		roots = append(roots, t.TempDir())
		f.host(t, fmt.Sprint("web-", n), roots[n], func(o *AgentOptions) { o.TorrentDown = r.meta.Info.ContentLength() / 8 })
	}
	f.online(t, 2)
	f.register(t, r, "1")
	id := f.push(t, "1", nil)
	wait(t, func() bool {
		p, err := f.admin.Rollout(t.Context(), id)
		must(t, err)
		return len(p.Members) == 2 && p.Members[0].Work != nil && p.Members[0].Work.Peers == 3 && p.Members[1].Work != nil && p.Members[1].Work.Peers == 3
	})
	must(t, f.stop())
	for _, root := range roots {
		wait(t, func() bool { _, err := os.Stat(filepath.Join(root, "web/releases/1")); return err == nil })
		if _, err := os.Lstat(filepath.Join(root, "web/current")); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("nobody ordered it, and it is live: %v", err)
		}
	}
	f = newFleet(t, dir, f.API.String())
	f.reaches(t, id, "done")
	for _, root := range roots {
		sameTree(t, filepath.Join(root, "web/current"))
	}
}

// TestStrangers are let in nowhere.
func TestStrangers(t *testing.T) {
	f := newFleet(t, t.TempDir(), "127.0.0.1:0")
	r := newRelease(t, metainfo.Hybrid)
	f.register(t, r, "1")
	o := AgentOptions{Options: quiet("127.0.0.1:0", nil), Config: agent.Config{Root: t.TempDir(), Host: "web-1"}, Fleet: Membership{Servers: []string{f.URL}, Authority: f.Pin}}
	if err := Agent(t.Context(), o); !errors.Is(err, ErrNoToken) {
		t.Errorf("without a token: %v", err)
	}
	o.Fleet.Token = "shoal_nonsense"
	if err := Agent(t.Context(), o); !errors.Is(err, shoal.ErrDenied) {
		t.Errorf("with a made-up token: %v", err)
	}
	if err := Agent(t.Context(), AgentOptions{Options: o.Options, Config: agent.Config{Root: filepath.Join(o.Config.Root, "none"), Host: "web-1"}}); !errors.Is(err, release.ErrNotFound) {
		t.Errorf("without a root: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	g := NewGet(GetOptions{Options: quiet("127.0.0.1:0", nil), Source: r.file, Content: ContentOptions{Dir: t.TempDir(), Peers: []string{f.Peers.String()}}})
	if err := g.Run(ctx); err == nil || g.Status().Downloaded > 0 {
		t.Errorf("a stranger got %d bytes, %v", g.Status().Downloaded, err)
	}
	c := &tls.Config{InsecureSkipVerify: true}
	conn, err := tls.Dial("tcp", f.API.String(), c)
	must(t, err)
	defer conn.Close()
	_, err = fmt.Fprintf(conn, "GET /announce HTTP/1.1\r\nHost: x\r\n\r\n")
	must(t, err)
	b := make([]byte, 64)
	n, err := conn.Read(b)
	if must(t, err); !strings.Contains(string(b[:n]), " 401 ") && !strings.Contains(string(b[:n]), " 403 ") {
		t.Errorf("the tracker answers a stranger with %q", b[:n])
	}
}

func wait(t *testing.T, ok func() bool) {
	t.Helper()
	waitFor(t, 2*patience, ok)
}

func waitFor(t *testing.T, limit time.Duration, ok func() bool) {
	t.Helper()
	for a := newAwake(); !ok(); time.Sleep(20 * time.Millisecond) {
		if a.so() > limit {
			t.Fatalf("it does not happen within %s", limit)
		}
	}
}

// awake counts the time in which this process ran: a machine that measures
// something else freezes it, and all that it waits for.
type awake struct {
	last time.Time
	far  time.Duration
}

func newAwake() *awake { return &awake{last: time.Now()} }

// so is the time so far. It has to be asked a few times a second.
func (a *awake) so() time.Duration {
	a.far += min(time.Since(a.last), 250*time.Millisecond)
	a.last = time.Now()
	return a.far
}
