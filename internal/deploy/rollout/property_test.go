package rollout

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"shoal"
)

// TestAlways lets random things happen to random fleets under a controller
// that crashes anywhere, and holds it to what must never happen.
func TestAlways(t *testing.T) {
	runs := 150
	if testing.Short() {
		runs = 40
	}
	ends := map[Phase]int{}
	for seed := range runs {
		c := newChaos(t, uint64(seed))
		c.run(90)
		c.calm()
		ends[c.states[0].Phase]++
		if t.Failed() {
			t.Fatalf("seed %d: %s\n%s", seed, c.states[0].Rollout.Waves, text(t, c.states[0]))
		}
	}
	t.Logf("ends: %v", ends)
	for _, p := range []Phase{Done, RolledBack, Aborted} {
		if ends[p] == 0 {
			t.Errorf("only %d of %d runs ended %s: the chaos does not reach it", ends[p], runs, p)
		}
	}
}

// TestHealthyFleetsFinish: where no host is ill and nobody interferes, every
// rollout brings every host to the release, whatever the reports do.
func TestHealthyFleetsFinish(t *testing.T) {
	for seed := range 60 {
		c := newChaos(t, uint64(seed)+1e6)
		c.peaceful = true
		c.run(60)
		c.calm()
		s := &c.states[0]
		if s.Phase != Done || s.Count(HostLive) != s.size() || s.size() == 0 {
			t.Fatalf("seed %d: %s, %s", seed, summary(s), text(t, *s))
		}
	}
}

// chaos is a fleet to which random things happen.
type chaos struct {
	*fleet
	rng      *rand.Rand
	peaceful bool // hosts are slow, reports come in any order, nothing fails and nobody interferes
	audit    map[uint64]Action
	switched map[string]bool   // ordered to switch, and not called back since
	before   map[string]string // what ran on a host when it was first ordered to switch
	forgiven bool              // somebody resumed: limits start anew
	added    int
}

func newChaos(t *testing.T, seed uint64) *chaos {
	c := &chaos{
		fleet: newFleet(t), rng: rand.New(rand.NewPCG(seed, 7)), audit: map[uint64]Action{},
		switched: map[string]bool{}, before: map[string]string{},
	}
	for range 2 + c.rng.IntN(10) {
		c.addHost()
	}
	waves := []string{
		"100%", "100% parallel=2 max-failed=1", "canary=1 soak=2m, 50% parallel=25%, 100%", "each-dc soak=1m max-failed=1",
		"canary=2 soak=1m approve, 100% max-failed=20%", "10%, 40% soak=3m parallel=1, 100% approve",
	}
	r := shoal.Rollout{ID: 1, App: "web", Version: "2", SwitchDeadline: 5 * time.Minute}
	r.To, _ = shoal.ParseSelector("all")
	r.Waves, _ = shoal.ParseWaves(waves[c.rng.IntN(len(waves))], shoal.Wave{})
	r.Gate = shoal.Gate{Share: shoal.Percent(50 + c.rng.IntN(51)), Deadline: time.Duration(c.rng.IntN(2)) * 10 * time.Minute, Stragglers: shoal.Percent(50)}
	if c.rng.IntN(2) == 0 {
		r.Limits.OnBreach = shoal.BreachRollback
	}
	if c.rng.IntN(3) == 0 {
		r.ActivateAt = c.now.Add(20 * time.Minute)
	}
	if err := r.Check(); err != nil {
		t.Fatal(err)
	}
	c.states = []State{New(r)}
	return c
}

func (c *chaos) addHost() {
	c.added++
	name := fmt.Sprintf("%s-%d", []string{"fra", "nyc", "sin"}[c.rng.IntN(3)], c.added)
	c.add(name, nil)
	a := c.agents[name]
	a.disk, a.live, a.health = []string{"1"}, "1", shoal.Healthy
	c.say(name)
}

func (c *chaos) run(steps int) {
	for range steps {
		c.happen()
		c.controller()
		if c.t.Failed() {
			return
		}
	}
}

// happen is one random event.
func (c *chaos) happen() {
	names := c.names()
	if len(names) == 0 {
		c.addHost()
		return
	}
	host := names[c.rng.IntN(len(names))]
	a := c.agents[host]
	switch n := c.rng.IntN(40); {
	case n < 12:
		for _, h := range names {
			if c.rng.IntN(2) == 0 && !c.agents[h].silent {
				c.obey(h)
			}
		}
	case n < 15:
		c.obey(host)
	case n < 17:
		c.take(host)
		c.say(host)
	case n < 19:
		a.silent = !a.silent && !c.peaceful // whoever is silent for too long has failed
	case n < 24:
		c.now = c.now.Add(time.Duration(c.rng.IntN(90)) * time.Second)
		c.beat()
	case n == 24:
		c.now = c.now.Add(time.Duration(c.rng.IntN(180)-90) * time.Minute)
	case n == 25:
		for range a.old {
			a.hear(c.fleet, host, a.old[c.rng.IntN(len(a.old))])
		}
	case n == 26:
		a.report.Session++
		a.report.Seq = 0
		c.say(host)
	case n == 27:
		c.addHost()
	case c.peaceful:
	default:
		c.trouble(n, host, a)
	}
}

func (c *chaos) trouble(n int, host string, a *agent) {
	switch n {
	case 28, 29:
		a.sick = !a.sick
	case 30:
		delete(c.hosts, host)
		delete(c.agents, host)
	case 31:
		from := c.now.Add(time.Duration(c.rng.IntN(10)) * time.Minute)
		c.freezes = append(c.freezes, shoal.Freeze{From: from, To: from.Add(10 * time.Minute)})
	case 32:
		c.stopped = !c.stopped
	case 33:
		a.health = shoal.Unhealthy
		c.say(host)
	case 34:
		if c.rng.IntN(4) == 0 {
			a.disk, a.live, a.health = nil, "", shoal.HealthUnknown
			c.say(host)
		}
	case 35, 36, 37, 38, 39:
		verbs := []Verb{Hold, Resume, Resume, Approve, Approve, Approve, Retry}
		if c.rng.IntN(12) == 0 {
			verbs = []Verb{Abort, Rollback}
		}
		c.ask(Command{Do: verbs[c.rng.IntN(len(verbs))], Wave: c.states[0].Wave + 1, Host: host})
	}
}

// ask gives a command, which may make no sense and is refused then.
func (c *chaos) ask(cmd Command) {
	next, err := Apply(c.states[0], c.view(1), cmd, c.now)
	if err != nil {
		return
	}
	if cmd.Do == Resume || cmd.Do == Retry {
		c.forgiven = true
	}
	c.store(next)
}

// controller decides, and may die between any two of deciding, storing,
// performing and noting what was performed.
func (c *chaos) controller() {
	if c.rng.IntN(4) == 0 {
		Decide(c.states[0], c.view(1), c.now) // died before it stored: as if it had not been
		return
	}
	next, changed := c.decide(c.states[0])
	if changed || c.rng.IntN(2) == 0 {
		c.store(next)
	}
	if box := c.states[0].Outbox; len(box) > 0 && c.rng.IntN(3) > 0 { // or died before it performed
		performed := box[c.rng.IntN(len(box))].N
		for _, a := range box {
			if was, ok := c.audit[a.N]; ok && !reflect.DeepEqual(was, a) {
				c.t.Errorf("two actions have the number %d: %v and %v", a.N, was, a)
			}
			c.audit[a.N] = a // twice, when it died here the last time
		}
		if c.rng.IntN(2) == 0 { // or died before it noted that
			c.states[0] = c.apply(c.states[0], Command{Do: Delivered, N: performed})
		}
	}
}

// store checks what a step has added before it becomes the state.
func (c *chaos) store(next State) {
	old := c.states[0].Serial
	for _, a := range next.Outbox {
		if a.N > old {
			c.judge(next, a)
		}
	}
	if !c.forgiven {
		c.judgeLimits(next)
	}
	c.states[0] = stored(c.t, next)
}

func (c *chaos) judge(next State, a Action) {
	r := next.Rollout
	switch a.Kind {
	case ActSwitch:
		if c.switched[a.Host] {
			c.t.Errorf("%s is ordered to switch twice", a.Host)
		}
		report := c.hosts[a.Host].Report.App("web")
		if !slices.Contains(report.Staged, r.Version) {
			c.t.Errorf("%s is to switch and has not verified", a.Host)
		}
		if c.stopped || next.Pause != nil && c.states[0].Pause != nil || c.now.Before(r.ActivateAt) && c.states[0].Phase != Switching && c.states[0].Phase != Done {
			c.t.Errorf("%s is to switch against stop, pause or time", a.Host)
		}
		for _, f := range c.freezes {
			if f.Covers(c.now) {
				c.t.Errorf("%s is to switch in a freeze", a.Host)
			}
		}
		if m := next.Member(a.Host); m.Wave <= len(next.Waves) && next.Waves[m.Wave-1].Approve && next.Waves[m.Wave-1].ApprovedBy == "" {
			c.t.Errorf("%s is to switch in a wave that nobody approved", a.Host)
		}
		c.switched[a.Host] = true
		if _, ok := c.before[a.Host]; !ok {
			c.before[a.Host] = report.Live
		}
	case ActRestore:
		if _, ok := c.before[a.Host]; !ok {
			c.t.Errorf("%s is to go back and never switched", a.Host)
		}
		c.switched[a.Host] = false
	case ActRecall, ActStage, ActWithdraw:
		c.switched[a.Host] = false
	}
}

// judgeLimits: never more hosts of a wave are broken than may be, and than
// were in the air when that was noticed.
func (c *chaos) judgeLimits(s State) {
	if s.Phase != Switching {
		return
	}
	for i := range s.Waves {
		w := &s.Waves[i]
		size, broken := 0, 0
		for _, m := range s.Members {
			if m.Wave == i+1 {
				size++
				if m.Broken {
					broken++
				}
			}
		}
		parallel := size
		if !w.Parallel.IsZero() {
			parallel = max(1, w.Parallel.Down(size))
		}
		// What was well and is not any more was not in the air; it is bounded by the wave alone.
		if limit := w.MaxFailed.Or(shoal.Count(0)).Down(size); broken > limit+parallel && !c.unwell() {
			c.t.Errorf("%d hosts of wave %s are broken, %d may be, and %d at a time", broken, w.Title(), limit, parallel)
		}
	}
}

func (c *chaos) unwell() bool {
	for _, a := range c.agents {
		if a.health != shoal.Healthy {
			return true
		}
	}
	return false
}

// rests tells that nothing is left to be done.
func (c *chaos) rests() bool {
	s := &c.states[0]
	return !s.Phase.Active() && s.Phase != Queued && s.Pause == nil && !slices.ContainsFunc(s.Members, func(m Member) bool {
		return !m.Status.settled() || m.Status == HostRestoring || m.Status == HostQuarantined || m.Status == HostLost
	})
}

// calm ends all trouble and sees that the rollout comes to an end.
func (c *chaos) calm() {
	if c.t.Failed() {
		return
	}
	c.stopped = false
	for name, a := range c.agents {
		a.silent, a.sick, a.obeys = false, false, true
		if a.live == "" {
			a.disk, a.live = append(a.disk, "1"), "1"
		}
		a.health = shoal.Healthy
		c.say(name)
	}
	for i := 0; i < 240 && !c.rests(); i++ {
		c.now = c.now.Add(time.Minute)
		c.beat()
		c.ask(Command{Do: Resume})
		c.ask(Command{Do: Approve, Wave: c.states[0].Wave + 1, By: "ann"})
		c.controller()
	}
	s := &c.states[0]
	if s.Phase.Active() || s.Phase == Queued {
		if s.size() > 0 {
			c.t.Errorf("it never ends: %s", Waits(*s, c.view(1), c.now))
		}
		return
	}
	for _, m := range s.Members {
		a := c.agents[m.Host]
		switch m.Status {
		case HostSwitching, HostRestoring, HostStaged, HostStaging, HostQuarantined, HostLost:
			c.t.Errorf("%s is %s %s for ever", m.Host, m.Status, m.Reason)
		case HostLive:
			if a.live != "2" {
				c.t.Errorf("%s is said to be live and runs %q", m.Host, a.live)
			}
		case HostRestored:
			if a.live == "2" {
				c.t.Errorf("%s is said to be back and runs 2", m.Host)
			}
		}
	}
}
