package cli

import (
	"bytes"
	"strings"
	"testing"

	"shoal"
)

func TestOutcome(t *testing.T) {
	for _, c := range []struct {
		phase      string
		untilReady bool
		over, ok   bool
	}{
		{"queued", true, false, true}, {"staging", true, false, true}, {"ready", true, true, true}, {"ready", false, false, true},
		{"switching", false, false, true}, {"rolling-back", false, false, true}, {"done", false, true, true},
		{"aborted", false, true, false}, {"rolled-back", true, true, false},
	} {
		over, err := outcome(shoal.Progress{Phase: c.phase}, c.untilReady)
		if over != c.over || (err == nil) != c.ok {
			t.Errorf("%s, until ready %v: over %v, %v", c.phase, c.untilReady, over, err)
		}
	}
}

// TestView says what changed and nothing twice; on a terminal it draws over what
// it drew before, and never more lines than fit.
func TestView(t *testing.T) {
	var out bytes.Buffer
	v := &view{s: newShell(Streams{&out, &out})}
	for _, text := range []string{"a\n", "a\n", "b\n"} {
		v.say(text, nil)
	}
	if out.String() != "a\nb\n" {
		t.Errorf("to a file: %q", out.String())
	}
	out.Reset()
	v = &view{s: newShell(Streams{&out, &out}), live: true}
	v.say("a\nb\n", nil)
	v.say(strings.Repeat("c\n", 100), nil)
	v.say(strings.Repeat("d", 100)+"\n", nil)
	want := "a\nb\n" + "\x1b[2F\x1b[J" + strings.Repeat("c\n", 23) + "\x1b[23F\x1b[J" + strings.Repeat("d", 79) + "\n"
	if out.String() != want {
		t.Errorf("on a terminal:\n got %q\nwant %q", out.String(), want)
	}
}

func TestRolloutText(t *testing.T) {
	to, err := shoal.ParseSelector("role=web")
	if err != nil {
		t.Fatal(err)
	}
	p := shoal.Progress{
		Rollout: shoal.Rollout{ID: 7, App: "web", Version: "1", By: "kim\x1b[31m", To: to}, Phase: "switching", Wave: 2, Waves: 3, Paused: "too many failed",
		Counts: map[string]int{"live": 3, "failed": 1, "staging": 0, "new-word": 2, "staged": 4}, Waits: shoal.Why{What: "paused", Evidence: "1 of 0", Remedy: "shoal resume 7"},
	}
	want := "rollout 7: web@1 to role=web, by \"kim\\x1b[31m\": switching, wave 2 of 3\n  4 staged, 3 live, 1 failed, 2 new-word\n  PAUSED: too many failed\n  paused (1 of 0); shoal resume 7\n"
	if got := rolloutText(p); got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	p.Members = []shoal.MemberStatus{
		{Host: "b-1", Datacenter: "b", Status: "staging", Online: true, Work: &shoal.Work{Version: "1", Step: shoal.StepFetch, Done: 1, Total: 4, Rate: 5e6, Cause: shoal.CauseDisk}},
		{Host: "a-1", Datacenter: "a", Status: "failed", Reason: "no answer"},
	}
	want = "  b            1 staging, fetching 25.0 %\n  a            1 failed\n    b-1: staging, fetch 1 25% at 5.0 MB/s, held up by disk\n    a-1: failed, offline; no answer\n"
	if got := sitesText(p.Members); got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}
