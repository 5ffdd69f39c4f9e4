package rollout

import (
	"cmp"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"shoal"
)

// fleet is the world of a test: hosts with agents that obey like real ones, a
// store, a clock, and a controller that is restarted after every step, because
// every state goes through JSON before it is used again.
type fleet struct {
	t       *testing.T
	now     time.Time
	agents  map[string]*agent
	hosts   map[string]*shoal.Host
	states  []State
	freezes []shoal.Freeze
	stopped bool
}

// agent is what a host really is; its reports tell of it.
type agent struct {
	report      shoal.Report
	silent      bool
	old         []shoal.Report
	disk        []string // versions whole on disk
	live        string
	health      shoal.Health
	taken       shoal.OrderID
	failure     *shoal.Failure
	work        *shoal.Work
	obeys, sick bool // by itself, at every tick; every release makes it sick
}

func newFleet(t *testing.T) *fleet {
	return &fleet{
		t: t, now: time.Date(2026, 11, 25, 3, 0, 0, 0, time.UTC),
		agents: map[string]*agent{}, hosts: map[string]*shoal.Host{},
	}
}

func (f *fleet) add(name string, labels map[string]string) {
	dc, _, _ := strings.Cut(name, "-")
	f.hosts[name] = &shoal.Host{Name: name, Datacenter: dc, Labels: labels}
	f.agents[name] = &agent{report: shoal.Report{Host: name, Session: 1}}
	f.say(name)
}

// say sends what the host is now.
func (f *fleet) say(name string) {
	a := f.agents[name]
	a.old = append(a.old, a.report)
	a.report.Seq++
	a.report.Apps = []shoal.AppReport{{
		App: "web", Live: a.live, Health: a.health, Staged: slices.Clone(a.disk), Taken: a.taken, Failure: a.failure, Work: a.work,
	}}
	a.hear(f, name, a.report)
}

func (a *agent) hear(f *fleet, name string, r shoal.Report) {
	if h := f.hosts[name]; h != nil && !a.silent {
		h.Hear(r, f.now)
	}
}

// beat is a sign of life of every host that is not silent.
func (f *fleet) beat() {
	for name, a := range f.agents {
		if a.obeys && !a.silent {
			f.obey(name)
		} else if !a.silent {
			f.say(name)
		}
	}
}

func (f *fleet) order(host string) (shoal.Order, bool) {
	for _, o := range Orders(f.states, f.stopped) {
		if o.Host == host && o.App == "web" {
			return o, true
		}
	}
	return shoal.Order{}, false
}

// take lets the host know its order.
func (f *fleet) take(host string) (shoal.Order, bool) {
	o, ok := f.order(host)
	if ok {
		f.agents[host].taken = o.ID
	}
	return o, ok
}

// obey does what the host is ordered to, as an agent does.
func (f *fleet) obey(host string) {
	a := f.agents[host]
	o, ok := f.take(host)
	if ok && !o.Hold {
		a.stage(o.Stage)
		if o.Live != "" && o.Live != a.live && (a.failure == nil || a.failure.Order != o.ID) {
			if has := slices.Contains(a.disk, o.Live); !has && !o.Back {
				f.t.Fatalf("%s is to run %s, which it has not verified", host, o.Live)
			} else if !has {
				a.failure = &shoal.Failure{Order: o.ID, Step: shoal.StepActivate, Reason: o.Live + " is not on this host any more"}
			} else if a.sick && !o.Back {
				a.failure = &shoal.Failure{Order: o.ID, Step: shoal.StepHealth, Reason: "exit status 1"}
			} else {
				a.live, a.health, a.failure = o.Live, shoal.Healthy, nil
			}
		}
	}
	f.say(host)
}

func (a *agent) stage(version string) {
	if version != "" && !slices.Contains(a.disk, version) {
		a.disk = append(a.disk, version)
	}
}

func (f *fleet) view(id uint64) View {
	v := View{Freezes: f.freezes, Stopped: f.stopped}
	for _, name := range f.names() {
		v.Hosts = append(v.Hosts, *f.hosts[name])
	}
	for _, s := range f.states {
		if s.Rollout.ID != id {
			v.Others = append(v.Others, s)
		}
	}
	return v
}

func (f *fleet) names() []string {
	var names []string
	for name := range f.hosts {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// settle decides for every rollout until nothing follows from anything, and
// gives what was done, by rollout.
func (f *fleet) settle() (done [][]Action) {
	done = make([][]Action, len(f.states))
	for changed := true; changed; {
		changed = false
		for i := range f.states {
			next, moved := f.decide(f.states[i])
			done[i] = append(done[i], next.Outbox...)
			changed = changed || moved
			if n := len(next.Outbox); n > 0 {
				next = f.apply(next, Command{Do: Delivered, N: next.Outbox[n-1].N})
			}
			f.states[i] = next
		}
	}
	return done
}

// decide is one step of a controller that was just started: the state comes
// out of the store. It has to be idempotent.
func (f *fleet) decide(s State) (State, bool) {
	f.t.Helper()
	v := f.view(s.Rollout.ID)
	next, changed := Decide(s, v, f.now)
	again, more := Decide(next, v, f.now)
	if more || !reflect.DeepEqual(next, again) {
		f.t.Fatalf("deciding twice goes further:\n%s\n%s", text(f.t, next), text(f.t, again))
	}
	if !changed {
		return next, false
	}
	if twin, _ := Decide(stored(f.t, s), v, f.now); !reflect.DeepEqual(stored(f.t, next), stored(f.t, twin)) {
		f.t.Fatalf("a controller that was started anew decides differently:\n%s\n%s", text(f.t, next), text(f.t, twin))
	}
	next = stored(f.t, next)
	return next, changed
}

func (f *fleet) apply(s State, c Command) State {
	f.t.Helper()
	next, err := Apply(s, f.view(s.Rollout.ID), c, f.now)
	if err != nil {
		f.t.Fatal(err)
	}
	return next
}

func text(t *testing.T, s State) string {
	t.Helper()
	b, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// stored is a state as it comes out of a store.
func stored(t *testing.T, s State) State {
	t.Helper()
	var out State
	if err := json.Unmarshal([]byte(text(t, s)), &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// describe prints actions, those to several hosts in a row on one line.
func describe(actions []Action) (lines []string) {
	var last Action
	for _, a := range actions {
		if a.Host != "" && a.Kind == last.Kind && a.Text == last.Text && last.Host != "" {
			lines[len(lines)-1] += " " + a.Host
		} else if a.Host != "" {
			lines = append(lines, fmt.Sprintf("%s%s %s", a.Kind, cmp.Or(map[bool]string{true: " [" + a.Text + "]"}[a.Text != ""], ""), a.Host))
		} else {
			lines = append(lines, fmt.Sprintf("%s: %s", a.Kind, a.Text))
		}
		last = a
	}
	return lines
}
