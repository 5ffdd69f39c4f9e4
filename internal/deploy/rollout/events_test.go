package rollout

import (
	"fmt"
	"strings"

	"shoal"
)

// hostEvent is something that happens to hosts, in the scenario language.
func (p *player) hostEvent(verb string, args []string) {
	reason := ""
	if i := strings.Index(strings.Join(args, " "), ": "); i >= 0 {
		all := strings.Join(args, " ")
		args, reason = strings.Fields(all[:i]), all[i+2:]
	}
	var version string
	labels, args := labelsOf(args)
	if verb == "runs" || verb == "staged" && len(args) > 0 && strings.Contains(args[0], "@") {
		version, args = strings.TrimPrefix(args[0], "web@"), args[1:]
	}
	for _, host := range p.expand(args) {
		a := p.agents[host]
		if a == nil {
			p.t.Fatalf("%s: no host %q", verb, host)
		}
		p.happens(verb, host, a, version, reason, labels)
	}
}

func (p *player) happens(verb, host string, a *agent, version, reason string, labels map[string]string) {
	switch verb {
	case "runs": // by whatever hand: an operator, an image, an earlier rollout
		a.stage(version)
		a.live, a.health = version, shoal.Healthy
	case "staged":
		o, _ := p.take(host)
		a.stage(o.Stage)
		a.failure, a.work = nil, nil
	case "takes":
		p.take(host)
	case "obeys":
		p.obey(host)
		return
	case "auto":
		a.obeys = true
	case "sickens": // every switch of it fails
		a.sick = true
	case "recovers":
		a.sick = false
	case "fails":
		o, _ := p.take(host)
		a.failure = &shoal.Failure{Order: o.ID, Step: shoal.StepHealth, Reason: reason}
		if step, text, ok := strings.Cut(reason, " - "); ok {
			a.failure.Step, a.failure.Reason = shoal.Step(step), text
		}
	case "unwell":
		a.health = shoal.Unhealthy
	case "silent":
		a.silent = true
		return
	case "back":
		a.silent = false
	case "reconnects": // its agent was started anew
		a.report.Session++
		a.report.Seq = 0
	case "wiped":
		*a = agent{report: shoal.Report{Host: host, Session: a.report.Session + 1}, old: a.old, obeys: a.obeys}
	case "loses": // the copy on disk
		a.disk = nil
	case "again": // every report that it ever sent comes once more, newest first
		for i := len(a.old) - 1; i >= 0; i-- {
			a.hear(p.fleet, host, a.old[i])
		}
		a.hear(p.fleet, host, a.report)
		return
	case "leaves":
		delete(p.hosts, host)
		delete(p.agents, host)
		return
	case "label":
		p.hosts[host].Labels = labels
		return
	default:
		p.t.Fatalf("no event: %s", verb)
	}
	p.say(host)
}

// look writes down how things are.
func (p *player) look(verb string, args []string) {
	s := p.states[len(p.states)-1]
	if n := len(args); n > 1 && args[n-2] == "of" {
		var i int
		if _, err := fmt.Sscan(args[n-1], &i); err != nil {
			p.t.Fatal(err)
		}
		s, args = p.states[i-1], args[:n-2]
	}
	switch verb {
	case "phase":
		w := Waits(s, p.view(s.Rollout.ID), p.now)
		w.Host = string(s.Phase)
		p.said = append(p.said, "= "+w.String())
	case "status":
		for _, host := range p.expand(args) {
			line := "= " + host + " "
			if m := s.Member(host); m == nil {
				line += "is no member"
			} else {
				line += strings.TrimSpace(string(m.Status) + " " + m.Reason)
			}
			p.said = append(p.said, line)
		}
	case "why":
		for _, host := range p.expand(args) {
			p.said = append(p.said, "= "+Explain(s, p.view(s.Rollout.ID), host, p.now).String())
		}
	case "order":
		for _, host := range p.expand(args) {
			o, ok := p.order(host)
			line := fmt.Sprintf("= %s nothing", host)
			if ok {
				line = fmt.Sprintf("= %s of rollout %d: stage %q live %q back %v hold %v", host, o.ID.Rollout, o.Stage, o.Live, o.Back, o.Hold)
			}
			p.said = append(p.said, line)
		}
	}
}
