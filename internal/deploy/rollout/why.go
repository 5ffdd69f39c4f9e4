package rollout

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"shoal"
)

// Why is the answer to what holds a host up.
type Why struct {
	Host     string `json:"host"`
	What     string `json:"what"`               // holds it up; or that nothing does
	Evidence string `json:"evidence,omitempty"` // what that is known from
	Remedy   string `json:"remedy,omitempty"`   // what to do; empty is wait
}

// String is the answer in one line.
func (w Why) String() string {
	line := w.Host + ": " + w.What
	if w.Evidence != "" {
		line += " (" + w.Evidence + ")"
	}
	if w.Remedy != "" {
		line += "; " + w.Remedy
	}
	return strings.Join(strings.Fields(line), " ")
}

// Explain says what holds a host up in a rollout.
func Explain(s State, v View, host string, now time.Time) Why {
	i := slices.IndexFunc(v.Hosts, func(h shoal.Host) bool { return h.Name == host })
	if i < 0 {
		return Why{host, "no host of that name is in the fleet", "", "check the name, or let its agent join"}
	}
	e := explainer{s: &s, v: v, h: &v.Hosts[i], now: now}
	e.report = e.h.Report.App(s.Rollout.App)
	w := e.explain()
	w.Host = host
	return w
}

type explainer struct {
	s      *State
	v      View
	h      *shoal.Host
	m      *Member
	report shoal.AppReport
	now    time.Time
}

func (e *explainer) explain() Why {
	if e.m = e.s.Member(e.h.Name); e.m == nil {
		return e.stranger()
	}
	switch e.m.Status {
	case HostLive:
		if w := e.report.Work; w != nil && w.Cause.Bars() && e.h.Online(e.now) {
			why := working(w, e.h)
			why.What = "it runs " + e.s.Rollout.Name() + ", and could take no other order: " + why.What
			return why
		}
		return Why{What: "nothing: it runs " + e.s.Rollout.Name()}
	case HostRestored:
		return Why{What: "nothing: it is back on " + orNothing(e.m.Previous), Evidence: e.s.End}
	case HostUntouched:
		return Why{What: fmt.Sprintf("rollout %d was over before it switched", e.s.Rollout.ID), Evidence: e.s.End, Remedy: "push the release again"}
	case HostTaken, HostGone:
		return Why{What: e.m.Reason}
	case HostDrifted:
		return Why{What: e.m.Reason, Evidence: "ran " + e.s.Rollout.Version + " before", Remedy: "shoal retry " + e.h.Name + ", when that is not meant to be"}
	case HostFailed:
		w := Why{What: "failed: " + e.m.Reason, Evidence: "now " + e.runs(), Remedy: "see the output of its hooks, then shoal retry " + e.h.Name}
		if !e.back() {
			w.Remedy += ", or shoal rollback " + e.s.Rollout.App
		}
		return w
	}
	if !e.h.Online(e.now) {
		return e.silent()
	}
	switch e.m.Status {
	case HostStaging, HostQuarantined, HostLost:
		return e.staging()
	case HostStaged:
		return e.staged()
	}
	return e.acting()
}

// back tells that hosts are on their way back, or were.
func (e *explainer) back() bool { return e.s.Phase == RollingBack || e.s.Phase == RolledBack }

// stranger is a host that is not in the rollout.
func (e *explainer) stranger() Why {
	if !e.s.Rollout.To.Matches(*e.h) {
		return Why{What: fmt.Sprintf("rollout %d is not for it", e.s.Rollout.ID), Evidence: "selector " + e.s.Rollout.To.String(), Remedy: "label the host, or push to a wider selector"}
	}
	if e.s.Phase == Queued {
		return e.queued()
	}
	if c := claimsOn(e.s.Rollout, e.v.Others)[e.h.Name]; c.by != 0 {
		return Why{What: fmt.Sprintf("rollout %d of the same app has it", c.by)}
	}
	return Why{What: fmt.Sprintf("rollout %d is %s and takes no more hosts", e.s.Rollout.ID, e.s.Phase), Remedy: "push the release again"}
}

// queued is a host whose rollout waits for its turn: what counts for it is where
// it is in the one that goes first.
func (e *explainer) queued() Why {
	by := aheadOf(e.s, e.v)
	if by == 0 {
		return e.rolloutWaits()
	}
	first := e.v.other(by)
	if first.Member(e.h.Name) == nil {
		return e.rolloutWaits()
	}
	w := behind(by)
	there := Explain(first, e.v, e.h.Name, e.now)
	w.Evidence = there.facts()
	if there.Remedy != "" {
		w.Remedy = there.Remedy + "; or " + strings.TrimPrefix(w.Remedy, "wait, ")
	}
	return w
}

func (e *explainer) silent() Why {
	w := Why{What: "never heard of", Remedy: "see that the host is up and its agent runs: systemctl status shoal-agent"}
	if !e.h.Seen.IsZero() {
		w.What = "silent for " + short(e.now.Sub(e.h.Seen))
		w.Evidence = "last said: " + e.said()
	}
	switch e.m.Status {
	case HostLost:
		w.What += ", since it was to " + map[bool]string{false: "switch", true: "go back"}[e.back()]
	case HostQuarantined:
		w.What += ", and left behind: " + e.m.Reason
	}
	return w
}

// said is the host's last word in short.
func (e *explainer) said() string {
	if w := e.report.Work; w != nil {
		return string(w.Step) + " " + w.Version + progress(w)
	}
	return e.runs()
}

func (e *explainer) runs() string {
	if e.report.Live == "" {
		return "runs nothing"
	}
	return "runs " + e.s.Rollout.App + "@" + e.report.Live
}

func progress(w *shoal.Work) string {
	if w.Total <= 0 {
		return ""
	}
	return fmt.Sprintf(" %d%%", 100*min(w.Done, w.Total)/w.Total)
}

func (e *explainer) staging() Why {
	held := e.s.Pause != nil || e.v.Stopped
	switch w, f := e.report.Work, e.report.Failure; {
	case held:
		return e.rolloutWaits()
	case f != nil && f.Order.Rollout == e.s.Rollout.ID && (w == nil || w.Version != e.s.Rollout.Version || w.Cause == "" && w.Rate == 0):
		facts := []string{size(e.h.Report.Free) + " free"}
		if w != nil && w.Detail != "" {
			facts = append(facts, w.Detail)
		}
		return Why{What: fmt.Sprintf("staging failed at %s: %s", f.Step, f.Reason), Evidence: strings.Join(facts, ", "), Remedy: stageRemedy(f)}
	case w != nil && w.Version == e.s.Rollout.Version:
		return working(w, e.h)
	case w != nil:
		return Why{What: "busy with " + w.Version, Evidence: e.said()}
	case e.report.Taken.Rollout != e.s.Rollout.ID || e.report.Taken.Serial < e.m.Serial:
		return Why{What: "has not taken its order yet", Evidence: fmt.Sprintf("online, knows order %d of rollout %d", e.report.Taken.Serial, e.report.Taken.Rollout), Remedy: "restart its agent if this lasts a minute"}
	}
	return Why{What: cmp.Or(e.m.Reason, "has its order and has not begun"), Evidence: e.said()}
}

// What mends what only an operator of the host can.
const (
	makeRoom  = "make room; it goes on by itself"
	letAccess = "let the agent's user read and write there (owner, mode, a file system that is mounted read-only); it goes on by itself"
)

func stageRemedy(f *shoal.Failure) string {
	switch {
	case f.Cause == shoal.CauseNoSpace:
		return makeRoom
	case f.Cause == shoal.CauseNoAccess:
		return letAccess
	}
	switch f.Step {
	case shoal.StepPlan:
		return "make room, or widen the host's policy; it tries again by itself"
	case shoal.StepVerify:
		return "check disk and signature; it fetches what is damaged again by itself"
	}
	return "it tries again by itself"
}

// working is a host that is at it: what slows it, from what it says itself.
func working(w *shoal.Work, h *shoal.Host) Why {
	what := "nothing holds it up: " + string(w.Step) + " " + w.Version
	remedy := ""
	switch w.Cause {
	case shoal.CauseLimit:
		what, remedy = "held by a rate limit", "raise the limit of the host or link if this is too slow"
	case shoal.CauseDisk:
		what, remedy = "its disk is slow", "see what else uses the disk"
	case shoal.CauseNoSpace:
		what, remedy = fmt.Sprintf("its disk is full, %s free", size(h.Report.Free)), makeRoom
	case shoal.CauseNoAccess:
		what, remedy = "its agent may not read or write where releases go", letAccess
	case shoal.CauseCPU:
		what, remedy = "its processor is the limit", "let it be, or give the agent more CPU"
	case shoal.CauseBusy:
		what, remedy = "yields to the host's own work", "let it be, or start its agent without --yield; shoal ctl stats says there what is busy"
	case shoal.CauseNoPeers:
		what, remedy = "reaches nobody to fetch from", "check the tracker's address and the firewall of the swarm's port"
	case shoal.CauseNoPiece:
		what, remedy = "peers are there, but none has what it lacks", "see that a source or a complete host is up"
	case shoal.CauseUnreachable:
		what, remedy = "others cannot connect to it", "open its swarm port, or announce the right address"
	}
	facts := []string{string(w.Step) + progress(w)}
	if !w.Cause.Bars() && (w.Rate > 0 || w.Step == shoal.StepFetch) {
		facts = append(facts, size(w.Rate)+"/s", plural(w.Peers, "peer", "peers"))
	}
	if left := w.Total - w.Done; !w.Cause.Bars() && w.Rate > 0 && left > 0 {
		facts = append(facts, "about "+short(time.Duration(float64(left)/float64(w.Rate)*float64(time.Second)))+" left")
	}
	if w.For > 0 {
		facts = append(facts, "for "+short(w.For))
	}
	if w.Detail != "" {
		facts = append(facts, w.Detail)
	}
	return Why{What: what, Evidence: strings.Join(facts, ", "), Remedy: remedy}
}

// staged is a host that could switch and was not told to.
func (e *explainer) staged() Why {
	if e.m.Wave == 0 || holds(e.s, e.v, e.now) != "" {
		return e.rolloutWaits()
	}
	if c := claimsOn(e.s.Rollout, e.v.Others)[e.h.Name]; c.by != 0 {
		return Why{What: fmt.Sprintf("staged; rollout %d of the same app has it", c.by)}
	}
	return Why{What: "staged; waits until others of its wave have switched", Evidence: fmt.Sprintf("%d switching", e.s.Count(HostSwitching))}
}

func (e *explainer) acting() Why {
	what, deadline := "is switching", cmp.Or(e.s.Rollout.SwitchDeadline, shoal.DefaultSwitchDeadline)
	if e.m.Status == HostRestoring {
		what = "is going back to " + e.m.Previous
	}
	evidence := fmt.Sprintf("%s of %s", short(e.s.Clock-e.m.Since), short(deadline))
	if w := e.report.Work; w != nil {
		return Why{What: what + ", at its step " + string(w.Step), Evidence: strings.TrimSuffix(evidence+", "+w.Detail, ", ")}
	}
	if e.report.Taken.Rollout != e.s.Rollout.ID || e.report.Taken.Serial < e.m.Serial {
		return Why{What: "has not taken the order to switch yet", Evidence: evidence, Remedy: "restart its agent if this lasts a minute"}
	}
	return Why{What: what, Evidence: evidence}
}

// rolloutWaits is a host that waits because all do.
func (e *explainer) rolloutWaits() Why {
	w := Waits(*e.s, e.v, e.now)
	if e.m != nil && e.m.Status == HostStaged {
		w.What = "staged; " + w.What
	}
	return w
}
