package controller

import (
	"log/slog"
	"testing"
	"time"

	"shoal"
	"shoal/internal/deploy/fleetstore"
)

// TestSeen lets a host do nothing but ask for its orders: it counts as there,
// only the first time is news, and other servers keep what they know of its work.
func TestSeen(t *testing.T) {
	store := fleetstore.NewMemory()
	defer store.Close()
	r := newRoster(store, slog.New(slog.DiscardHandler))
	now := time.Date(2026, 11, 26, 3, 0, 0, 0, time.UTC)
	rec := hostRecord{Host: shoal.Host{Name: "web-1", Seen: now.Add(-time.Hour)}, Session: 1}
	if _, err := r.table.put(t.Context(), "web-1", rec, 0); err != nil {
		t.Fatal(err)
	}
	is := func(when string, at time.Duration, online bool) {
		t.Helper()
		if h, _ := r.one("web-1"); h.Online(now.Add(at)) != online {
			t.Errorf("%s: seen %s, online is not %v", when, h.Seen, online)
		}
	}
	is("before it asks", 0, false)
	if !r.seen(rec, now) {
		t.Error("that a host is back is no news")
	}
	is("when it has asked", shoal.OfflineAfter, true)
	is("when it has not asked again", shoal.OfflineAfter+1, false)
	if r.seen(rec, now.Add(shoal.WatchFor)) {
		t.Error("that a host is still there is news")
	}
	is("when it has asked again", shoal.OfflineAfter+1, true)

	r.learn(pulse{Server: "s2", N: 2, Hosts: map[string]beat{"web-2": {Work: map[string]*shoal.Work{"web": {Done: 7}}}}}, now)
	beats := r.beats(now.Add(shoal.WatchFor))
	if b, ok := beats["web-1"]; len(beats) != 1 || !ok || !b.Silent || b.Ago != 0 {
		t.Errorf("the other servers are told %+v", beats)
	}
	report := shoal.Report{Host: "web-1", Session: 1, Seq: 1, Apps: []shoal.AppReport{{App: "web", Live: "1", Work: &shoal.Work{Done: 9}}}}
	if news, err := r.hear(report, "", now.Add(time.Minute)); err != nil || !news {
		t.Errorf("a first report: news is %v, %v", news, err)
	}
	report.Seq++
	if news, err := r.hear(report, "", now.Add(time.Minute)); err != nil || news {
		t.Errorf("the same again: news is %v, %v", news, err)
	}
	r.seen(rec, now.Add(time.Minute))
	if b := r.beats(now.Add(time.Minute))["web-1"]; b.Silent || b.Work["web"] == nil {
		t.Errorf("it reported and asked, and the other servers are told %+v", b)
	}
	r.seen(rec, now.Add(time.Minute))
	if b := r.beats(now.Add(time.Minute))["web-1"]; !b.Silent || b.Work != nil {
		t.Errorf("it asked only, and the other servers are told %+v", b)
	}
	r.learn(pulse{Server: "s2", N: 3, Hosts: map[string]beat{"web-2": {Silent: true}}}, now.Add(time.Minute))
	if w := r.heard["web-2"].work["web"]; w == nil || w.Done != 7 {
		t.Errorf("its work is %+v since it has only asked", w)
	}
}
