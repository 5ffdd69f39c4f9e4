package controller_test

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"shoal"
	"shoal/internal/deploy/controller"
	"shoal/internal/deploy/fleetstore"
	"shoal/internal/topology"
)

// lone is a controller over a memory of its own.
func lone(t *testing.T, o controller.Options) server {
	t.Helper()
	store := fleetstore.NewMemory()
	t.Cleanup(func() { _ = store.Close() })
	s := start(t, store, o)
	<-s.Ready()
	return s
}

func hello(t *testing.T, s server, name string, change func(*shoal.Hello)) (shoal.Welcome, error) {
	t.Helper()
	h := shoal.Hello{Host: name, Datacenter: "fra", Software: "test", Instance: name}
	if change != nil {
		change(&h)
	}
	return s.Hello(as(t.Context(), name, shoal.Agent), h)
}

func wants(t *testing.T, err, want error, what, hint string) {
	t.Helper()
	if !errors.Is(err, want) || err == nil || !strings.Contains(err.Error(), hint) {
		t.Errorf("%s: %v, want %v with %q", what, err, want, hint)
	}
}

// TestDenied asks each call of somebody who may not.
func TestDenied(t *testing.T) {
	s := lone(t, controller.Options{})
	register(t, s, "web", "1")
	if _, err := hello(t, s, "fra-1", nil); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Push(admin(t), wish(t, "web@1", "100%")); err != nil {
		t.Fatal(err)
	}
	freeze := shoal.Freeze{From: time.Now(), To: time.Now().Add(time.Hour)}
	for what, call := range map[string]func(context.Context) error{
		"register": func(ctx context.Context) error { _, err := s.Register(ctx, upload(t, "web", "2", 10)); return err },
		"releases": func(ctx context.Context) error { _, err := s.Releases(ctx, ""); return err },
		"plan":     func(ctx context.Context) error { _, err := s.Plan(ctx, wish(t, "web@1", "100%")); return err },
		"push":     func(ctx context.Context) error { _, err := s.Push(ctx, wish(t, "web@1", "100%")); return err },
		"rollouts": func(ctx context.Context) error { _, err := s.Rollouts(ctx, shoal.RolloutQuery{}); return err },
		"rollout":  func(ctx context.Context) error { _, err := s.Rollout(ctx, 1); return err },
		"command":  func(ctx context.Context) error { _, err := s.Command(ctx, 1, shoal.Command{Do: "abort"}); return err },
		"delivered": func(ctx context.Context) error {
			_, err := s.Command(ctx, 1, shoal.Command{Do: "delivered"})
			return err
		},
		"hosts":     func(ctx context.Context) error { _, err := s.Hosts(ctx, shoal.Selector{}); return err },
		"forget":    func(ctx context.Context) error { return s.Forget(ctx, "fra-1") },
		"why":       func(ctx context.Context) error { _, err := s.Why(ctx, "fra-1"); return err },
		"stop":      func(ctx context.Context) error { return s.Stop(ctx, "") },
		"start":     s.Start,
		"situation": func(ctx context.Context) error { _, err := s.Situation(ctx); return err },
		"freeze":    func(ctx context.Context) error { return s.Freeze(ctx, freeze) },
		"thaw":      func(ctx context.Context) error { return s.Thaw(ctx, freeze.From) },
		"token":     func(ctx context.Context) error { _, _, err := s.CreateToken(ctx, shoal.Token{}); return err },
		"tokens":    func(ctx context.Context) error { _, err := s.Tokens(ctx); return err },
		"revoke":    func(ctx context.Context) error { return s.RevokeToken(ctx, "x") },
		"audit":     func(ctx context.Context) error { _, err := s.Audit(ctx, shoal.AuditQuery{}); return err },
		"hello":     func(ctx context.Context) error { _, err := s.Hello(ctx, shoal.Hello{Host: "fra-1"}); return err },
		"watch":     func(ctx context.Context) error { _, err := s.Watch(ctx, "fra-1", 0); return err },
		"report":    func(ctx context.Context) error { return s.Report(ctx, shoal.Report{Host: "fra-1"}) },
		"bundle":    func(ctx context.Context) error { _, err := s.Bundle(ctx, "web", "1"); return err },
	} {
		for _, ctx := range []context.Context{t.Context(), as(t.Context(), "x", shoal.Joiner), as(t.Context(), "x", "root")} {
			wants(t, call(ctx), shoal.ErrDenied, what, "")
		}
		station := what == "hello" || what == "watch" || what == "report" || what == "bundle"
		if ctx := as(t.Context(), "fra-2", shoal.Agent); what != "bundle" {
			wants(t, call(ctx), shoal.ErrDenied, what+" by another host", "")
		}
		if station {
			wants(t, call(as(t.Context(), "kim", shoal.Admin)), shoal.ErrDenied, what+" by a person", "")
		}
	}
	// A pusher's own rollout, and another one's; a scope.
	pusher := as(t.Context(), "lee", shoal.Pusher, "web")
	_, err := s.Command(pusher, 1, shoal.Command{Do: "abort"})
	wants(t, err, shoal.ErrDenied, "abort of another one's", "kim pushed this")
	if _, err := s.Push(pusher, wish(t, "web@1", "100%")); err != nil {
		t.Error(err)
	}
	if _, err := s.Command(pusher, 2, shoal.Command{Do: "abort", Reason: "wrong one"}); err != nil {
		t.Error(err)
	}
	other := as(t.Context(), "lee", shoal.Viewer, "db")
	if list, err := s.Rollouts(other, shoal.RolloutQuery{Over: true}); err != nil || len(list) != 0 {
		t.Errorf("out of scope: %v, %v", list, err)
	}
	_, err = s.Rollout(other, 1)
	wants(t, err, shoal.ErrDenied, "out of scope", "web")
}

func TestRegister(t *testing.T) {
	s := lone(t, controller.Options{Trackers: []string{"https://shoal.example.com/announce"}})
	ctx := admin(t)
	u := upload(t, "web", "1", 100)
	u.Signature = []byte("signed")
	r, err := s.Register(ctx, u)
	if err != nil || r.Name() != "web@1" || r.By != "kim" || r.Files != 1 || r.Bytes < 100 || len(r.InfoHash) != 40 {
		t.Fatalf("%+v, %v", r, err)
	}
	u.Peers = []string{"10.0.0.1:1"}
	if again, err := s.Register(ctx, u); err != nil || again.InfoHash != r.InfoHash || !again.Created.Equal(r.Created) {
		t.Errorf("again: %+v, %v", again, err)
	}
	_, err = s.Register(ctx, upload(t, "web", "1", 200))
	wants(t, err, shoal.ErrConflict, "other content under a name that is taken", "another version")
	b, err := s.Bundle(as(t.Context(), "fra-1", shoal.Agent), "web", "1")
	if err != nil || string(b.Metafile) != string(u.Metafile) || b.Serial != 1 || string(b.Signature) != "signed" || len(b.Trackers) != 1 {
		t.Errorf("bundle %+v, %v", b, err)
	}
	if got, err := s.Upload(t.Context(), "web", "1"); err != nil || got.Peers[0] != "10.0.0.1:1" {
		t.Errorf("upload %+v, %v", got, err)
	}
	_, err = s.Bundle(as(t.Context(), "fra-1", shoal.Agent), "web", "2")
	wants(t, err, shoal.ErrNotFound, "a release that is not there", "web@2")
	for hint, change := range map[string]func(*shoal.Upload){
		"app":                 func(u *shoal.Upload) { u.App = "../x" },
		"version":             func(u *shoal.Upload) { u.Version = "a/b" },
		"metafile":            func(u *shoal.Upload) { u.Metafile = []byte("d3:fooe") },
		"write it as host:po": func(u *shoal.Upload) { u.Peers = []string{"nowhere"} },
		"peers, more than":    func(u *shoal.Upload) { u.Peers = make([]string, 17) },
		"signature":           func(u *shoal.Upload) { u.Signature = make([]byte, shoal.MaxSignature+1) },
	} {
		bad := upload(t, "db", "1", 10)
		change(&bad)
		_, err := s.Register(ctx, bad)
		wants(t, err, shoal.ErrInvalid, hint, hint)
	}
	register(t, s, "web", "0.9")
	register(t, s, "db", "1")
	if all, err := s.Releases(ctx, "web"); err != nil || len(all) != 2 || all[0].Version != "0.9" {
		t.Errorf("releases %v, %v", all, err)
	}
}

// TestPlanRefuses wants a push that cannot fit to be refused with the figures.
func TestPlanRefuses(t *testing.T) {
	s := lone(t, controller.Options{Reserve: 1000})
	ctx := admin(t)
	register(t, s, "web", "1")
	_, err := s.Push(ctx, wish(t, "web@1", "100%"))
	wants(t, err, shoal.ErrConflict, "a push to nobody", "no host matches")
	_, err = s.Push(ctx, wish(t, "web@9", "100%"))
	wants(t, err, shoal.ErrNotFound, "a push of nothing", "register it first")
	bad := wish(t, "web@1", "100%")
	bad.To = shoal.Selector{}
	_, err = s.Push(ctx, bad)
	wants(t, err, shoal.ErrInvalid, "a push to no selector", "which hosts")
	w, err := hello(t, s, "fra-1", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Report(as(ctx, "fra-1", shoal.Agent), shoal.Report{Host: "fra-1", Session: w.Session, Seq: 1, Free: 500}); err != nil {
		t.Fatal(err)
	}
	_, err = s.Push(ctx, wish(t, "web@1", "100%"))
	wants(t, err, shoal.ErrConflict, "a push that does not fit", "fra-1 needs")
	if p, err := s.Plan(ctx, wish(t, "web@1", "100%")); err != nil || len(p.Full) != 1 || p.Full[0].Free != 500 {
		t.Errorf("plan %+v, %v", p, err)
	}
	if list, err := s.Rollouts(ctx, shoal.RolloutQuery{Over: true}); err != nil || len(list) != 0 {
		t.Errorf("a refused push is there: %v, %v", list, err)
	}
}

func TestHello(t *testing.T) {
	m, err := topology.Parse([]byte("datacenters:\n  - name: nyc\n    cidrs: [10.1.0.0/16]\n"))
	if err != nil {
		t.Fatal(err)
	}
	s := lone(t, controller.Options{Topology: m})
	for want := uint64(1); want <= 2; want++ {
		w, err := hello(t, s, "fra-1", func(h *shoal.Hello) { h.Clock = time.Now().Add(time.Hour) })
		if err != nil || w.Session != want || w.Datacenter != "fra" || w.Skew < 59*time.Minute {
			t.Fatalf("%+v, %v", w, err)
		}
	}
	ctx := shoal.WithAddr(as(t.Context(), "x", shoal.Agent), netip.MustParseAddr("10.1.2.3"))
	if w, err := s.Hello(ctx, shoal.Hello{Host: "x"}); err != nil || w.Datacenter != "nyc" {
		t.Errorf("by its address: %+v, %v", w, err)
	}
	for hint, change := range map[string]func(*shoal.Hello){
		"host":        func(h *shoal.Hello) { h.Host = "../x" },
		"data centre": func(h *shoal.Hello) { h.Datacenter = "a b" },
		"label":       func(h *shoal.Hello) { h.Labels = map[string]string{"dc": "x"} },
		"negative":    func(h *shoal.Hello) { h.Up = -1 },
	} {
		_, err := hello(t, s, "bad", change)
		wants(t, err, shoal.ErrInvalid, hint, hint)
	}
	// Another agent of the name is refused while the first one is there.
	agent := as(t.Context(), "fra-1", shoal.Agent)
	if err := s.Report(agent, shoal.Report{Host: "fra-1", Session: 2, Seq: 1}); err != nil {
		t.Fatal(err)
	}
	_, err = hello(t, s, "fra-1", func(h *shoal.Hello) { h.Instance = "another" })
	wants(t, err, shoal.ErrConflict, "another agent", "calls itself fra-1")

	// Reports of a session before, or of nobody, or too large.
	wants(t, s.Report(agent, shoal.Report{Host: "fra-1", Session: 1, Seq: 99, Free: 7}), shoal.ErrConflict, "a late report", "newer session of fra-1")
	if hosts, err := s.Hosts(admin(t), shoal.Selector{}); err != nil || hosts[0].Report.Free == 7 {
		t.Errorf("a late report counts: %+v, %v", hosts, err)
	}
	wants(t, s.Report(as(t.Context(), "nobody", shoal.Agent), shoal.Report{Host: "nobody"}), shoal.ErrNotFound, "a report of nobody", "hello")
	_, err = s.Watch(as(t.Context(), "nobody", shoal.Agent), "nobody", 0)
	wants(t, err, shoal.ErrNotFound, "a watch of nobody", "hello")
	for hint, r := range map[string]shoal.Report{
		"apps, more": {Apps: make([]shoal.AppReport, 65)}, "twice": {Apps: []shoal.AppReport{{App: "a"}, {App: "a"}}},
		"app is missing": {Apps: []shoal.AppReport{{}}}, "staged": {Apps: []shoal.AppReport{{App: "a", Staged: make([]string, 257)}}},
		"a text": {Apps: []shoal.AppReport{{App: "a", Failure: &shoal.Failure{Reason: strings.Repeat("x", 5000)}}}},
	} {
		r.Host = "fra-1"
		wants(t, s.Report(agent, r), shoal.ErrInvalid, hint, hint)
	}
}

// TestStop wants watches answered at once, and again when it is over.
func TestStop(t *testing.T) {
	s := lone(t, controller.Options{})
	if _, err := hello(t, s, "fra-1", nil); err != nil {
		t.Fatal(err)
	}
	ctx, agent := admin(t), as(t.Context(), "fra-1", shoal.Agent)
	o, err := s.Watch(agent, "fra-1", 0)
	if err != nil || o.Stopped || o.Version == 0 {
		t.Fatalf("%+v, %v", o, err)
	}
	told := make(chan shoal.Orders, 1)
	go func() {
		next, err := s.Watch(agent, "fra-1", o.Version)
		if err != nil {
			t.Error(err)
		}
		told <- next
	}()
	if err := s.Stop(ctx, "smoke"); err != nil {
		t.Fatal(err)
	}
	stopped := <-told
	if !stopped.Stopped {
		t.Errorf("told %+v", stopped)
	}
	if err := s.Stop(ctx, "again"); err != nil {
		t.Error(err)
	}
	if got, err := s.Situation(ctx); err != nil || !got.Stopped || got.StoppedBy != "kim" || got.Reason != "smoke" {
		t.Errorf("%+v, %v", got, err)
	}
	if err := s.Start(ctx); err != nil {
		t.Fatal(err)
	}
	if again, err := s.Watch(agent, "fra-1", stopped.Version); err != nil || again.Stopped || again.Version != o.Version {
		t.Errorf("%+v, %v", again, err)
	}
}

func TestFreeze(t *testing.T) {
	s := lone(t, controller.Options{})
	ctx, now := admin(t), time.Now().Truncate(time.Second).Add(300*time.Millisecond)
	f := shoal.Freeze{From: now, To: now.Add(time.Hour), Why: "sale"}
	for _, want := range []int{1, 1, 2} {
		if want == 2 {
			f.From = now.Add(time.Minute)
		}
		if err := s.Freeze(ctx, f); err != nil {
			t.Fatal(err)
		}
		if got, err := s.Situation(ctx); err != nil || len(got.Freezes) != want {
			t.Errorf("%+v, %v", got.Freezes, err)
		}
	}
	wants(t, s.Freeze(ctx, shoal.Freeze{From: now, To: now}), shoal.ErrInvalid, "an empty freeze", "over")
	wants(t, s.Thaw(ctx, now.Add(time.Second)), shoal.ErrNotFound, "thaw of nothing", "no freeze")
	if err := s.Thaw(ctx, now.Truncate(time.Second)); err != nil { // as it is shown
		t.Fatal(err)
	}
	if got, err := s.Situation(ctx); err != nil || len(got.Freezes) != 1 || got.Freezes[0].Why != "sale" {
		t.Errorf("%+v, %v", got.Freezes, err)
	}
}

func TestForget(t *testing.T) {
	s := lone(t, controller.Options{})
	ctx := admin(t)
	agent := as(ctx, "fra-1", shoal.Agent)
	for session := uint64(1); session <= 2; session++ {
		if _, err := hello(t, s, "fra-1", nil); err != nil {
			t.Fatal(err)
		}
		if err := s.Report(agent, shoal.Report{Host: "fra-1", Session: session, Seq: 1, Free: 1}); err != nil {
			t.Fatal(err)
		}
	}
	before := time.Now()
	if err := s.Forget(ctx, "fra-1"); err != nil {
		t.Fatal(err)
	}
	if at, err := s.Forgotten(ctx, "fra-1"); err != nil || at.Before(before) {
		t.Errorf("forgotten at %s, %v", at, err)
	}
	if hosts, err := s.Hosts(ctx, shoal.Selector{}); err != nil || len(hosts) != 0 {
		t.Errorf("%v, %v", hosts, err)
	}
	wants(t, s.Forget(ctx, "fra-1"), shoal.ErrNotFound, "forget twice", "fra-1")
	_, err := s.Why(ctx, "fra-1")
	wants(t, err, shoal.ErrNotFound, "why of a host that is gone", "fra-1")
	if w, err := hello(t, s, "fra-1", nil); err != nil || w.Session != 1 {
		t.Errorf("it comes back: %+v, %v", w, err)
	}
	if err := s.Report(agent, shoal.Report{Host: "fra-1", Session: 1, Seq: 1, Free: 2}); err != nil {
		t.Fatal(err)
	}
	if hosts, err := s.Hosts(ctx, shoal.Selector{}); err != nil || len(hosts) != 1 || hosts[0].Report.Free != 2 {
		t.Errorf("it reports again: %+v, %v", hosts, err)
	}
}

func TestTokens(t *testing.T) {
	s := lone(t, controller.Options{})
	ctx := admin(t)
	first, err := s.FirstToken(ctx, time.Hour)
	if err != nil || first == "" {
		t.Fatal(first, err)
	}
	if again, err := s.FirstToken(ctx, time.Hour); err != nil || again != "" {
		t.Errorf("a second first token: %q, %v", again, err)
	}
	secret, made, err := s.CreateToken(ctx, shoal.Token{Name: "fra-1", Role: shoal.Joiner, Expires: time.Now().Add(time.Hour)})
	if err != nil || made.By != "kim" {
		t.Fatal(made, err)
	}
	sealed, err := s.Token(ctx, made.ID)
	if err != nil || sealed.Admit(secret, time.Now()) != nil || sealed.Admit(first, time.Now()) == nil {
		t.Errorf("%+v, %v", sealed, err)
	}
	for range 2 {
		if err := s.UseToken(ctx, made.ID, "fra-1 key"); err != nil {
			t.Error(err)
		}
	}
	wants(t, s.UseToken(ctx, made.ID, "fra-2 key"), shoal.ErrDenied, "use by another host", "one time")
	if all, err := s.Tokens(ctx); err != nil || len(all) != 2 {
		t.Errorf("%+v, %v", all, err)
	}
	if err := s.RevokeToken(ctx, made.ID); err != nil {
		t.Fatal(err)
	}
	_, err = s.Token(ctx, made.ID)
	wants(t, err, shoal.ErrNotFound, "a token that was revoked", made.ID)
	wants(t, s.RevokeToken(ctx, made.ID), shoal.ErrNotFound, "revoke twice", made.ID)
	_, _, err = s.CreateToken(ctx, shoal.Token{Name: "x", Role: "root", Expires: time.Now().Add(time.Hour)})
	wants(t, err, shoal.ErrInvalid, "a role that is none", "root")
	log, err := s.Audit(ctx, shoal.AuditQuery{})
	if err != nil || len(log) != 3 || log[2].Do != "token-revoke" || log[2].By != "kim" || strings.Contains(log[1].Text, secret) {
		t.Errorf("%+v, %v", log, err)
	}
}
