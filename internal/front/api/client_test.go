package api

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"shoal"
	"shoal/internal/trust"
)

// TestClientSaysTheSame calls each method of the interfaces through client and
// server, and looks what arrived and what came back.
func TestClientSaysTheSame(t *testing.T) {
	s, ctx := newSite(t), context.Background()
	now := time.Date(2026, 11, 26, 10, 0, 0, 5, time.UTC)
	admin := s.client(t, s.token(t, shoal.Token{Role: shoal.Admin, Name: "kim"}, time.Now()), nil)
	agent := s.client(t, "", host(t, s.authority, trust.Host, "web-1", time.Now()))
	wish := shoal.Rollout{
		App: "web", Version: "1", To: all(t), Waves: waves(t), Gate: shoal.Gate{Share: shoal.Percent(90), Deadline: time.Hour, Stragglers: shoal.Count(3)},
		Limits: shoal.Limits{Wave: shoal.Count(1), OnBreach: shoal.BreachRollback}, ActivateAt: now, SwitchDeadline: time.Minute, StageOnly: true, Supersede: true, IgnoreFreeze: true,
	}
	progress := shoal.Progress{Rollout: wish, Phase: "staging", Counts: map[string]int{"staged": 2}, Members: []shoal.MemberStatus{{Host: "web-1", Status: "staged", Online: true}}}
	work := &shoal.Work{Version: "1", Step: shoal.StepFetch, For: time.Second, Done: 5, Total: 10, Cause: shoal.CauseDisk}
	report := shoal.Report{Host: "web-1", Session: 4, Seq: 5, Free: 6, Apps: []shoal.AppReport{{App: "web", Live: "0", Staged: []string{"0"}, Work: work}}}
	hello := shoal.Hello{Host: "web-1", Datacenter: "fra", Labels: map[string]string{"role": "web"}, Software: "x", Clock: now, Instance: "i"}
	s.answers = map[string]any{
		"Releases": []shoal.Release{{App: "web", Version: "1", Bytes: 5, Created: now}}, "Plan": shoal.Plan{Release: "web@1", Bytes: 5, End: now, Offline: []string{"x"}},
		"Push": progress, "Rollouts": []shoal.Progress{progress}, "Rollout": progress, "Command": progress,
		"Hosts": []shoal.Host{{Name: "web-1", Seen: now, Report: report}}, "Why": []shoal.Why{{Host: "web-1", What: "nothing"}}, "Situation": shoal.Situation{Stopped: true, Now: now, Freezes: []shoal.Freeze{{From: now, To: now.Add(1)}}},
		"CreateToken": shoal.Token{ID: "t1", Role: shoal.Viewer, Created: now, Expires: now}, "Tokens": []shoal.Token{{ID: "t1", Used: now}}, "Audit": []shoal.AuditEntry{{N: 5, At: now, By: "kim"}},
		"Hello": shoal.Welcome{Session: 4, Datacenter: "fra", Skew: time.Hour}, "Watch": shoal.Orders{Version: 6, Orders: []shoal.Order{{Host: "web-1", App: "web", Live: "1"}}, Keep: []string{"web@1"}},
	}
	check := func(name string, got any, err error, args ...any) {
		t.Helper()
		if err != nil {
			t.Errorf("%s: %v", name, err)
			return
		}
		did := s.taken()
		_, _ = saw[any](ctx, s.fake, name, args...)
		if want := s.taken(); did[len(did)-1] != want[0] {
			t.Errorf("%s: asked %s,\n want %s", name, did[len(did)-1], want[0])
		}
		if got != nil {
			same(t, name, got, s.answers[name])
		}
	}
	// The test calls with values in all fields, one method after the other.
	releases, err := admin.Releases(ctx, "web")
	check("Releases", releases, err, "web")
	plan, err := admin.Plan(ctx, wish)
	check("Plan", plan, err, wish)
	p, err := admin.Push(ctx, wish)
	if by := s.principal; by.Name != "kim" || by.Role != shoal.Admin {
		t.Errorf("it was %+v", by)
	}
	check("Push", p, err, wish)
	list, err := admin.Rollouts(ctx, shoal.RolloutQuery{App: "web", Over: true})
	check("Rollouts", list, err, shoal.RolloutQuery{App: "web", Over: true})
	p, err = admin.Rollout(ctx, 7)
	check("Rollout", p, err, 7)
	for _, c := range commands() {
		cmd := shoal.Command{Do: string(c.do), Reason: "so", Wave: 2, Host: "web-1"}
		p, err = admin.Command(ctx, 7, cmd)
		check("Command", p, err, 7, cmd)
	}
	hosts, err := admin.Hosts(ctx, all(t))
	check("Hosts", hosts, err, all(t))
	check("Forget", nil, admin.Forget(ctx, "web_1.fra"), "web_1.fra")
	why, err := admin.Why(ctx, "web-1")
	check("Why", why, err, "web-1")
	check("Stop", nil, admin.Stop(ctx, "smoke"), "smoke")
	check("Start", nil, admin.Start(ctx))
	situation, err := admin.Situation(ctx)
	check("Situation", situation, err)
	freeze := shoal.Freeze{From: now, To: now.Add(time.Hour), Why: "sale"}
	check("Freeze", nil, admin.Freeze(ctx, freeze), freeze)
	check("Thaw", nil, admin.Thaw(ctx, now), now)
	secret, token, err := admin.CreateToken(ctx, shoal.Token{Name: "ci", Role: shoal.Viewer, Apps: []string{"web"}, Expires: now})
	check("CreateToken", token, err, shoal.Token{Name: "ci", Role: shoal.Viewer, Apps: []string{"web"}, Expires: now})
	if secret != "shoal_secret" {
		t.Errorf("secret %q", secret)
	}
	tokens, err := admin.Tokens(ctx)
	check("Tokens", tokens, err)
	check("RevokeToken", nil, admin.RevokeToken(ctx, "t1"), "t1")
	query := shoal.AuditQuery{After: 3, Rollout: 7, Limit: 10}
	entries, err := admin.Audit(ctx, query)
	check("Audit", entries, err, query)
	welcome, err := agent.Hello(ctx, hello)
	check("Hello", welcome, err, hello)
	orders, err := agent.Watch(ctx, "web-1", 0)
	check("Watch", orders, err, "web-1", 0)
	check("Report", nil, agent.Report(ctx, report), report)

	// Who speaks for another host is heard as itself.
	report.Host, hello.Host = "db-1", "db-1"
	if _, err := agent.Hello(ctx, hello); err != nil {
		t.Error(err)
	}
	if _, err := agent.Watch(ctx, "db-1", 0); err != nil {
		t.Error(err)
	}
	if err := agent.Report(ctx, report); err != nil {
		t.Error(err)
	}
	for _, call := range s.taken() {
		if strings.Contains(call, "db-1") || !strings.Contains(call, "web-1") {
			t.Errorf("a host spoke for another one: %s", call)
		}
	}
}

// TestSeveralServers kills one after the other.
func TestSeveralServers(t *testing.T) {
	ctx, f, a := context.Background(), newFake(), newAuthority(t)
	secret := f.token(t, shoal.Token{Role: shoal.Operator}, time.Now())
	sites := []*site{siteAt(t, f, a, "127.0.0.1:0"), siteAt(t, f, a, "127.0.0.1:0"), siteAt(t, f, a, "127.0.0.1:0")}
	var urls []string
	for _, s := range sites {
		urls = append(urls, s.url)
	}
	o := ClientOptions{Servers: urls, Token: secret, Anchor: trust.Anchor{Pin: a.Pin()}}
	c, err := NewClient(o)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for i := range sites {
		if _, err := c.Situation(ctx); err != nil {
			t.Errorf("with %d of 3 servers dead: %v", i, err)
		}
		if err := c.Freeze(ctx, shoal.Freeze{}); err != nil { // is not sent twice, but goes to one that is there
			t.Errorf("with %d of 3 servers dead: %v", i, err)
		}
		sites[i].stop()
	}
	if _, err := c.Situation(ctx); !errors.Is(err, shoal.ErrUnavailable) {
		t.Errorf("with all dead: %v", err)
	}
	// An agent waits until one is back.
	o.Patient = true
	patient, err := NewClient(o)
	if err != nil {
		t.Fatal(err)
	}
	defer patient.Close()
	done := make(chan error, 1)
	go func() {
		_, err := patient.Situation(ctx)
		done <- err
	}()
	back := siteAt(t, f, a, strings.TrimPrefix(urls[1], "https://"))
	if err := <-done; err != nil {
		t.Errorf("with one back: %v", err)
	}
	back.stop()
	short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	if _, err := patient.Situation(short); err == nil {
		t.Error("answered by nobody")
	}
}

// TestRequestsAreNotRepeated cuts a connection after the request: what does not
// do the same twice is not sent again.
func TestRequestsAreNotRepeated(t *testing.T) {
	a := newAuthority(t)
	s := siteAt(t, newFake(), a, "127.0.0.1:0")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone := make(chan struct{})
	go func() { // closes every connection in the middle of the handshake
		defer close(gone)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}()
	defer func() { l.Close(); <-gone }()
	c, err := NewClient(ClientOptions{Servers: []string{"https://" + l.Addr().String(), s.url}, Token: s.token(t, shoal.Token{Role: shoal.Operator}, time.Now()), Anchor: trust.Anchor{Pin: a.Pin()}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.first.Store(0)
	if err := c.Freeze(context.Background(), shoal.Freeze{}); !errors.Is(err, shoal.ErrUnavailable) {
		t.Errorf("freeze: %v", err)
	}
	if _, err := c.Situation(context.Background()); err != nil {
		t.Errorf("situation: %v", err)
	}
}

func TestClientOptions(t *testing.T) {
	for _, servers := range [][]string{nil, {"http://a"}, {"a:1"}, {"https://a/path"}, {"https://"}, make([]string, maxServers+1)} {
		if _, err := NewClient(ClientOptions{Servers: servers}); !errors.Is(err, shoal.ErrInvalid) {
			t.Errorf("%q: %v", servers, err)
		}
	}
	// A server of another fleet is not talked to.
	s := newSite(t)
	c, err := NewClient(ClientOptions{Servers: []string{s.url}, Token: "shoal_x", Anchor: trust.Anchor{Pin: newAuthority(t).Pin()}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	stranger := (*trust.Stranger)(nil)
	if _, err := c.Situation(context.Background()); !errors.Is(err, shoal.ErrUnavailable) || !errors.As(err, &stranger) {
		t.Fatalf("another fleet: %v", err)
	}
	if stranger.Shown != s.authority.Pin() {
		t.Errorf("it is said to show %s, and shows %s", stranger.Shown, s.authority.Pin())
	}
	// Nobody becomes one by waiting: a patient client ends too. It waits when one of its servers may be good.
	c.o.Patient = true
	if _, err := c.Situation(t.Context()); !errors.As(err, &stranger) {
		t.Errorf("a patient client of another fleet: %v", err)
	}
	gone := *c.urls[0]
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone.Host = l.Addr().String()
	l.Close()
	c.urls = append(c.urls, &gone)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	if _, err := c.Situation(ctx); ctx.Err() == nil {
		t.Errorf("ends while one server may come back: %v", err)
	}
}
