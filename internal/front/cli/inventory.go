package cli

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"shoal"
	"shoal/internal/front/api"
)

func (s *shell) hostsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "hosts [SELECTOR]", Short: "List the hosts of the fleet",
		Long: `Lists hosts with their place, what they run and when they were last heard of.
hosts forget HOST removes one: its certificate is refused from then on.`,
		Example: "  shoal hosts\n  shoal hosts 'role=web,dc!=lab'\n  shoal hosts forget web-17", Args: atMostOne,
	}
	cmd = s.withFleet(cmd, func(ctx context.Context, c *api.Client, args []string) error {
		to, err := shoal.ParseSelector(cmp.Or(strings.Join(args, ""), shoal.All))
		if err != nil {
			return usagef("", "%w", err)
		}
		list, err := c.Hosts(ctx, to)
		if err != nil {
			return err
		}
		if len(list) == 0 && len(args) == 1 {
			fmt.Fprintf(s.screen, "no host matches %s; %s\n", to, adviceToLook)
			return nil
		}
		now, err := s.now(ctx, c)
		if err == nil {
			s.printHosts(list, now)
		}
		return err
	})
	forget := &cobra.Command{Use: "forget HOST", Short: "Remove a host; its certificate is refused from now on", Example: "  shoal hosts forget web-17", Args: exactArgs(1, "a host")}
	cmd.AddCommand(s.withFleet(forget, func(ctx context.Context, c *api.Client, args []string) error {
		err := c.Forget(ctx, args[0])
		if err == nil {
			s.done("forgotten", args[0])
		}
		return noHost(err)
	}))
	return cmd
}

// adviceToLook is for whoever selects no host.
const adviceToLook = "`shoal hosts` shows all, with their labels; host=NAME is the one of that name"

// done says that something was done to something.
func (s *shell) done(event, what string) {
	if s.json {
		s.event(event, what)
	}
	s.printf("%s: %s\n", event, printable(what))
}

func (s *shell) printHosts(list []shoal.Host, now time.Time) {
	if s.json {
		for _, h := range list {
			s.event("host", h)
		}
		return
	}
	s.table(func(w io.Writer) {
		fmt.Fprintf(w, "host\tdc\track\tseen\tfree\truns\t\n")
		for _, h := range list {
			seen := "never"
			if !h.Seen.IsZero() {
				seen = now.Sub(h.Seen).Round(time.Second).String() + " ago"
			}
			if h.Online(now) {
				seen = "online"
			}
			notes := labelsText(h.Labels)
			if h.Skew != 0 {
				notes = strings.TrimPrefix(notes+"  clock "+shoal.SkewText(h.Skew), "  ")
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", h.Name, h.Datacenter, cmp.Or(h.Rack, "-"), seen, bytesText(h.Report.Free), runsText(h.Report), notes)
		}
	})
}

func runsText(r shoal.Report) string {
	var parts []string
	for _, a := range r.Apps {
		text := a.App + "@" + cmp.Or(a.Live, "-")
		if a.Health == shoal.Unhealthy {
			text += " (unwell)"
		}
		switch f, w := a.Failure, a.Work; {
		case w != nil && w.Cause.Bars():
			text += fmt.Sprintf(" (%s: %s)", w.Step, w.Cause)
		case f != nil:
			text += fmt.Sprintf(" (%s failed%s)", f.Step, colon(string(f.Cause)))
		}
		parts = append(parts, text)
	}
	return cmp.Or(strings.Join(parts, ", "), "-")
}

func labelsText(labels map[string]string) string {
	var parts []string
	for k, v := range labels {
		parts = append(parts, k+"="+v)
	}
	slices.Sort(parts)
	return strings.Join(parts, ",")
}

func (s *shell) releasesCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "releases [APP]", Short: "List the releases that the fleet knows", Example: "  shoal releases web", Args: atMostOne}
	return s.withFleet(cmd, func(ctx context.Context, c *api.Client, args []string) error {
		list, err := c.Releases(ctx, strings.Join(args, ""))
		if err != nil {
			return err
		}
		for _, r := range list {
			if s.json {
				s.event("release", r)
			}
		}
		s.table(func(w io.Writer) {
			fmt.Fprintf(w, "release\tsize\tfiles\tregistered\tby\tcontent\n")
			for _, r := range list {
				fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%s\t%.12s\n", r.Name(), bytesText(r.Bytes), r.Files, dateText(r.Created), printable(cmp.Or(r.By, "-")), r.InfoHash)
			}
		})
		return nil
	})
}

func (s *shell) whyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "why HOST", Short: "Say what holds a host up, how that is known, and what to do",
		Example: "  shoal why web-17", Args: exactArgs(1, "a host"),
	}
	return s.withFleet(cmd, func(ctx context.Context, c *api.Client, args []string) error {
		list, err := c.Why(ctx, args[0])
		if err != nil {
			return noHost(err)
		}
		for _, w := range list {
			w.Host = cmp.Or(w.Host, args[0])
			if s.json {
				s.event("why", w)
			}
			s.printf("%s\n", whyText(w))
		}
		return nil
	})
}

func (s *shell) auditCommand() *cobra.Command {
	var q shoal.AuditQuery
	last := 0
	cmd := &cobra.Command{
		Use: "audit", Short: "Show who did what", Example: "  shoal audit --rollout 7\n  shoal audit --after 1200 --json", Args: noArgs,
	}
	cmd.Flags().Uint64Var(&q.After, "after", 0, "only entries behind this number")
	cmd.Flags().Uint64Var(&q.Rollout, "rollout", 0, "only entries of this rollout")
	cmd.Flags().IntVar(&last, "last", 0, "only so many, the newest ones (0: all)")
	return s.withFleet(cmd, func(ctx context.Context, c *api.Client, _ []string) error {
		if last < 0 {
			return usagef("", "--last %d is negative", last)
		}
		var kept []shoal.AuditEntry
		for {
			part, err := c.Audit(ctx, q)
			if err != nil {
				return err
			}
			if len(part) == 0 {
				if q.Rollout > 0 && q.After == 0 {
					_, err := rolloutOf(ctx, c, strconv.FormatUint(q.Rollout, 10)) // it may be no number of one
					return err
				}
				break
			}
			q.After = part[len(part)-1].N
			if last == 0 {
				s.printAudit(part)
				continue
			}
			if kept = append(kept, part...); len(kept) > last {
				kept = slices.Clone(kept[len(kept)-last:])
			}
		}
		s.printAudit(kept)
		return nil
	})
}

func (s *shell) printAudit(list []shoal.AuditEntry) {
	for _, e := range list {
		if s.json {
			s.event("audit", e)
			continue
		}
		rollout := ""
		if e.Rollout > 0 {
			rollout = fmt.Sprintf(" (rollout %d)", e.Rollout)
		}
		s.printf("%6d %s %s: %s %s%s%s\n", e.N, dateText(e.At), printable(e.By), e.Do, printable(e.What), rollout, colon(e.Text))
	}
}
