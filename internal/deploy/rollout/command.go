package rollout

import (
	"cmp"
	"fmt"
	"time"
)

// Command is what a person, or the controller, asks of a rollout.
type Command struct {
	Do     Verb   `json:"do"`
	By     string `json:"by,omitempty"`
	Reason string `json:"reason,omitempty"`
	Wave   int    `json:"wave,omitempty"` // Approve: which, 1 is the first
	Host   string `json:"host,omitempty"` // Retry
	N      uint64 `json:"n,omitempty"`    // Delivered: the last action that was performed
}

// Verb is what is asked.
type Verb string

// The verbs. Each can be given twice without harm.
const (
	Approve   Verb = "approve"   // a wave that waits for it
	Hold      Verb = "pause"     // order nothing more; take back what nobody has begun
	Resume    Verb = "resume"    // go on; failures that led to the pause are forgiven
	Activate  Verb = "activate"  // let a stage-only rollout switch
	Retry     Verb = "retry"     // give a failed or drifted host another try
	Abort     Verb = "abort"     // stop; hosts stay as they are
	Rollback  Verb = "rollback"  // hosts that were switched go back
	Delivered Verb = "delivered" // the Outbox was performed up to N
)

// Apply gives the state that follows a command, or says why there is none.
// What the command leads to is decided by the next Decide, but for Abort and
// Rollback, which are decided at once.
func Apply(s State, v View, c Command, now time.Time) (State, error) {
	d := newDecider(s, v, now)
	d.tick() // time up to now passed under the old state
	err := d.apply(c)
	if err != nil {
		return s, fmt.Errorf("rollout %d, %s: %w", s.Rollout.ID, s.Rollout.Name(), err)
	}
	return d.s, nil
}

func (d *decider) apply(c Command) error {
	ended := d.s.Phase == Aborted || d.s.Phase == RolledBack
	switch c.Do {
	case Approve:
		return d.approve(c)
	case Hold:
		if ended {
			return fmt.Errorf("it is %s: there is nothing to pause", d.s.Phase)
		}
		if d.s.Pause == nil {
			d.s.pause(PauseByHand, said(c))
			d.note(NotePause, "paused %s", said(c))
		}
	case Resume:
		return d.resume(c, ended)
	case Activate:
		if ended {
			return fmt.Errorf("it is %s: push the release again", d.s.Phase)
		}
		d.s.Activated = true
	case Retry:
		return d.retry(c)
	case Abort:
		switch d.s.Phase {
		case Aborted:
		case Done, RolledBack:
			return fmt.Errorf("it is %s: there is nothing to abort", d.s.Phase)
		default:
			d.abort("aborted " + said(c))
		}
	case Rollback:
		switch d.s.Phase {
		case RollingBack, RolledBack:
		case Queued, Staging, Ready:
			return fmt.Errorf("it is %s, and no host has switched: abort it instead", d.s.Phase)
		default:
			d.rollback("rolled back " + said(c))
		}
	case Delivered:
		d.delivered(c.N)
	default:
		return fmt.Errorf("%q cannot be asked of a rollout", c.Do)
	}
	return nil
}

func said(c Command) string {
	text := "by " + cmp.Or(c.By, "somebody")
	if c.Reason != "" {
		text += ": " + c.Reason
	}
	return text
}

// approve takes a wave by its number, so that an answer to an old question
// cannot let a later wave go.
func (d *decider) approve(c Command) error {
	if c.Wave < 1 || c.Wave > len(d.s.Waves) {
		return fmt.Errorf("there is no wave %d to approve (of %d, in phase %s)", c.Wave, len(d.s.Waves), d.s.Phase)
	}
	w := &d.s.Waves[c.Wave-1]
	switch {
	case !w.Approve:
		return fmt.Errorf("wave %d, %s, needs no approval", c.Wave, w.Title())
	case w.ApprovedBy != "":
		return nil
	case c.Wave-1 != d.s.Wave || d.s.Phase != Ready && d.s.Phase != Switching:
		return fmt.Errorf("wave %d, %s, is not next: look at what comes before it first", c.Wave, w.Title())
	}
	w.ApprovedBy = cmp.Or(c.By, "somebody")
	return nil
}

func (d *decider) resume(c Command, ended bool) error {
	switch {
	case ended:
		return fmt.Errorf("it is %s: push the release again", d.s.Phase)
	case d.s.Pause == nil:
		return nil
	}
	switch d.s.Pause.Cause {
	case PauseBreach:
		for i := range d.s.Members {
			d.s.Members[i].Broken = false
		}
	case PauseDeadline:
		d.s.PhaseAt = d.s.Clock
	}
	d.s.Pause = nil
	d.note(NoteResume, "resumed %s", said(c))
	return nil
}

func (d *decider) retry(c Command) error {
	m := d.s.Member(c.Host)
	if m == nil {
		return fmt.Errorf("host %q is not in it", c.Host)
	}
	switch {
	case m.Status != HostFailed && m.Status != HostDrifted && m.Status != HostLost:
		return fmt.Errorf("host %s is %s: there is nothing to retry", m.Host, m.Status)
	case d.s.Phase == RollingBack || d.s.Phase == RolledBack:
		if m.Previous == "" {
			return fmt.Errorf("host %s has nothing to go back to", m.Host)
		}
		d.order(m, ActRestore, HostRestoring, "to "+m.Previous)
		if d.s.Phase == RolledBack {
			d.enter(RollingBack)
		}
		return nil
	case d.s.Phase != Switching && d.s.Phase != Done:
		return fmt.Errorf("it is %s: no host is tried again", d.s.Phase)
	}
	m.Broken, m.Judged = false, m.Switch
	if m.Wave != d.s.Wave+1 {
		m.Wave = 0 // its wave has passed
	}
	d.order(m, ActStage, HostStaging, "another try")
	return nil
}

func (d *decider) delivered(n uint64) {
	keep := 0
	for keep < len(d.s.Outbox) && d.s.Outbox[keep].N <= n {
		keep++
	}
	d.s.Outbox = d.s.Outbox[keep:]
	if len(d.s.Outbox) == 0 {
		d.s.Outbox = nil
	}
}
