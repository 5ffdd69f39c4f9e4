package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"shoal"
	"shoal/internal/front/api"
)

// usualWaves are those of a push that names none: one host first, and time to
// look before it goes on.
const usualWaves = "canary=1 soak=1m, 10% soak=1m, 50% soak=1m, 100%"

// rolloutFlags are all fields of a shoal.Rollout as flags.
type rolloutFlags struct {
	to, waves              string
	soak                   time.Duration
	parallel               string
	approve                bool
	gate, stragglers       string
	stageDeadline          time.Duration
	maxWave, maxDC, maxAll string
	onBreach               string
	startAt, activateAt    string
	r                      shoal.Rollout
}

func (f *rolloutFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.r.App, "app", "", "name of the app")
	flags.StringVar(&f.r.Version, "version", "", "version of the release")
	flags.StringVar(&f.to, "to", "", "which hosts: a selector such as 'role=web,dc!=lab', or all")
	flags.StringVar(&f.waves, "waves", usualWaves, "in which steps hosts switch (docs/rollouts.md)")
	flags.DurationVar(&f.soak, "soak", 0, "for waves that do not say: how long all must be well before the next")
	flags.StringVar(&f.parallel, "parallel", "", "for waves that do not say: how many hosts may switch at a time, 5 or 20%")
	flags.BoolVar(&f.approve, "approve", false, "every wave waits until somebody approves it")
	flags.StringVar(&f.gate, "gate", "", "how many hosts have to be staged before the first switches, 950 or 95% (default: all)")
	flags.DurationVar(&f.stageDeadline, "stage-deadline", 0, "how long staging may take; then --stragglers are left behind")
	flags.StringVar(&f.stragglers, "stragglers", "", "how many hosts may be left behind at the deadline (default: none)")
	flags.StringVar(&f.maxWave, "max-failed", "", "failures that are within the limit of a wave that does not say (default 0)")
	flags.StringVar(&f.maxDC, "max-failed-dc", "", "the same for a data centre")
	flags.StringVar(&f.maxAll, "max-failed-fleet", "", "the same for all hosts")
	flags.StringVar(&f.onBreach, "on-breach", string(shoal.BreachPauses), "what too many failures lead to: pause or rollback")
	flags.StringVar(&f.startAt, "start-at", "", "no byte moves before: "+timeForms)
	flags.StringVar(&f.activateAt, "activate-at", "", "no host switches before")
	flags.DurationVar(&f.r.SwitchDeadline, "switch-deadline", shoal.DefaultSwitchDeadline, "how long a host may take to switch and be well")
	flags.BoolVar(&f.r.StageOnly, "stage-only", false, "stage everywhere; hosts switch when shoal activate says so")
	flags.BoolVar(&f.r.Supersede, "supersede", false, "end older rollouts of the app instead of waiting for them")
	flags.BoolVar(&f.r.IgnoreFreeze, "ignore-freeze", false, "switch during a freeze too (operators only)")
}

// wish is the rollout that the flags describe; times are by the server's clock.
func (s *shell) wish(ctx context.Context, c *api.Client, f *rolloutFlags) (shoal.Rollout, error) {
	if _, err := f.rollout(time.Now()); err != nil { // before anybody is asked
		return shoal.Rollout{}, err
	}
	now, err := s.now(ctx, c)
	if err != nil {
		return shoal.Rollout{}, err
	}
	return f.rollout(now)
}

// rollout checks the flags that were given. What the server fills in is missing.
func (f *rolloutFlags) rollout(now time.Time) (shoal.Rollout, error) {
	r := f.r
	if r.App == "" || r.Version == "" || f.to == "" {
		return r, usagef("--app NAME --version VERSION --to SELECTOR", "it must be said what is to run where")
	}
	var err error
	if r.To, err = shoal.ParseSelector(f.to); err != nil {
		return r, usagef("", "--to: %w", err)
	}
	usual := shoal.Wave{Soak: f.soak, Approve: f.approve}
	for _, a := range []struct {
		flag, text string
		to         *shoal.Amount
	}{
		{"parallel", f.parallel, &usual.Parallel}, {"gate", f.gate, &r.Gate.Share}, {"stragglers", f.stragglers, &r.Gate.Stragglers},
		{"max-failed", f.maxWave, &r.Limits.Wave}, {"max-failed-dc", f.maxDC, &r.Limits.Datacenter}, {"max-failed-fleet", f.maxAll, &r.Limits.Fleet},
	} {
		if a.text == "" {
			continue
		}
		if *a.to, err = shoal.ParseAmount(a.text); err != nil {
			return r, usagef("", "--%s: %w", a.flag, err)
		}
	}
	if r.Waves, err = shoal.ParseWaves(f.waves, usual); err != nil {
		return r, usagef("", "--waves: %w", err)
	}
	r.Gate.Deadline, r.Limits.OnBreach = f.stageDeadline, shoal.OnBreach(f.onBreach)
	for _, at := range []struct {
		flag, text string
		to         *time.Time
	}{{"start-at", f.startAt, &r.StartAt}, {"activate-at", f.activateAt, &r.ActivateAt}} {
		if at.text == "" {
			continue
		}
		if *at.to, err = parseTime(at.text, now); err != nil {
			return r, fmt.Errorf("--%s: %w", at.flag, err)
		}
		*at.to = at.to.UTC()
	}
	check := r
	check.ID = 1 // the server counts
	if err := check.Check(); err != nil {
		return r, usagef("", "%w", err)
	}
	return r, nil
}
