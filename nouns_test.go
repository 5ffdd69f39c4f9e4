package shoal_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"shoal"
)

func TestReleaseNames(t *testing.T) {
	for _, c := range []struct {
		in string
		ok bool
	}{
		{"web@1.2.3", true}, {"web@1.2.3-rc.1+build~5", true}, {"search-index_2@2026-11-25", true},
		{"web", false}, {"@1", false}, {"web@", false}, {"../x@1", false}, {"web@../1", false}, {".web@1", false},
		{"web@.", false}, {"web@a@b", false}, {"web@-1", false}, {"we b@1", false}, {"web@1/2", false}, {"wéb@1", false},
		{"web@1\x00", false}, {strings.Repeat("a", 63) + "@1", true}, {strings.Repeat("a", 64) + "@1", false},
		{"a@" + strings.Repeat("1", 128), true}, {"a@" + strings.Repeat("1", 129), false},
	} {
		app, version, err := shoal.ParseRelease(c.in)
		if (err == nil) != c.ok {
			t.Errorf("ParseRelease(%q): %v, want ok=%v", c.in, err, c.ok)
		}
		if err == nil && (shoal.Release{App: app, Version: version}).Name() != c.in {
			t.Errorf("ParseRelease(%q) = %q, %q", c.in, app, version)
		}
	}
}

// TestAmountRounds states the rounding rule: what must be reached goes up,
// what may be spent goes down, and neither leaves 0..total.
func TestAmountRounds(t *testing.T) {
	for _, c := range []struct {
		amount   string
		total    int
		up, down int
	}{
		{"10%", 10, 1, 1}, {"10%", 11, 2, 1}, {"10%", 9, 1, 0}, {"10%", 1, 1, 0}, {"10%", 0, 0, 0},
		{"33%", 3, 1, 0}, {"34%", 3, 2, 1}, {"50%", 7, 4, 3}, {"99%", 100, 99, 99}, {"99%", 50, 50, 49},
		{"100%", 7, 7, 7}, {"0%", 7, 0, 0}, {"0.5%", 2000, 10, 10}, {"0.25%", 2000, 5, 5}, {"0.01%", 2000, 1, 0},
		{"2", 7, 2, 2}, {"2", 1, 2, 2}, {"0", 7, 0, 0}, {"99.99%", 2147483647, 2147268899, 2147268898},
	} {
		a, err := shoal.ParseAmount(c.amount)
		if err != nil {
			t.Fatal(err)
		}
		if up, down := a.Up(c.total), a.Down(c.total); up != c.up || down != c.down {
			t.Errorf("%s of %d: up %d, down %d, want %d and %d", c.amount, c.total, up, down, c.up, c.down)
		}
		if a.String() != c.amount {
			t.Errorf("%q prints as %q", c.amount, a)
		}
	}
	for _, bad := range []string{"", "%", "-1", "+1", "1.5", "101%", "100.01%", "1.%", "1.234%", ".5%", "1 %", "ten", "1e3", "99999999999", "0x1", "1_0", "٣"} {
		if a, err := shoal.ParseAmount(bad); err == nil {
			t.Errorf("ParseAmount(%q) = %s", bad, a)
		}
	}
	if !(shoal.Amount{}).IsZero() || shoal.Count(0).IsZero() {
		t.Error("unset and 0 are not told apart")
	}
}

func TestSelectorMatches(t *testing.T) {
	h := shoal.Host{Name: "fra-1", Datacenter: "fra", Labels: map[string]string{"role": "web", "tier": "1"}}
	for _, c := range []struct {
		selector string
		want     bool
	}{
		{"all", true}, {"role=web", true}, {"role=api", false}, {"role!=api", true}, {"role!=web", false},
		{"role=web,dc!=lab", true}, {"role=web,dc=lab", false}, {"gpu", false}, {"!gpu", true}, {"role", true}, {"!role", false},
		{"gpu!=a100", true}, {"gpu notin (a,b)", true}, {"role in (api, web)", true}, {"role in (api)", false},
		{"role notin (api,web)", false}, {"host=fra-1", true}, {"host in (fra-2,fra-1)", true}, {"rack", false}, {"rack!=r1", true},
		{" role = web , tier=1 ", true},
	} {
		s, err := shoal.ParseSelector(c.selector)
		if err != nil {
			t.Errorf("%q: %v", c.selector, err)
			continue
		}
		if got := s.Matches(h); got != c.want {
			t.Errorf("%q matches: %v", c.selector, got)
		}
	}
	if (shoal.Selector{}).Matches(h) {
		t.Error("a selector that was never set matches a host")
	}
}

func TestSelectorRefuses(t *testing.T) {
	for _, c := range []struct{ in, hint string }{
		{"", "all"}, {"   ", "all"}, {"role==web", "one ="}, {"role=", "missing"}, {"=web", "missing"}, {"role=web,", "missing"},
		{",role=web", "missing"}, {"role=web dc=fra", "commas"}, {"role in web", "parentheses"}, {"role in ()", "missing"},
		{"role in (a", "end with )"}, {"role in (a b)", "commas"}, {"role like web", "like"}, {"all,role=web", "alone"}, {"!all", "alone"},
		{"role=wéb", "byte"}, {"role=web;dc=x", "commas"}, {"-x", "first"}, {strings.Repeat("a", 64), "longer"},
		{strings.Repeat("a,", 40) + "a", "more than 32"}, {strings.Repeat("x", 5000), "4096"},
	} {
		s, err := shoal.ParseSelector(c.in)
		if err == nil || !strings.Contains(err.Error(), c.hint) {
			t.Errorf("ParseSelector(%.40q) = %q, %v, want an error with %q", c.in, s, err, c.hint)
		}
	}
}

func FuzzSelector(f *testing.F) {
	for _, s := range []string{"all", "role=web,dc!=lab", "a in (x,y),!b,c notin (z)", "in in (in)", "a=b:c/d"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		sel, err := shoal.ParseSelector(s)
		if err != nil {
			return
		}
		again, err := shoal.ParseSelector(sel.String())
		if err != nil || !reflect.DeepEqual(sel, again) {
			t.Fatalf("%q printed as %q reads as %q, %v", s, sel, again, err)
		}
	})
}

func TestWaves(t *testing.T) {
	usual := shoal.Wave{Soak: time.Minute, MaxFailed: shoal.Percent(1)}
	ws, err := shoal.ParseWaves("canary=2 soak=10m approve,10%, @fra+nyc parallel=20%,each-dc max-failed=0", usual)
	if err != nil {
		t.Fatal(err)
	}
	want := shoal.Waves{
		{Name: "canary", Size: shoal.Count(2), Soak: 10 * time.Minute, MaxFailed: shoal.Percent(1), Approve: true},
		{Size: shoal.Percent(10), Soak: time.Minute, MaxFailed: shoal.Percent(1)},
		{Datacenters: []string{"fra", "nyc"}, Soak: time.Minute, MaxFailed: shoal.Percent(1), Parallel: shoal.Percent(20)},
		{EachDatacenter: true, Soak: time.Minute, MaxFailed: shoal.Count(0)},
	}
	if !reflect.DeepEqual(ws, want) {
		t.Errorf("got  %v\nwant %v", ws, want)
	}
	titles := []string{"canary", "10%", "@fra+nyc", "each-dc"}
	for i, w := range ws {
		if w.Title() != titles[i] {
			t.Errorf("title of wave %d: %q, want %q", i, w.Title(), titles[i])
		}
	}
}

func TestWavesRefuse(t *testing.T) {
	for _, c := range []struct{ in, hint string }{
		{"", "empty"}, {"10%,,100%", "empty"}, {"10%", "100%"}, {"canary=2", "100%"}, {"0,100%", "no hosts"}, {"0%,100%", "no hosts"},
		{"50%,10%,100%", "rise"}, {"5,5,100%", "rise"}, {"10,5,100%", "rise"}, {"@,100%", "missing"}, {"@fra+fra,100%", "twice"},
		{"@fra/x,100%", "data centre"}, {"100% soak=5", "duration"}, {"100% soak=-5m", "negative"}, {"100% soak", "duration"},
		{"100% fast", "options"}, {"100% approve=yes", "options"}, {"100% parallel=0", "never"}, {"a=5%,a=100%", "called"},
		{"100% soak=1m soak=2m", "twice"}, {"../x=5%,100%", "name"}, {"x=,100%", "no count"}, {"101%", "no count"},
		{strings.Repeat("@a,", 70) + "100%", "more than 64"}, {strings.Repeat("1", 9000), "8192"},
	} {
		ws, err := shoal.ParseWaves(c.in, shoal.Wave{})
		if err == nil || !strings.Contains(err.Error(), c.hint) {
			t.Errorf("ParseWaves(%.40q) = %q, %v, want an error with %q", c.in, ws, err, c.hint)
		}
	}
	// Counts and shares cannot be compared before the fleet is known.
	if _, err := shoal.ParseWaves("canary=500,1%,100%", shoal.Wave{}); err != nil {
		t.Error(err)
	}
}

func FuzzWaves(f *testing.F) {
	for _, s := range []string{"100%", "canary=2,10%,50%,100%", "each-dc soak=1m approve", "x=@a+b parallel=1 max-failed=0.5%,100%"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		ws, err := shoal.ParseWaves(s, shoal.Wave{})
		if err != nil {
			return
		}
		again, err := shoal.ParseWaves(ws.String(), shoal.Wave{})
		if err != nil || !reflect.DeepEqual(ws, again) {
			t.Fatalf("%q printed as %q reads as %v, %v", s, ws, again, err)
		}
	})
}

func TestRolloutCheck(t *testing.T) {
	to, _ := shoal.ParseSelector("role=web")
	good := shoal.Rollout{ID: 1, App: "web", Version: "2", To: to, Waves: shoal.Waves{{Size: shoal.Percent(100)}}}
	now := time.Date(2026, 11, 25, 3, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		change func(*shoal.Rollout)
		hint   string
	}{
		{func(*shoal.Rollout) {}, ""},
		{func(r *shoal.Rollout) { r.App = "../x" }, "app"},
		{func(r *shoal.Rollout) { r.Version = "" }, "version"},
		{func(r *shoal.Rollout) { r.ID = 0 }, "number"},
		{func(r *shoal.Rollout) { r.To = shoal.Selector{} }, "which hosts"},
		{func(r *shoal.Rollout) { r.Waves = nil }, "waves"},
		{func(r *shoal.Rollout) { r.Gate.Share = shoal.Percent(0) }, "gate"},
		{func(r *shoal.Rollout) { r.Gate.Deadline = -1 }, "negative"},
		{func(r *shoal.Rollout) { r.SwitchDeadline = -1 }, "negative"},
		{func(r *shoal.Rollout) { r.Limits.OnBreach = "panic" }, "breach"},
		{func(r *shoal.Rollout) { r.StartAt, r.ActivateAt = now, now.Add(-1) }, "activate-at"},
	} {
		r := good
		c.change(&r)
		err := r.Check()
		if c.hint == "" != (err == nil) || err != nil && !strings.Contains(err.Error(), c.hint) {
			t.Errorf("%v, want an error with %q", err, c.hint)
		}
	}
}

// TestRolloutIsStored holds the nouns to what every store and API does to them.
func TestRolloutIsStored(t *testing.T) {
	to, _ := shoal.ParseSelector("role in (web,api),dc!=lab")
	waves, _ := shoal.ParseWaves("canary=2 soak=10m,0.5% approve,each-dc", shoal.Wave{})
	r := shoal.Rollout{
		ID: 7, App: "web", Version: "2", To: to, Waves: waves, Gate: shoal.Gate{Share: shoal.Percent(95), Deadline: time.Hour},
		Limits: shoal.Limits{Fleet: shoal.Count(0)}, ActivateAt: time.Date(2026, 11, 25, 3, 0, 0, 0, time.UTC),
	}
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var back shoal.Rollout
	if err := json.Unmarshal(text, &back); err != nil || !reflect.DeepEqual(r, back) {
		t.Errorf("%s\nreads as %+v, %v", text, back, err)
	}
	for _, bad := range []string{`{"to":"role=="}`, `{"waves":"10%"}`, `{"gate":{"share":"x"}}`} {
		if err := json.Unmarshal([]byte(bad), &back); err == nil {
			t.Errorf("%s is taken", bad)
		}
	}
}

// TestHear: reports that come twice, late or from before a restart change nothing.
func TestHear(t *testing.T) {
	now := time.Date(2026, 11, 25, 3, 0, 0, 0, time.UTC)
	var h shoal.Host
	for i, c := range []struct {
		session, seq uint64
		news         bool
	}{{1, 1, true}, {1, 1, false}, {1, 3, true}, {1, 2, false}, {2, 1, true}, {1, 4, false}, {2, 1, false}, {2, 2, true}} {
		if got := h.Hear(shoal.Report{Session: c.session, Seq: c.seq, Free: int64(i)}, now.Add(time.Duration(i))); got != c.news {
			t.Errorf("report %d.%d: news %v", c.session, c.seq, got)
		}
	}
	if h.Report.Free != 7 || h.Report.Session != 2 || h.Report.Seq != 2 || !h.Seen.Equal(now.Add(7)) {
		t.Errorf("kept %+v, seen %v", h.Report, h.Seen)
	}
	if !h.Online(now.Add(shoal.OfflineAfter)) || h.Online(now.Add(7+shoal.OfflineAfter+1)) || (shoal.Host{}).Online(now) {
		t.Error("online is not what OfflineAfter says")
	}
}

func TestCheckLabel(t *testing.T) {
	for _, c := range []struct {
		key, value string
		ok         bool
	}{{"role", "web", true}, {"a/b", "x:1", true}, {"dc", "fra", false}, {"host", "x", false}, {"", "x", false}, {"x", "", false}, {"x", "a b", false}} {
		if err := shoal.CheckLabel(c.key, c.value); (err == nil) != c.ok {
			t.Errorf("CheckLabel(%q, %q) = %v", c.key, c.value, err)
		}
	}
}
