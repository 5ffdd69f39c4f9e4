package cli

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"shoal"
	"shoal/internal/front/api"
)

// commandVerbs are the verbs that ask something of one rollout.
func (s *shell) commandVerbs() []*cobra.Command {
	verb := func(do, short, long string) *cobra.Command {
		why := ""
		cmd := &cobra.Command{
			Use: do + " ROLLOUT|APP", Short: short, Long: long + "\n\nROLLOUT is its number; with APP it is the newest rollout of the app.",
			Example: "  shoal " + do + " web --reason 'disk alarms in fra'\n  shoal " + do + " 7",
			Args:    exactArgs(1, "the number of a rollout, or an app"),
		}
		cmd.Flags().StringVar(&why, "reason", "", "why, for those who look later")
		return s.withFleet(cmd, func(ctx context.Context, c *api.Client, args []string) error {
			return s.ask(ctx, c, args[0], shoal.Command{Do: do, Reason: why})
		})
	}
	return []*cobra.Command{
		verb("pause", "Let a rollout order nothing more",
			"Orders nothing more, and takes back what nobody has begun. What is in the middle of a switch finishes it."),
		verb("abort", "End a rollout; hosts stay as they are",
			"Ends a rollout where it is. `shoal rollback` takes those hosts back that have switched."),
		verb("rollback", "Take the hosts of a rollout back to what they ran before",
			"Takes every host that was ordered to switch back to what it ran before. No byte moves."),
		verb("activate", "Let a rollout switch that was to stage only", "Lets a rollout go on that was pushed with --stage-only."),
		s.approveCommand(), s.resumeCommand(), s.retryCommand(),
	}
}

// ask gives a command to a rollout, and prints what it looks like then.
func (s *shell) ask(ctx context.Context, c *api.Client, which string, cmd shoal.Command) error {
	p, err := rolloutOf(ctx, c, which)
	if err == nil {
		p, err = c.Command(ctx, p.Rollout.ID, cmd)
	}
	if err != nil {
		return err
	}
	s.printRollout(p)
	return nil
}

func (s *shell) approveCommand() *cobra.Command {
	wave, why := 0, ""
	cmd := &cobra.Command{
		Use: "approve ROLLOUT|APP --wave N", Short: "Let a wave begin that waits for approval",
		Long: `Lets a wave begin that waits for it. The wave is named by its number, as status
shows it, so that an answer to an old question lets no later wave go.`,
		Example: "  shoal approve web --wave 2",
		Args:    exactArgs(1, "the number of a rollout, or an app"),
	}
	cmd.Flags().IntVar(&wave, "wave", 0, "number of the wave; the first is 1")
	cmd.Flags().StringVar(&why, "reason", "", "why, for those who look later")
	return s.withFleet(cmd, func(ctx context.Context, c *api.Client, args []string) error {
		if wave < 1 {
			return usagef("`shoal status "+args[0]+"` shows which one waits", "--wave says which wave is approved")
		}
		return s.ask(ctx, c, args[0], shoal.Command{Do: "approve", Wave: wave, Reason: why})
	})
}

func (s *shell) resumeCommand() *cobra.Command {
	why := ""
	cmd := &cobra.Command{
		Use: "resume [ROLLOUT|APP]", Short: "Let a paused rollout, or the whole fleet, go on",
		Long: `Lets a paused rollout go on; the failures that led to the pause are forgiven.
Without an argument it ends what stop-all began, and every rollout goes on where
it was.`,
		Example: "  shoal resume web\n  shoal resume",
		Args:    atMostOne,
	}
	cmd.Flags().StringVar(&why, "reason", "", "why, for those who look later")
	return s.withFleet(cmd, func(ctx context.Context, c *api.Client, args []string) error {
		if len(args) == 0 {
			return s.brake(ctx, c, c.Start(ctx))
		}
		return s.ask(ctx, c, args[0], shoal.Command{Do: "resume", Reason: why})
	})
}

func atMostOne(cmd *cobra.Command, args []string) error {
	if len(args) > 1 {
		return usagef("`"+cmd.CommandPath()+" --help` shows examples", "%s takes one argument at most, got %d", cmd.Name(), len(args))
	}
	return nil
}

func (s *shell) retryCommand() *cobra.Command {
	id := uint64(0)
	cmd := &cobra.Command{
		Use: "retry HOST", Short: "Give a host another try that has failed or drifted", Example: "  shoal retry web-17",
		Args: exactArgs(1, "a host"),
	}
	cmd.Flags().Uint64Var(&id, "rollout", 0, "number of the rollout (default: the newest one that the host is in)")
	return s.withFleet(cmd, func(ctx context.Context, c *api.Client, args []string) error {
		if id == 0 {
			var err error
			if id, err = newestWith(ctx, c, args[0]); err != nil {
				return err
			}
		}
		p, err := c.Command(ctx, id, shoal.Command{Do: "retry", Host: args[0]})
		if err == nil {
			s.printRollout(p)
		}
		return err
	})
}

// newestWith is the newest rollout that a host can be tried again in.
func newestWith(ctx context.Context, c *api.Client, host string) (uint64, error) {
	list, err := c.Rollouts(ctx, shoal.RolloutQuery{Over: true})
	if err != nil {
		return 0, err
	}
	for _, p := range list[:min(len(list), 50)] {
		if p, err = c.Rollout(ctx, p.Rollout.ID); err != nil {
			return 0, err
		}
		i := slices.IndexFunc(p.Members, func(m shoal.MemberStatus) bool { return m.Host == host })
		if i >= 0 && slices.Contains([]string{"failed", "drifted", "lost"}, p.Members[i].Status) {
			return p.Rollout.ID, nil
		}
	}
	return 0, coded{fmt.Errorf("no rollout has host %s as failed, drifted or lost", host), CodeNotFound, "`shoal why " + host + "` says how it is"}
}

// brakeVerbs hold the whole fleet.
func (s *shell) brakeVerbs() []*cobra.Command {
	why := ""
	stop := &cobra.Command{
		Use: "stop-all", Short: "Stop all transfers and switches of the fleet",
		Long: `Stops every transfer of content and every switch in the fleet, within seconds.
What is in the middle of a switch finishes it; the way back stays open.`,
		Example: "  shoal stop-all --reason 'backbone down'\n  shoal start-all", Args: noArgs,
	}
	stop.Flags().StringVar(&why, "reason", "", "why, for those who look later")
	start := &cobra.Command{Use: "start-all", Short: "End what stop-all began", Example: "  shoal start-all", Args: noArgs}
	return []*cobra.Command{
		s.withFleet(stop, func(ctx context.Context, c *api.Client, _ []string) error { return s.brake(ctx, c, c.Stop(ctx, why)) }),
		s.withFleet(start, func(ctx context.Context, c *api.Client, _ []string) error { return s.brake(ctx, c, c.Start(ctx)) }),
		s.freezeCommand(),
	}
}

// brake prints what holds after the brakes were touched.
func (s *shell) brake(ctx context.Context, c *api.Client, err error) error {
	if err != nil {
		return err
	}
	now, err := c.Situation(ctx)
	if err == nil {
		s.printSituation(now)
	}
	return err
}

func (s *shell) freezeCommand() *cobra.Command {
	from, to, length, why, thaw := "", "", time.Duration(0), "", ""
	cmd := &cobra.Command{
		Use: "freeze", Short: "Name a time in which no host switches",
		Long: `Names a time in which no host may switch to another release. Bytes may still
move, and going back stays possible. Without a flag it lists the freezes.`,
		Example: `  shoal freeze --from '2026-11-27 00:00' --for 48h --why 'sales days'
  shoal freeze --for 2h --why 'incident'
  shoal freeze --remove 2026-11-27T00:00:00Z`,
		Args: noArgs,
	}
	flags := cmd.Flags()
	flags.StringVar(&from, "from", "", "when it begins (default: now); "+timeForms)
	flags.StringVar(&to, "until", "", "when it ends")
	flags.DurationVar(&length, "for", 0, "how long it lasts, instead of --until")
	flags.StringVar(&why, "why", "", "why")
	flags.StringVar(&thaw, "remove", "", "remove the freeze that begins then")
	cmd.MarkFlagsMutuallyExclusive("until", "for")
	return s.withFleet(cmd, func(ctx context.Context, c *api.Client, _ []string) error {
		now, err := s.now(ctx, c)
		if err != nil {
			return err
		}
		if thaw != "" {
			at, err := parseTime(thaw, now)
			if err != nil {
				return err
			}
			return s.brake(ctx, c, c.Thaw(ctx, at))
		}
		if from == "" && to == "" && length == 0 {
			return s.brake(ctx, c, nil)
		}
		begin, err := parseTime(cmp.Or(from, "+0s"), now)
		if err != nil {
			return err
		}
		end := begin.Add(length)
		if to != "" {
			if end, err = parseTime(to, now); err != nil {
				return err
			}
		}
		if !end.After(begin) {
			return usagef("--for 2h, or --until and a time", "the freeze would end at %s, and not after its begin", end.Format(time.RFC3339))
		}
		return s.brake(ctx, c, c.Freeze(ctx, shoal.Freeze{From: begin.UTC(), To: end.UTC(), Why: why}))
	})
}
