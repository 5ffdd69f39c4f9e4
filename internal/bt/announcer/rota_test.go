package announcer

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"shoal/internal/bt/announce"
)

var (
	noon      = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	errBroken = errors.New("broken")
)

// newTestRota names trackers by letters, tiers by words: "ab c" is a and b before c.
func newTestRota(tiers ...string) *rota {
	var targets [][]target
	for _, tier := range tiers {
		var t []target
		for _, c := range tier {
			t = append(t, parseTarget(fmt.Sprintf("http://%c/announce", c)))
		}
		targets = append(targets, t)
	}
	return newRota(targets)
}

func (r *rota) order() (s string) {
	for t := range r.all {
		s += t.host
	}
	return s
}

func dueName(r *rota, now time.Time) string {
	if t := r.due(now); t != nil {
		return t.host
	}
	return ""
}

func TestRotaWalksTheTiers(t *testing.T) {
	r := newTestRota("ab", "cd")
	now := noon
	for _, want := range []string{"a", "b", "c"} {
		if got := dueName(r, now); got != want {
			t.Fatalf("due is %q, want %q", got, want)
		}
		r.fail(r.due(now), errBroken, now, 0.5)
	}
	r.succeed(r.due(now), announce.Response{Interval: time.Minute}, now, 0)
	if got := r.order(); got != "abdc" {
		t.Errorf("order %q, want d before c", got)
	}
	if got := dueName(r, now); got != "" {
		t.Errorf("%q is due though d works and the others wait", got)
	}

	// The back-offs of a and b end before d's interval does: they are asked again, c is not.
	at, ok := r.wake()
	if !ok || at != noon.Add(time.Second) {
		t.Errorf("wakes after %v, %v", at.Sub(noon), ok)
	}
	now = noon.Add(30 * time.Second)
	r.fail(r.due(now), errBroken, now, 0.5)
	r.succeed(r.due(now), announce.Response{Interval: time.Hour}, now, 0)
	if got := r.order(); got != "badc" {
		t.Errorf("order %q, want b first", got)
	}
	if got := dueName(r, now.Add(50*time.Minute)); got != "" {
		t.Errorf("%q is due while b works", got)
	}

	// When b fails, d is still known to work, and is next in its tier when its time comes.
	now = now.Add(2 * time.Hour)
	for _, want := range []string{"b", "a", "d"} {
		if got := dueName(r, now); got != want {
			t.Fatalf("due is %q, want %q", got, want)
		}
		r.fail(r.due(now), errBroken, now, 0.5)
	}
}

// A source announces to every tracker, and takes the word of the first that works on places.
func TestRotaAsksEvery(t *testing.T) {
	r := newTestRota("a", "b", "c")
	r.every = true
	now := noon
	for _, want := range []string{"a", "b", "c"} {
		tr := r.due(now)
		if tr == nil || tr.host != want {
			t.Fatalf("due is %q, want %q", dueName(r, now), want)
		}
		if want == "b" {
			r.fail(tr, errBroken, now, 0.5)
			continue
		}
		r.succeed(tr, announce.Response{Interval: time.Minute}, now, 0)
	}
	leads := func() (s string) {
		for tr := range r.all {
			if r.leads(tr) {
				s += tr.host
			}
		}
		return s
	}
	if got := leads(); got != "a" {
		t.Errorf("%q lead while a works", got)
	}
	if at, ok := r.wake(); !ok || at != noon.Add(time.Second) {
		t.Errorf("wakes after %v, %v, want b's back-off", at.Sub(noon), ok)
	}
	now = noon.Add(time.Minute)
	for _, want := range []string{"a", "b", "c"} {
		if got := dueName(r, now); got != want {
			t.Fatalf("due is %q, want %q", got, want)
		}
		r.fail(r.due(now), errBroken, now, 0.5)
		if want == "a" && leads() != "abc" { // whichever answers first
			t.Errorf("%q lead while only c is known to work", leads())
		}
	}
}

func TestRotaSkipsTheUnusable(t *testing.T) {
	r := newRota([][]target{{parseTarget("wss://x/announce")}, {parseTarget("udp://y:1")}})
	if got := dueName(r, noon); got != "y" {
		t.Errorf("due is %q", got)
	}
	r.fail(r.due(noon), &announce.Failure{Reason: "go away", Never: true}, noon, 0)
	if at, ok := r.wake(); ok {
		t.Errorf("wakes at %v though every tracker is out", at)
	}
	if r.due(noon.Add(1000*time.Hour)) != nil {
		t.Error("a tracker that said never is asked again")
	}
	if at, ok := newRota(nil).wake(); ok {
		t.Errorf("no tracker wakes at %v", at)
	}
}

func TestBackoff(t *testing.T) {
	r := newTestRota("a")
	tr, now := r.tiers[0][0], noon
	var waits []time.Duration
	for range 14 {
		r.fail(tr, errBroken, now, 0.5) // no jitter
		waits = append(waits, tr.next.Sub(now))
		now = tr.next
	}
	s := time.Second
	want := []time.Duration{s, 2 * s, 5 * s, 10 * s, 20 * s, 40 * s, 80 * s, 160 * s, 320 * s, 640 * s, 1280 * s, 1800 * s, 1800 * s, 1800 * s}
	if !slices.Equal(waits, want) {
		t.Errorf("waits %v", waits)
	}
	for _, jitter := range []float64{0, 0.999} {
		r.fail(tr, errBroken, now, jitter)
		if d := tr.next.Sub(now); d < 24*time.Minute || d > 36*time.Minute || d == 30*time.Minute {
			t.Errorf("jitter %v: wait %v", jitter, d)
		}
	}
	r.succeed(tr, announce.Response{}, now, 0)
	r.fail(tr, errBroken, now, 0.5)
	if d := tr.next.Sub(now); d != time.Second {
		t.Errorf("after a success the first wait is %v", d)
	}
}

func TestRefusalSetsTheWait(t *testing.T) {
	for asked, want := range map[time.Duration]time.Duration{
		time.Hour:        time.Hour,
		9999 * time.Hour: maxRefusal,
	} {
		r := newTestRota("a")
		tr := r.tiers[0][0]
		r.fail(tr, fmt.Errorf("wrapped: %w", &announce.Failure{RetryIn: asked}), noon, 0.5)
		r.hurry(noon.Add(time.Minute))
		if d := tr.next.Sub(noon); d != want {
			t.Errorf("retry in %v: waits %v, even in a hurry", asked, d)
		}
	}
}

func TestPace(t *testing.T) {
	s := time.Second
	tests := []struct {
		interval, least time.Duration // what the tracker says
		hurried         int
		next, floor     time.Duration
	}{
		{0, 0, 0, defaultInterval, minInterval},
		{-s, -s, 0, defaultInterval, minInterval},
		{s, 0, 0, minInterval, minInterval},
		{s, s, 0, minInterval, minInterval},
		{1800 * s, 0, 0, 1800 * s, 5 * s},
		{1800 * s, 0, 1, 1800 * s, 10 * s},
		{1800 * s, 0, 3, 1800 * s, 40 * s},
		{1800 * s, 0, 4, 1800 * s, hurryMax},
		{1800 * s, 0, 1 << 40, 1800 * s, hurryMax},
		{1800 * s, 900 * s, 4, 1800 * s, 900 * s},
		{60 * s, 900 * s, 0, 900 * s, 900 * s},
		{9999 * time.Hour, 0, 0, maxInterval, 5 * s},
		{9999 * time.Hour, 9999 * time.Hour, 0, maxInterval, maxInterval},
	}
	for _, tt := range tests {
		next, floor := pace(announce.Response{Interval: tt.interval, MinInterval: tt.least}, tt.hurried)
		if next != tt.next || floor != tt.floor {
			t.Errorf("%v/%v hurried %d: %v, %v; want %v, %v", tt.interval, tt.least, tt.hurried, next, floor, tt.next, tt.floor)
		}
	}
}

func TestHurry(t *testing.T) {
	r := newTestRota("a")
	tr, now := r.tiers[0][0], noon
	reply := announce.Response{Interval: 30 * time.Minute}
	r.succeed(tr, reply, now, 0)
	var waits []time.Duration
	for range 6 { // someone who hurries all the time
		r.hurry(now)
		r.hurry(now)
		waits = append(waits, tr.next.Sub(now))
		now = tr.next
		r.succeed(tr, reply, now, 0)
	}
	s := time.Second
	if want := []time.Duration{5 * s, 10 * s, 20 * s, 40 * s, 60 * s, 60 * s}; !slices.Equal(waits, want) {
		t.Errorf("waits %v, want %v", waits, want)
	}
	now = tr.next
	r.succeed(tr, reply, now, 0)
	r.hurry(now.Add(10 * time.Minute))
	if d := tr.next.Sub(now); d != 10*time.Minute {
		t.Errorf("long after an announce, a hurry waits %v", d)
	}
}

func TestHurryWakesAFailingTracker(t *testing.T) {
	r := newTestRota("a")
	tr := r.tiers[0][0]
	tr.fails = 20
	r.fail(tr, errBroken, noon, 0.5)
	r.hurry(noon.Add(time.Second))
	if d := tr.next.Sub(noon); d != hurryFailed {
		t.Errorf("waits %v", d)
	}
}

func TestCompleteIsDueAtOnce(t *testing.T) {
	r := newTestRota("a", "b")
	tr := r.tiers[0][0]
	r.succeed(tr, announce.Response{Interval: time.Hour, MinInterval: time.Hour}, noon, 0)
	r.complete(noon.Add(time.Second))
	if r.due(noon.Add(time.Second)) != tr {
		t.Error("the tracker in charge is not due")
	}
	r.succeed(tr, announce.Response{Interval: time.Hour}, noon.Add(time.Second), 0)
	tr.completed = true
	r.complete(noon.Add(2 * time.Second))
	if r.due(noon.Add(2*time.Second)) != nil {
		t.Error("told twice")
	}
}

func TestJitterSpreadsAnnounces(t *testing.T) {
	r := newTestRota("a")
	tr := r.tiers[0][0]
	r.succeed(tr, announce.Response{Interval: 100 * time.Second}, noon, 0.5)
	if d := tr.next.Sub(noon); d != 102500*time.Millisecond {
		t.Errorf("next after %v", d)
	}
	r.succeed(tr, announce.Response{Interval: time.Hour}, noon, 1)
	if d := tr.next.Sub(noon); d != time.Hour+30*time.Second {
		t.Errorf("next after %v", d)
	}
}

func TestPatience(t *testing.T) {
	for fails, want := range map[int]time.Duration{-1: 5e9, 0: 5e9, 1: 10e9, 2: 20e9, 3: 30e9, 1000: 30e9} {
		if got := patience(fails); got != want {
			t.Errorf("%d failures: %v, want %v", fails, got, want)
		}
	}
}

func TestParseTarget(t *testing.T) {
	tests := []struct {
		url, host, port, text string
		err                   error
	}{
		{"http://t.example/announce", "t.example", "80", "", nil},
		{"https://t.example/announce", "t.example", "443", "", nil},
		{"http://[::1]:6969/announce?pass=1", "::1", "6969", "", nil},
		{"udp://t.example:6969", "t.example", "6969", "", nil},
		{"udp://10.0.0.1:6969/a%20b?k=v", "10.0.0.1", "6969", "/a%20b?k=v", nil},
		{"udp://t.example/announce", "t.example", "", "/announce", errPort},
		{"udp://t.example:0", "t.example", "0", "", errPort},
		{"http://t.example:99999/", "t.example", "99999", "", errPort},
		{"http:///announce", "", "80", "", errPort},
		{"wss://t.example:1/", "t.example", "1", "", errScheme},
		{"", "", "", "", errScheme},
	}
	for _, tt := range tests {
		got := parseTarget(tt.url)
		if got.host != tt.host || got.port != tt.port || got.text != tt.text || got.err != tt.err {
			t.Errorf("%q: %+v", tt.url, got)
		}
	}
	for _, bad := range []string{"http://a b/", "%", "http://[::1", string(make([]byte, maxURL+1))} {
		if got := parseTarget(bad); got.err == nil {
			t.Errorf("%.20q is accepted: %+v", bad, got)
		}
	}
}

func FuzzParseTarget(f *testing.F) {
	f.Add("http://t.example/announce?x=1")
	f.Add("udp://[::1]:6969/announce")
	f.Fuzz(func(t *testing.T, raw string) {
		got := parseTarget(raw)
		if got.err == nil && (got.host == "" || got.port == "" || got.port == "0" || len(got.text) > maxURL*3) {
			t.Errorf("%q is accepted: %+v", raw, got)
		}
	})
}
