package agent

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"shoal"
	"shoal/internal/deploy/release"
	"shoal/internal/filelock"
)

// ran is a host on which version 1 of web is live and well.
func ran(t *testing.T, change func(*Options)) *host {
	t.Helper()
	d := newDepot(t, "1", "2", "3")
	h := newHost(t, d, change)
	for n, v := range []string{"1", "2", "3"} {
		h.station.register(t, d, "web", v, uint64(n+1))
	}
	h.station.order(order(1, 1, "1", "1"))
	h.station.await(t, "1 live", runs("1"))
	return h
}

func TestStageAndSwitch(t *testing.T) {
	h := ran(t, nil)
	if got := h.live(); got != "1" {
		t.Errorf("live is %q", got)
	}
	h.station.order(order(2, 1, "2", ""))
	r := h.station.await(t, "2 staged", has("2"))
	if r.Live != "1" || h.live() != "1" {
		t.Errorf("staging made %q live", r.Live)
	}
	h.station.order(order(2, 2, "2", "2"))
	r = h.station.await(t, "2 live", runs("2"))
	if r.Taken != (shoal.OrderID{Rollout: 2, Serial: 2}) || r.Failure != nil {
		t.Errorf("%+v", r)
	}
	// Back moves no byte, and needs no server to have answered.
	h.station.order(back(order(2, 3, "", "1")))
	h.station.await(t, "1 live again", runs("1"))
	h.swarm.mu.Lock()
	seeded := slices.Clone(h.swarm.seeded)
	h.swarm.mu.Unlock()
	if !slices.Equal(seeded, []string{"web@1", "web@2"}) {
		t.Errorf("serves %q", seeded)
	}
	// Of one rollout, an order that comes late changes nothing.
	h.station.order(order(2, 2, "2", "2"))
	h.restart()
	h.station.await(t, "1 live after a restart", runs("1"))
	if h.live() != "1" {
		t.Errorf("live is %q", h.live())
	}
}

// TestTakenBeforeDone looks through all reports: that an order was taken is known
// before anything of it shows.
func TestTakenBeforeDone(t *testing.T) {
	h := ran(t, nil)
	h.station.order(order(2, 7, "2", "2"))
	h.station.await(t, "2 live", runs("2"))
	h.station.mu.Lock()
	defer h.station.mu.Unlock()
	taken := false
	for _, r := range h.station.reports {
		a := r.App("web")
		if a.Taken.Rollout == 2 {
			taken = true
		} else if a.Live == "2" || slices.Contains(a.Staged, "2") {
			t.Fatalf("acts before it has told: %+v", a)
		}
		if taken && a.Live == "1" {
			return // told, and not done yet
		}
	}
	t.Error("no report between the order and the switch")
}

func TestUnhealthyGoesBack(t *testing.T) {
	var log string
	h := ran(t, func(o *Options) {
		log = filepath.Join(t.TempDir(), "log")
		o.Config.Apps = map[string]AppConfig{"web": {
			PreActivate:  script(t, "echo pre $SHOAL_VERSION after $SHOAL_PREVIOUS >> "+log),
			PostActivate: script(t, "echo post $(cat $SHOAL_CURRENT/VERSION) $(cat VERSION) >> "+log),
			Health: Health{Hook: script(t, `echo "port 80 does not answer"; test $SHOAL_VERSION != 2`), Retries: ptr(2), Interval: Duration(time.Millisecond),
				Every: Duration(time.Hour)},
		}}
	})
	h.station.order(order(2, 2, "2", "2"))
	r := h.station.await(t, "a failed health check", failed(shoal.StepHealth, "port 80 does not answer"))
	if r.Live != "1" || h.live() != "1" || r.Failure.Order != (shoal.OrderID{Rollout: 2, Serial: 2}) {
		t.Errorf("live %s (%s), failure %+v", r.Live, h.live(), r.Failure)
	}
	if !strings.Contains(r.Failure.Reason, "tried 3 times") || !strings.Contains(r.Failure.Reason, "1 is live again") {
		t.Errorf("reason %q", r.Failure.Reason)
	}
	h.station.await(t, "1 well again", runs("1"))
	b, err := os.ReadFile(log)
	must(t, err)
	if got, want := string(b), "pre 1 after\npost 1 1\npre 2 after 1\npost 2 2\npost 1 1\n"; got != want {
		t.Errorf("hooks ran\n%s, want\n%s", got, want)
	}
	if kept, err := os.ReadFile(filepath.Join(h.root, hidden, "web.health.log")); err != nil || !strings.Contains(string(kept), "port 80") {
		t.Errorf("kept output %q, %v", kept, err)
	}
	// The same order changes nothing, also after a restart; a newer one does, and
	// one that is carried out takes the failure away.
	h.restart()
	h.station.await(t, "the failure after a restart", failed(shoal.StepHealth, "port 80"))
	h.station.order(order(2, 3, "2", "")) // taken back
	h.station.await(t, "order 3", func(a shoal.AppReport) bool { return a.Taken.Serial == 3 && a.Failure != nil })
	h.station.order(order(3, 1, "3", "3"))
	if r := h.station.await(t, "3 live", runs("3")); r.Failure != nil {
		t.Errorf("failure %+v after success", r.Failure)
	}
}

func TestHooksThatFail(t *testing.T) {
	for name, c := range map[string]struct {
		config AppConfig
		step   shoal.Step
		text   string
	}{
		"pre-activate":  {AppConfig{PreActivate: script(t, "test $SHOAL_VERSION = 1 || { echo still draining; exit 3; }")}, shoal.StepHooks, "pre-activate: " + "/"},
		"post-activate": {AppConfig{PostActivate: script(t, "test $SHOAL_VERSION = 1 || { echo will not reload; exit 1; }")}, shoal.StepActivate, "will not reload; 1 is live again"},
		"too slow": {AppConfig{PostActivate: func() Hook {
			h := script(t, "test $SHOAL_VERSION = 1 || exec sleep 1000")
			h.Timeout = Duration(200 * time.Millisecond)
			return h
		}()}, shoal.StepActivate, "has not ended within 200ms"},
		"not there": {AppConfig{Health: Health{Hook: Hook{Command: []string{"/nonexistent/check"}}, Retries: ptr(0)}}, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if c.step == "" { // it has to fail, also where nothing is to go back to
				d := newDepot(t, "1")
				h := newHost(t, d, func(o *Options) { o.Config.Apps = map[string]AppConfig{"web": c.config} })
				h.station.register(t, d, "web", "1", 1)
				h.station.order(order(1, 1, "1", "1"))
				r := h.station.await(t, "a failure", failed(shoal.StepHealth, "no such file"))
				if !strings.Contains(r.Failure.Reason, "nothing was live before") || r.Health != shoal.Unhealthy || r.Live != "1" {
					t.Errorf("%+v %+v", r, r.Failure)
				}
				return
			}
			h := ran(t, func(o *Options) { o.Config.Apps = map[string]AppConfig{"web": c.config} })
			h.station.order(order(2, 2, "2", "2"))
			h.station.await(t, "a failure", failed(c.step, c.text))
			if h.live() != "1" {
				t.Errorf("live is %q", h.live())
			}
		})
	}
}

// TestBackInTheMiddle ends a health check that would go on for long.
func TestBackInTheMiddle(t *testing.T) {
	h := ran(t, func(o *Options) {
		check := script(t, "test $SHOAL_VERSION = 1 || exec sleep 1000")
		check.Timeout = Duration(time.Hour)
		o.Config.Apps = map[string]AppConfig{"web": {Health: Health{Hook: check, Every: Duration(time.Hour)}}}
	})
	h.station.order(order(2, 2, "2", "2"))
	h.station.await(t, "a check under way", func(a shoal.AppReport) bool {
		return a.Work != nil && a.Work.Step == shoal.StepHealth && a.Live == "2" && a.Health == shoal.HealthUnknown
	})
	h.station.order(back(order(2, 3, "", "1")))
	if r := h.station.await(t, "1 live", runs("1")); r.Failure != nil {
		t.Errorf("failure %+v", r.Failure)
	}
}

// TestSickensLater tells when a release that was well is not any more.
func TestSickensLater(t *testing.T) {
	sick := filepath.Join(t.TempDir(), "sick")
	h := ran(t, func(o *Options) {
		o.Config.Apps = map[string]AppConfig{"web": {Health: Health{Hook: script(t, "test ! -e "+sick), Retries: ptr(0), Every: Duration(10 * time.Millisecond)}}}
	})
	must(t, os.WriteFile(sick, nil, 0o644))
	if r := h.station.await(t, "illness", func(a shoal.AppReport) bool { return a.Health == shoal.Unhealthy }); r.Live != "1" {
		t.Errorf("%+v", r)
	}
	must(t, os.Remove(sick))
	h.station.await(t, "health", runs("1"))
}

// TestNoServer goes on without one: what was ordered is fetched and served, and a
// restart changes nothing.
func TestNoServer(t *testing.T) {
	h := ran(t, nil)
	flow := h.swarm.stall()
	h.station.order(order(2, 2, "2", ""))
	h.station.await(t, "a fetch under way", func(a shoal.AppReport) bool { return a.Work != nil && a.Work.Step == shoal.StepFetch })
	h.station.change(func() { h.station.down = true })
	h.restart()
	flow()
	wait(t, func() bool { _, err := os.Stat(filepath.Join(h.root, "web/releases/2/bin/start")); return err == nil })
	wait(t, func() bool {
		h.swarm.mu.Lock()
		defer h.swarm.mu.Unlock()
		return slices.Contains(h.swarm.seeded, "web@2")
	})
	h.station.change(func() { h.station.down = false })
	h.station.await(t, "2 staged", has("2"))
}

// TestNoSwitchUnheard does not begin a switch of which no server knows that the
// host is at it.
func TestNoSwitchUnheard(t *testing.T) {
	h := ran(t, nil)
	h.station.order(order(2, 2, "2", ""))
	h.station.await(t, "2 staged", has("2"))
	h.station.change(func() {
		h.station.orders.Version++
		h.station.orders.Orders = []shoal.Order{order(2, 3, "2", "2")}
		h.station.session++ // no report is taken any more, but orders come
	})
	wait(t, func() bool { h.station.mu.Lock(); defer h.station.mu.Unlock(); return h.station.hellos > 1 })
	h.station.await(t, "2 live", runs("2")) // it has said hello again
}

func TestHoldAndStop(t *testing.T) {
	h := ran(t, nil)
	flow := h.swarm.stall()
	h.station.order(order(2, 2, "2", ""))
	h.station.await(t, "a fetch", func(a shoal.AppReport) bool { return a.Work != nil && a.Work.Step == shoal.StepFetch })
	state := func() string {
		h.swarm.mu.Lock()
		defer h.swarm.mu.Unlock()
		return fmt.Sprint(h.swarm.held, h.swarm.all)
	}
	h.station.order(hold(order(2, 2, "2", "")))
	wait(t, func() bool { return state() == "[web] false" })
	h.station.change(func() { h.station.orders.Version++; h.station.orders.Stopped = true })
	wait(t, func() bool { return state() == "[web] true" })
	h.restart() // it is still stopped
	wait(t, func() bool { return state() == "[web] true" })
	h.station.change(func() {
		h.station.orders.Version++
		h.station.orders.Stopped = false
		h.station.orders.Orders = []shoal.Order{order(2, 2, "2", "")}
	})
	wait(t, func() bool { return state() == "[] false" })
	flow()
	h.station.await(t, "2 staged", has("2"))
}

func TestRefused(t *testing.T) {
	d := newDepot(t, "1", "2", "3")
	bundle := func(version string, serial uint64, change func(*shoal.Bundle)) shoal.Bundle {
		raw, err := os.ReadFile(filepath.Join(d.dir, version+".torrent"))
		must(t, err)
		b := shoal.Bundle{App: "web", Version: version, Metafile: raw, Serial: serial}
		b.Signature = fmt.Appendf(nil, "signed: %s", shoal.Statement("web", version, d.id(t, version), serial))
		if change != nil {
			change(&b)
		}
		return b
	}
	swapped, err := os.ReadFile(filepath.Join(d.dir, "3.torrent"))
	must(t, err)
	for name, c := range map[string]struct {
		b    shoal.Bundle
		text string
	}{
		"unsigned":         {bundle("2", 9, func(b *shoal.Bundle) { b.Signature = nil }), "not signed"},
		"signed otherwise": {bundle("2", 9, func(b *shoal.Bundle) { b.Signature = []byte("nobody") }), "signature does not hold: forged"},
		"another serial":   {bundle("2", 9, func(b *shoal.Bundle) { b.Serial = 10 }), "signature does not hold"},
		"swapped content":  {bundle("2", 9, func(b *shoal.Bundle) { b.Metafile = swapped }), "signature does not hold"},
		"older":            {bundle("2", 4, nil), "below 5"},
		"other version":    {bundle("3", 9, nil), "instead of web@2"},
		"no metafile":      {bundle("2", 9, func(b *shoal.Bundle) { b.Metafile = []byte("d4:infoe") }), "metafile that the server sent is unusable"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t, d, func(o *Options) { o.Verifier = signed{} })
			h.station.bundles["web@1"] = bundle("1", 5, nil)
			h.station.order(order(1, 1, "1", "1"))
			h.station.await(t, "1 live", runs("1"))
			h.station.change(func() { h.station.bundles["web@2"] = c.b })
			h.station.order(order(2, 2, "2", "2"))
			h.station.await(t, "a refusal", func(a shoal.AppReport) bool {
				return a.Failure != nil && a.Failure.Step == shoal.StepVerify && strings.Contains(a.Failure.Reason, c.text)
			})
			entries, err := os.ReadDir(filepath.Join(h.root, "web/releases"))
			must(t, err)
			if len(entries) != 1 || h.live() != "1" {
				t.Errorf("%v on disk, %s live", entries, h.live())
			}
			// Once the right thing is there, it goes on by itself.
			h.station.change(func() { h.station.bundles["web@2"] = bundle("2", 9, nil) })
			h.station.await(t, "2 live", runs("2"))
		})
	}
}

// signed is a Verifier that knows who signed by a word.
type signed struct{}

func (signed) Verify(message, signature []byte) error {
	if string(signature) != "signed: "+string(message) {
		return errors.New("forged")
	}
	return nil
}

func TestTwoAgents(t *testing.T) {
	h := ran(t, nil)
	_, err := New(h.o)
	if _, held := filelock.HeldBy(err); !held || !strings.Contains(text(err), filepath.Join(h.o.Config.Root, lockFile)) {
		t.Errorf("a second agent: %v", err)
	}
}

func TestFetchFails(t *testing.T) {
	h := ran(t, nil)
	h.swarm.mu.Lock()
	h.swarm.fails = fmt.Errorf("%w: 5 of 7 bytes", ErrNoSpace)
	h.swarm.mu.Unlock()
	h.station.order(order(2, 2, "2", "2"))
	h.station.await(t, "no space", func(a shoal.AppReport) bool {
		return a.Failure != nil && a.Failure.Step == shoal.StepPlan && strings.Contains(a.Failure.Reason, "5 of 7") && a.Work != nil
	})
	h.swarm.mu.Lock()
	h.swarm.fails = nil
	h.swarm.mu.Unlock()
	h.station.await(t, "2 live", runs("2"))
}

// TestGC removes what the policy lets go, and nothing that a rollout wants kept.
func TestGC(t *testing.T) {
	h := ran(t, func(o *Options) { o.Config.Keep, o.Config.Grace = 1, Duration(time.Nanosecond) })
	h.station.change(func() { h.station.orders.Keep = []string{"web@1"} })
	for n, v := range []string{"2", "3"} {
		h.station.order(order(uint64(n+2), 1, v, v))
		h.station.await(t, v, runs(v))
	}
	h.station.await(t, "1, 2 and 3", func(a shoal.AppReport) bool { return slices.Equal(a.Staged, []string{"1", "2", "3"}) })
	h.station.change(func() { h.station.orders.Version++; h.station.orders.Keep = nil })
	h.station.await(t, "2 and 3", func(a shoal.AppReport) bool { return slices.Equal(a.Staged, []string{"2", "3"}) })
}

// TestByHand sees what other hands do.
func TestByHand(t *testing.T) {
	h := ran(t, nil)
	h.station.order(order(2, 2, "2", ""))
	h.station.await(t, "2 staged", has("2"))
	s, err := release.Open(h.root, release.Options{})
	must(t, err)
	a, err := s.App("web")
	must(t, err, s.Close())
	_, err = a.Activate(t.Context(), "2", release.Good, false)
	must(t, err, a.Close())
	h.station.await(t, "2 live", runs("2"))
}

func TestNames(t *testing.T) {
	d := newDepot(t, "1")
	h := newHost(t, d, nil)
	bad := order(1, 1, "1", "1")
	bad.App = "../x"
	h.station.order(bad)
	wait(t, func() bool { h.station.mu.Lock(); defer h.station.mu.Unlock(); return h.station.hellos > 1 }) // it does not listen to such a server
	entries, err := os.ReadDir(filepath.Dir(h.root))
	must(t, err)
	if slices.ContainsFunc(entries, func(e os.DirEntry) bool { return e.Name() == "x" }) {
		t.Error("wrote outside of its root")
	}
}

func wait(t testing.TB, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it does not happen")
		}
	}
}
