package controller_test

import (
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"shoal"
	"shoal/internal/deploy/controller"
	"shoal/internal/deploy/fleetstore"
)

// whys are the answers about a host, in one text.
func whys(t *testing.T, s server, host string) string {
	t.Helper()
	list, err := s.Why(admin(t), host)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, w := range list {
		b.WriteString(w.What + " (" + w.Evidence + "); " + w.Remedy + "\n")
	}
	return b.String()
}

// TestClockOff has a host whose clock is an hour off, in either direction: it is
// served like any other, and everybody who looks is told.
func TestClockOff(t *testing.T) {
	for want, off := range map[string]time.Duration{"1h0m0s ahead": time.Hour, "1h0m0s behind": -time.Hour, "": 10 * time.Second} {
		s := lone(t, controller.Options{})
		ctx, agent := admin(t), as(admin(t), "fra-1", shoal.Agent)
		w, err := hello(t, s, "fra-1", func(h *shoal.Hello) { h.Clock = time.Now().Add(off) })
		if err != nil {
			t.Fatal(err)
		}
		look := func(when string) {
			t.Helper()
			hosts, err := s.Hosts(ctx, shoal.Selector{})
			if err != nil || len(hosts) != 1 || (hosts[0].Skew != 0) != (want != "") || hosts[0].Skew.Round(time.Minute) != off.Truncate(time.Minute) {
				t.Errorf("%s, %s: %+v, %v", want, when, hosts, err)
			}
		}
		look("after its hello")
		report := shoal.Report{Host: "fra-1", Session: w.Session, Seq: 1, Free: 1 << 40, Clock: time.Now().Add(off)}
		if err := s.Report(agent, report); err != nil {
			t.Fatal(err)
		}
		look("after its report")
		if text := whys(t, s, "fra-1"); strings.Contains(text, "its clock is "+want) != (want != "") || !strings.Contains(text, "no rollout is for it") {
			t.Errorf("%s: why says %s", want, text)
		}
		if now, err := s.Situation(ctx); err != nil || now.Online != 1 || (now.ClockOff == 1) != (want != "") {
			t.Errorf("%s: %+v, %v", want, now, err)
		}
		register(t, s, "web", "1")
		if _, err := s.Push(ctx, wish(t, "web@1", "100%")); err != nil {
			t.Fatal(err)
		}
		p := phase(t, s, 1, "staging")
		if len(p.Members) != 1 || strings.Contains(p.Members[0].Reason, "its clock is "+want) != (want != "") {
			t.Errorf("%s: status says %+v", want, p.Members)
		}
		report.Seq, report.Clock = 2, time.Now() // somebody has set it
		report.Apps = []shoal.AppReport{{App: "web", Staged: []string{"1"}}}
		if err := s.Report(agent, report); err != nil {
			t.Fatal(err)
		}
		if text := whys(t, s, "fra-1"); strings.Contains(text, "clock") {
			t.Errorf("%s: its clock is right again, and why says %s", want, text)
		}
	}
}

// TestServerClockAhead starts a server over a state that another one has written
// whose clock is an hour ahead: a host that is silent must not pass for one that
// is there for that hour.
func TestServerClockAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := fleetstore.NewMemory()
		time.Sleep(time.Hour) // the clock of the first server
		first := usual(t, store, "s1")
		w, err := hello(t, first, "fra-1", nil)
		if err == nil {
			err = first.Report(as(t.Context(), "fra-1", shoal.Agent), shoal.Report{Host: "fra-1", Session: w.Session, Seq: 1, Free: 1000})
		}
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		first.stop()
		e, err := store.Get(t.Context(), fleetstore.Hosts, "fra-1")
		if err != nil {
			t.Fatal(err)
		}
		seen := `"seen":"` + time.Now().UTC().Format("2006-01-02T15")
		ahead := `"seen":"` + time.Now().Add(time.Hour).UTC().Format("2006-01-02T15")
		text := strings.Replace(string(e.Value), seen, ahead, 1)
		if text == string(e.Value) {
			t.Fatalf("%s does not say when it was seen", text)
		}
		if _, err := store.Put(t.Context(), fleetstore.Hosts, "fra-1", []byte(text), e.Revision); err != nil {
			t.Fatal(err)
		}
		second := usual(t, store, "s2")
		online := func() bool {
			hosts, err := second.Hosts(as(t.Context(), "kim", shoal.Viewer), shoal.Selector{})
			if err != nil || len(hosts) != 1 {
				t.Fatal(hosts, err)
			}
			return hosts[0].Online(time.Now())
		}
		if !online() {
			t.Error("a host that was just heard counts as silent")
		}
		time.Sleep(shoal.OfflineAfter + time.Second)
		if online() {
			t.Error("a host that is silent counts as online")
		}
		second.stop()
	})
}

// TestRival turns an agent away that has the name of another one, and says so to
// whoever asks about the name.
func TestRival(t *testing.T) {
	s := lone(t, controller.Options{})
	agent := as(admin(t), "fra-1", shoal.Agent)
	w, err := hello(t, s, "fra-1", nil)
	if err == nil {
		err = s.Report(agent, shoal.Report{Host: "fra-1", Session: w.Session, Seq: 1})
	}
	if err != nil {
		t.Fatal(err)
	}
	if text := whys(t, s, "fra-1"); strings.Contains(text, "another agent") {
		t.Errorf("alone: %s", text)
	}
	_, err = s.Hello(shoal.WithAddr(agent, netip.MustParseAddr("10.1.2.3")), shoal.Hello{Host: "fra-1", Instance: "another"})
	wants(t, err, shoal.ErrConflict, "another agent", "calls itself fra-1")
	if text := whys(t, s, "fra-1"); !strings.Contains(text, "another agent calls itself fra-1 too") || !strings.Contains(text, "from 10.1.2.3") {
		t.Errorf("why says %s", text)
	}
}

// TestCopiedRoot lets two agents with the same state on disk take each other's
// session. Once is chance; when it goes on, whoever asks is told.
func TestCopiedRoot(t *testing.T) {
	s := lone(t, controller.Options{})
	agent := shoal.WithAddr(as(admin(t), "fra-1", shoal.Agent), netip.MustParseAddr("10.1.2.3"))
	was, err := hello(t, s, "fra-1", nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		if text := whys(t, s, "fra-1"); strings.Contains(text, "another agent") {
			t.Errorf("after %d: %s", i, text)
		}
		now, err := hello(t, s, "fra-1", nil)
		if err != nil {
			t.Fatal(err)
		}
		err = s.Report(agent, shoal.Report{Host: "fra-1", Session: was.Session, Seq: 1, Free: 7})
		wants(t, err, shoal.ErrConflict, "the one that was there before", "another one runs with a copy of its identity")
		was = now
	}
	if text := whys(t, s, "fra-1"); !strings.Contains(text, "another agent calls itself fra-1 too, and took its place (from 10.1.2.3") {
		t.Errorf("why says %s", text)
	}
	if err := s.Report(agent, shoal.Report{Host: "fra-1", Session: was.Session, Seq: 1, Free: 8}); err != nil {
		t.Errorf("the one that is there: %v", err)
	}
}

// TestWorkStays wants what a host is at to be known also after its report was
// stored, which is without it.
func TestWorkStays(t *testing.T) {
	store := fleetstore.NewMemory()
	t.Cleanup(func() { _ = store.Close() })
	s := start(t, store, controller.Options{})
	<-s.Ready()
	w, err := hello(t, s, "fra-1", nil)
	if err != nil {
		t.Fatal(err)
	}
	work := &shoal.Work{Version: "1", Step: shoal.StepFetch, Done: 5, Total: 10, Cause: shoal.CauseNoSpace}
	err = s.Report(as(admin(t), "fra-1", shoal.Agent), shoal.Report{Host: "fra-1", Session: w.Session, Seq: 1, Free: 1000, Apps: []shoal.AppReport{{App: "web", Work: work}}})
	if err != nil {
		t.Fatal(err)
	}
	until(t, "the report is stored", func() bool {
		e, err := store.Get(admin(t), fleetstore.Hosts, "fra-1")
		return err == nil && strings.Contains(string(e.Value), `"free":1000`)
	})
	for range 20 { // the server's own copy follows
		hosts, err := s.Hosts(admin(t), shoal.Selector{})
		if err != nil || len(hosts) != 1 || hosts[0].Report.App("web").Work == nil {
			t.Fatalf("what it is at is not known any more: %+v, %v", hosts, err)
		}
		time.Sleep(5 * time.Millisecond)
	}
}
