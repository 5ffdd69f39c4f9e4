package shoal

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// Rollout is the wish to change the hosts of a selector to a release: what a
// push asks for, complete with every limit. It never changes; how far it has
// come is the state of package rollout.
type Rollout struct {
	ID      uint64    `json:"id"` // counts up over the whole fleet; a higher one is the newer wish
	App     string    `json:"app"`
	Version string    `json:"version"`
	By      string    `json:"by,omitempty"`
	Created time.Time `json:"created,omitzero"`
	To      Selector  `json:"to"`

	Gate   Gate   `json:"gate,omitzero"`
	Waves  Waves  `json:"waves"`
	Limits Limits `json:"limits,omitzero"`

	StartAt        time.Time     `json:"start_at,omitzero"`         // no byte moves before: the lead time of the notice
	ActivateAt     time.Time     `json:"activate_at,omitzero"`      // no host switches before
	SwitchDeadline time.Duration `json:"switch_deadline,omitempty"` // from the order to a host until it has to be well; 0 is DefaultSwitchDeadline
	StageOnly      bool          `json:"stage_only,omitempty"`      // hold at the gate until somebody says activate
	Supersede      bool          `json:"supersede,omitempty"`       // end older rollouts of the app that are under way, instead of waiting for them
	IgnoreFreeze   bool          `json:"ignore_freeze,omitempty"`
}

// DefaultSwitchDeadline is long enough for hooks and health checks of an app
// that starts slowly, and short enough for a night.
const DefaultSwitchDeadline = 15 * time.Minute

// Gate is what has to be staged before the first host switches.
type Gate struct {
	Share Amount `json:"share,omitzero"` // of the hosts; unset is all of them
	// Deadline is for staging, from its start; 0 is none. Hosts that miss it
	// are quarantined: left behind, and caught up when they are ready. When
	// they are more than Stragglers, the rollout pauses instead.
	Deadline   time.Duration `json:"deadline,omitempty"`
	Stragglers Amount        `json:"stragglers,omitzero"` // unset is none
}

// Limits are the failures that a rollout may spend. Exactly as many as a limit
// says is within it; one more is a breach. Shares are rounded down.
type Limits struct {
	Wave       Amount   `json:"wave,omitzero"`       // for waves that do not say; unset is 0
	Datacenter Amount   `json:"datacenter,omitzero"` // of the rollout's hosts in one data centre; unset is no limit
	Fleet      Amount   `json:"fleet,omitzero"`      // of all hosts of the rollout; unset is no limit
	OnBreach   OnBreach `json:"on_breach,omitempty"`
}

// OnBreach is what a rollout does by itself when too many hosts have failed.
type OnBreach string

// A breach pauses unless told otherwise: a person may know more.
const (
	BreachPauses   OnBreach = "pause"
	BreachRollback OnBreach = "rollback"
)

// Freeze is a time in which no host may switch to another release. Bytes may
// still move, and going back stays possible.
type Freeze struct {
	From time.Time `json:"from"`
	To   time.Time `json:"to"` // not included
	Why  string    `json:"why,omitempty"`
}

// Covers tells whether the freeze holds at a time.
func (f Freeze) Covers(t time.Time) bool { return !t.Before(f.From) && t.Before(f.To) }

// Check tells everything that is wrong with the wish; nil when nothing is.
func (r Rollout) Check() error {
	errs := []error{CheckApp(r.App), CheckVersion(r.Version), r.Waves.Check()}
	if r.ID == 0 {
		errs = append(errs, errors.New("the rollout has no number"))
	}
	if r.To.IsZero() {
		errs = append(errs, errors.New("the rollout says not to which hosts"))
	}
	if g := r.Gate.Share; !g.IsZero() && g.n == 0 {
		errs = append(errs, errors.New("a gate of 0 would switch hosts before anything is verified"))
	}
	for name, d := range map[string]time.Duration{"staging": r.Gate.Deadline, "switching": r.SwitchDeadline} {
		if d < 0 {
			errs = append(errs, fmt.Errorf("the deadline for %s, %s, is negative", name, d))
		}
	}
	if b := r.Limits.OnBreach; b != "" && b != BreachPauses && b != BreachRollback {
		errs = append(errs, fmt.Errorf("on a breach %q: it can be %q or %q", b, BreachPauses, BreachRollback))
	}
	if !r.ActivateAt.IsZero() && r.ActivateAt.Before(r.StartAt) {
		errs = append(errs, errors.New("hosts would switch before the first byte moves: activate-at is before start-at"))
	}
	return errors.Join(slices.DeleteFunc(errs, func(e error) bool { return e == nil })...)
}

// Name is the name of the release that it brings, app@version.
func (r Rollout) Name() string { return r.App + "@" + r.Version }
