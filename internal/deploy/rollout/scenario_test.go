package rollout

import (
	"flag"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"shoal"
)

var update = flag.Bool("update", false, "write what happens into the scenarios; read the difference before you keep it")

// TestScenarios runs testdata/*.txt. docs/rollouts.md explains the language.
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) < 30 {
		t.Fatalf("%d scenarios, %v: is testdata there?", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := play(t, string(text))
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			} else if got != string(text) {
				t.Errorf("%s: what happens differs from what is written:\n%s", file, diff(string(text), got))
			}
		})
	}
}

// diff is the first lines in which two texts differ, with what stands before.
func diff(want, got string) string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	i := 0
	for i < min(len(w), len(g)) && w[i] == g[i] {
		i++
	}
	part := func(lines []string) string {
		return strings.Join(lines[min(i, len(lines)):min(i+6, len(lines))], "\n\t")
	}
	return fmt.Sprintf("after line %d, %q\nwritten:\n\t%s\nhappens:\n\t%s", i, strings.Join(w[max(0, i-1):i], ""), part(w), part(g))
}

// play runs a scenario and gives its text with what really happened in the
// lines that begin with > ! and =.
func play(t *testing.T, text string) string {
	p := &player{fleet: newFleet(t)}
	var out []string
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	for i := 0; i < len(lines); i++ {
		line := lines[i]
		if strings.IndexAny(line, ">!=") == 0 || len(line) > 1 && line[1] == '>' {
			continue // said again by the event before
		}
		out = append(out, line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		var settings []string
		for i+1 < len(lines) && strings.HasPrefix(lines[i+1], "  ") {
			i++
			out = append(out, lines[i])
			settings = append(settings, strings.TrimSpace(lines[i]))
		}
		p.said = nil
		p.event(strings.Fields(line), settings)
		out = append(out, p.said...)
	}
	return strings.Join(out, "\n") + "\n"
}

type player struct {
	*fleet
	said []string
}

func (p *player) event(words, settings []string) {
	verb, args := words[0], words[1:]
	switch verb {
	case "hosts":
		p.addHosts(args)
	case "push":
		p.push(args[0], settings)
	case "wait":
		p.wait(p.duration(args[0]))
		return
	case "jump":
		p.now = p.now.Add(p.duration(args[0]))
		if p.duration(args[0]) > 0 {
			p.beat()
		}
	case "freeze":
		from := p.now.Add(p.duration(args[0]))
		p.freezes = append(p.freezes, shoal.Freeze{From: from, To: from.Add(p.duration(args[1])), Why: strings.Join(args[2:], " ")})
	case "stop-all", "start-all":
		p.stopped = verb == "stop-all"
	case "phase", "status", "why", "order":
		p.look(verb, args)
		return
	case "approve", "pause", "resume", "activate", "retry", "abort", "rollback":
		p.command(verb, args)
	default:
		p.hostEvent(verb, args)
	}
	p.tell(p.settle())
}

// tell writes down what was done: > for the first rollout, 2> for the second.
func (p *player) tell(done [][]Action) {
	for i, actions := range done {
		mark := "> "
		if i > 0 {
			mark = strconv.Itoa(i+1) + "> "
		}
		for _, line := range describe(actions) {
			p.said = append(p.said, mark+line)
		}
	}
}

func (p *player) duration(s string) time.Duration {
	d, err := time.ParseDuration(s)
	if err != nil {
		p.t.Fatal(err)
	}
	return d
}

// wait lets time pass as it does for a controller that is well.
func (p *player) wait(d time.Duration) {
	total := make([][]Action, len(p.states))
	for d > 0 {
		step := min(d, 30*time.Second) // a controller's usual pace
		d -= step
		p.now = p.now.Add(step)
		p.beat()
		for i, actions := range p.settle() {
			total[i] = append(total[i], actions...)
		}
	}
	p.tell(total)
}

// expand reads names, ranges such as fra-1..4, patterns such as fra-*, hosts in
// a status such as @switching, and all.
func (p *player) expand(args []string) (names []string) {
	for _, arg := range args {
		if arg == "all" {
			arg = "*"
		}
		if status, ok := strings.CutPrefix(arg, "@"); ok {
			names = append(names, p.having(status)...)
			continue
		}
		if lo, hi, ok := strings.Cut(arg, ".."); ok {
			dash := strings.LastIndexByte(lo, '-')
			from, _ := strconv.Atoi(lo[dash+1:])
			to, err := strconv.Atoi(hi)
			if err != nil || from == 0 || to < from {
				p.t.Fatalf("no range: %s", arg)
			}
			for n := from; n <= to; n++ {
				names = append(names, lo[:dash+1]+strconv.Itoa(n))
			}
		} else if strings.Contains(arg, "*") {
			for _, name := range p.names() {
				if ok, _ := path.Match(arg, name); ok {
					names = append(names, name)
				}
			}
		} else {
			names = append(names, arg)
		}
	}
	return names
}

// having is the hosts in a status of the newest rollout; with .2 behind it only
// the second of them, by name.
func (p *player) having(status string) (names []string) {
	status, nth, one := strings.Cut(status, ".")
	for _, m := range p.states[len(p.states)-1].Members {
		if string(m.Status) == status {
			names = append(names, m.Host)
		}
	}
	if !one {
		return names
	}
	n, _ := strconv.Atoi(nth)
	if n < 1 || n > len(names) {
		p.t.Fatalf("no %s host number %s", status, nth)
	}
	return names[n-1 : n]
}

func labelsOf(args []string) (map[string]string, []string) {
	labels := map[string]string{}
	rest := slices.DeleteFunc(slices.Clone(args), func(arg string) bool {
		key, value, ok := strings.Cut(arg, "=")
		if ok {
			labels[key] = value
		}
		return ok
	})
	return labels, rest
}

func (p *player) addHosts(args []string) {
	labels, rest := labelsOf(args)
	for _, name := range p.expand(rest) {
		p.add(name, labels)
	}
}

func (p *player) push(name string, settings []string) {
	app, version, err := shoal.ParseRelease(name)
	if err != nil {
		p.t.Fatal(err)
	}
	r := shoal.Rollout{ID: uint64(len(p.states) + 1), App: app, Version: version, Created: p.now}
	r.To, _ = shoal.ParseSelector("all")
	r.Waves, _ = shoal.ParseWaves("100%", shoal.Wave{})
	for _, s := range settings {
		key, value, _ := strings.Cut(s, " ")
		p.setting(&r, key, value)
	}
	if err := r.Check(); err != nil {
		p.t.Fatal(err)
	}
	p.states = append(p.states, New(r))
}

func (p *player) setting(r *shoal.Rollout, key, value string) {
	var err error
	amount := func(a *shoal.Amount) { *a, err = shoal.ParseAmount(value) }
	switch key {
	case "to":
		r.To, err = shoal.ParseSelector(value)
	case "waves":
		r.Waves, err = shoal.ParseWaves(value, shoal.Wave{})
	case "gate":
		amount(&r.Gate.Share)
	case "stage-deadline":
		r.Gate.Deadline = p.duration(value)
	case "stragglers":
		amount(&r.Gate.Stragglers)
	case "switch-deadline":
		r.SwitchDeadline = p.duration(value)
	case "max-failed":
		amount(&r.Limits.Wave)
	case "max-failed-dc":
		amount(&r.Limits.Datacenter)
	case "max-failed-fleet":
		amount(&r.Limits.Fleet)
	case "on-breach":
		r.Limits.OnBreach = shoal.OnBreach(value)
	case "start-in":
		r.StartAt = p.now.Add(p.duration(value))
	case "activate-in":
		r.ActivateAt = p.now.Add(p.duration(value))
	case "stage-only":
		r.StageOnly = true
	case "supersede":
		r.Supersede = true
	case "ignore-freeze":
		r.IgnoreFreeze = true
	default:
		p.t.Fatalf("no setting: %s", key)
	}
	if err != nil {
		p.t.Fatal(err)
	}
}

// command asks something of the newest rollout, or of that with the number
// that stands last behind "of".
func (p *player) command(verb string, args []string) {
	i := len(p.states) - 1
	if n := len(args); n > 1 && args[n-2] == "of" {
		i, _ = strconv.Atoi(args[n-1])
		i, args = i-1, args[:n-2]
	}
	c := Command{Do: Verb(verb), By: "ann"}
	if verb == "approve" {
		c.Wave, _ = strconv.Atoi(args[0])
	} else if verb == "retry" {
		c.Host = args[0]
	}
	for range 2 { // a person who is in doubt asks twice, and so does a client that saw no answer
		next, err := Apply(p.states[i], p.view(p.states[i].Rollout.ID), c, p.now)
		if err != nil && (verb != "retry" || len(p.said) == 0) {
			p.said = append(p.said[:0], "! "+err.Error())
		}
		p.states[i] = next
		if verb == "retry" {
			break
		}
	}
}
