package controller_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"shoal"
	"shoal/internal/deploy/controller"
	"shoal/internal/deploy/fleetstore"
	"shoal/internal/deploy/notify"
	"shoal/internal/deploy/notify/notifytest"
)

// TestNotices receives by a real webhook and as mail what a rollout tells, and
// wants the plan to be delivered before the first host was ordered anything.
func TestNotices(t *testing.T) {
	var mu sync.Mutex
	var got []shoal.Notice
	refuse := 2 // so many times
	var a *agents
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var p struct{ Notice shoal.Notice }
		if err := json.NewDecoder(r.Body).Decode(&p); err != nil {
			t.Error(err)
		}
		mu.Lock()
		defer mu.Unlock()
		if p.Notice.Kind == "plan" {
			for _, h := range hostNames(3) {
				if a.count(h+" stages 1") != 0 {
					t.Errorf("%s staged before the plan was delivered", h)
				}
			}
			if refuse--; refuse >= 0 {
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			}
		}
		got = append(got, p.Notice)
	}))
	defer hook.Close()
	post, err := notifytest.NewPostOffice(nil, "")
	if err != nil {
		t.Fatal(err)
	}
	defer post.Close()
	n, err := notify.New(notify.Options{
		Webhooks: []notify.Webhook{{URL: hook.URL}},
		Mails:    []notify.Mail{{Server: post.Addr(), From: "shoal@example.com", To: []string{"ops@example.com"}, Plain: true}},
	})
	if err != nil {
		t.Fatal(err)
	}
	s := lone(t, controller.Options{Notify: n.Send, NoticePatience: patience, NoticeAgain: 50 * time.Millisecond, Link: "https://shoal.example.com"})
	a = newAgents(t, func() shoal.Station { return station{s.Controller} })
	hosts := hostNames(3)
	a.run(hosts...)
	ctx := admin(t)
	until(t, "all hosts are online", func() bool {
		x, err := s.Situation(ctx)
		return err == nil && x.Online == len(hosts)
	})
	register(t, s, "web", "1")
	if _, err := s.Push(ctx, wish(t, "web@1", "canary=1 approve, 100%")); err != nil {
		t.Fatal(err)
	}
	has := func(kind string) bool {
		mu.Lock()
		defer mu.Unlock()
		return slices.ContainsFunc(got, func(n shoal.Notice) bool { return n.Kind == kind })
	}
	until(t, "somebody is asked to approve", func() bool { return has("approval") })
	if _, err := s.Command(ctx, 1, shoal.Command{Do: "approve", Wave: 1}); err != nil {
		t.Fatal(err)
	}
	phase(t, s, 1, "done")
	if err := s.Stop(ctx, "enough"); err != nil {
		t.Fatal(err)
	}
	until(t, "all is told", func() bool { return has("end") && has("stop") && len(post.Mails()) >= 8 })
	mu.Lock()
	defer mu.Unlock()
	var kinds []string
	ids := map[string]bool{}
	for _, n := range got {
		kinds = append(kinds, n.Kind)
		if ids[n.ID] {
			t.Errorf("notice %s came twice, though it was taken", n.ID)
		}
		ids[n.ID] = true
		if n.Link != "https://shoal.example.com" || n.Text == "" || n.At.IsZero() {
			t.Errorf("%+v", n)
		}
	}
	if want := []string{"plan", "start", "ready", "approval", "wave", "wave", "end", "stop"}; !slices.Equal(kinds, want) {
		t.Errorf("told %q, want %q", kinds, want)
	}
	mails := post.Mails()
	if len(mails) != len(kinds) || !strings.Contains(mails[0], "Message-ID: <shoal.1-plan@example.com>") || !strings.Contains(mails[0], "goes to 3 hosts") {
		t.Errorf("%d mails: %q", len(mails), mails)
	}
	plan := got[0]
	if plan.ID != "1-plan" || plan.Plan == nil || plan.Plan.Hosts != 3 || !slices.Equal(plan.Sites, []string{"fra", "nyc", "sgp", "unknown"}) || !strings.Contains(plan.Text, "over the links unknown-fra") {
		t.Errorf("plan %+v", plan)
	}
}

// TestNoticeLost goes on without a plan that nobody takes, after its patience.
func TestNoticeLost(t *testing.T) {
	s := lone(t, controller.Options{
		NoticePatience: 300 * time.Millisecond, NoticeAgain: 50 * time.Millisecond,
		Notify: func(context.Context, shoal.Notice) error { return errors.New("nobody there") },
	})
	a := newAgents(t, func() shoal.Station { return station{s.Controller} })
	a.run("fra-1")
	ctx := admin(t)
	until(t, "the host is online", func() bool {
		x, err := s.Situation(ctx)
		return err == nil && x.Online == 1
	})
	register(t, s, "web", "1")
	if _, err := s.Push(ctx, wish(t, "web@1", "100%")); err != nil {
		t.Fatal(err)
	}
	phase(t, s, 1, "done")
}

// TestLead lets no byte move before the lead time is over.
func TestLead(t *testing.T) {
	s := lone(t, controller.Options{Lead: time.Second})
	a := newAgents(t, func() shoal.Station { return station{s.Controller} })
	a.run("fra-1")
	ctx := admin(t)
	until(t, "the host is online", func() bool {
		x, err := s.Situation(ctx)
		return err == nil && x.Online == 1
	})
	u := upload(t, "web", "1", 100)
	u.Pending = true
	pending := func() bool {
		list, err := s.Releases(ctx, "web")
		if err != nil {
			t.Fatal(err)
		}
		return list[0].Pending
	}
	if _, err := s.Register(ctx, u); err != nil || !pending() {
		t.Fatal("it is not pending before its rollout", err)
	}
	p, err := s.Push(ctx, wish(t, "web@1", "100%"))
	if err != nil || p.Rollout.StartAt.Sub(p.Rollout.Created) != time.Second {
		t.Fatal(p, err)
	}
	for time.Now().Before(p.Rollout.StartAt) {
		if a.count("fra-1 stages 1") != 0 && time.Now().Before(p.Rollout.StartAt) {
			t.Fatal("it staged before the lead time was over")
		}
		if !pending() && time.Now().Before(p.Rollout.StartAt) {
			t.Fatal("servers may copy before the lead time is over")
		}
		time.Sleep(10 * time.Millisecond)
	}
	phase(t, s, 1, "done")
	if pending() {
		t.Error("it is pending for ever")
	}
	// One that was aborted in its lead time has told nobody that it moves.
	u = upload(t, "web", "2", 100)
	u.Pending = true
	if _, err := s.Register(ctx, u); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Push(ctx, wish(t, "web@2", "100%")); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Command(ctx, 2, shoal.Command{Do: "abort"}); err != nil {
		t.Fatal(err)
	}
	time.Sleep(1500 * time.Millisecond)
	if !pending() {
		t.Error("servers may copy what was aborted before it began")
	}
	// To register it for its own sake is another thing.
	u.Pending = false
	if _, err := s.Register(ctx, u); err != nil || pending() {
		t.Error("it is pending though no rollout is to follow", err)
	}
}

// TestTwoRollouts runs two apps at once, and two of one app in turn; then the
// server is started again in the middle, on the embedded engine.
func TestTwoRollouts(t *testing.T) {
	dir := t.TempDir()
	var mu sync.Mutex
	var now server
	open := func() {
		store, err := fleetstore.Open(t.Context(), fleetstore.Options{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		s := start(t, store, controller.Options{})
		stop := s.stop
		s.stop = func() {
			stop()
			if err := store.Close(); err != nil {
				t.Error(err)
			}
		}
		t.Cleanup(s.stop)
		<-s.Ready()
		mu.Lock()
		defer mu.Unlock()
		now = s
	}
	current := func() server {
		mu.Lock()
		defer mu.Unlock()
		return now
	}
	open()
	a := newAgents(t, func() shoal.Station {
		if s := current(); s.Controller != nil {
			return station{s.Controller}
		}
		return nil
	})
	hosts := hostNames(6)
	a.run(hosts...)
	ctx := admin(t)
	until(t, "all hosts are online", func() bool {
		x, err := current().Situation(ctx)
		return err == nil && x.Online == len(hosts)
	})
	for _, name := range []string{"web", "api"} {
		register(t, current(), name, "1")
	}
	register(t, current(), "web", "2")
	a.setIdle(true)
	for _, name := range []string{"web@1", "api@1", "web@2"} {
		if _, err := current().Push(ctx, wish(t, name, "canary=1, 100%")); err != nil {
			t.Fatal(err)
		}
	}
	phase(t, current(), 1, "staging")
	phase(t, current(), 2, "staging")
	if p := phase(t, current(), 3, "queued"); !strings.Contains(p.Waits.What, "rollout 1") {
		t.Errorf("%+v", p.Waits)
	}
	old := current()
	mu.Lock()
	now = server{}
	mu.Unlock()
	old.stop()
	a.setIdle(false) // hosts go on while no server is there
	open()
	for id := uint64(1); id <= 3; id++ {
		phase(t, current(), id, "done")
		auditOnce(t, current(), id)
	}
	for _, h := range hosts {
		for _, v := range []string{"1", "2"} {
			// Version 1 is one of web and one of api.
			if n, want := a.count(h+" switches "+v), map[string]int{"1": 2, "2": 1}[v]; n != want {
				t.Errorf("%s switched to %s %d times, want %d", h, v, n, want)
			}
		}
	}
}
