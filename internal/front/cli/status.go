package cli

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"shoal"
	"shoal/internal/front/api"
)

func (s *shell) statusCommand() *cobra.Command {
	watch, all := false, false
	cmd := &cobra.Command{
		Use: "status [ROLLOUT|APP]", Short: "Show what the fleet is doing",
		Long: `Shows what holds for the whole fleet and the rollouts that are under way; with an
argument, one rollout and its hosts.`,
		Example: "  shoal status\n  shoal status -w web\n  shoal status 7 --json", Args: atMostOne,
	}
	cmd.Flags().BoolVarP(&watch, "watch", "w", false, "go on showing it; one rollout until it is over")
	cmd.Flags().BoolVarP(&all, "all", "a", false, "also rollouts that are over")
	return s.withFleet(cmd, func(ctx context.Context, c *api.Client, args []string) error {
		if len(args) == 1 {
			p, err := rolloutOf(ctx, c, args[0])
			switch {
			case err != nil:
				return err
			case watch:
				return s.follow(ctx, c, p.Rollout.ID, false)
			}
			s.printRollout(p)
			s.printf("%s", scatteredText(ctx, c, []shoal.Progress{p}))
			s.printMembers(p.Members)
			return nil
		}
		return s.overview(ctx, c, all, watch)
	})
}

// overview shows the fleet, once or until ctx ends.
func (s *shell) overview(ctx context.Context, c *api.Client, all, watch bool) error {
	v := &view{s: s, live: watch && !s.json && s.out.isTerminal()}
	for {
		now, err := c.Situation(ctx)
		if err != nil {
			return err
		}
		list, err := c.Rollouts(ctx, shoal.RolloutQuery{Over: all})
		if err != nil {
			return err
		}
		if s.json {
			s.event("situation", now)
			for _, p := range list {
				s.event("rollout", p)
			}
		} else {
			v.say(overviewText(now, list)+scatteredText(ctx, c, list), nil)
		}
		if !watch {
			return nil
		}
		select {
		case <-time.After(followEvery):
		case <-ctx.Done():
			return nil
		}
	}
}

func overviewText(now shoal.Situation, list []shoal.Progress) string {
	text := situationText(now)
	for _, p := range list {
		text += rolloutText(p)
	}
	if len(list) == 0 {
		text += "no rollout is under way\n"
	}
	return text
}

// scatteredText names what is being staged though no server has all of it: hosts
// can only wait while nobody serves it. It is a remark: that it cannot be asked for is no error.
func scatteredText(ctx context.Context, c *api.Client, list []shoal.Progress) string {
	text, said := "", map[string]bool{}
	for _, p := range list {
		r := p.Rollout
		if p.Phase != "staging" || said[r.Name()] {
			continue
		}
		said[r.Name()] = true
		if there, err := find(ctx, c, r.App, r.Version); err == nil && there.App != "" && !there.Held {
			text += fmt.Sprintf("no server has all of %s yet: let the push go on that serves it; if that has ended, the same push serves it again\n", r.Name())
		}
	}
	return text
}

// event puts the name of a document before its fields.
func (s *shell) event(name string, doc any) {
	s.print(struct {
		Event string `json:"event"`
		Of    any    `json:"of"`
	}{name, doc})
}

func (s *shell) printSituation(n shoal.Situation) {
	if s.json {
		s.event("situation", n)
	}
	s.printf("%s", situationText(n))
}

func situationText(n shoal.Situation) string {
	var b strings.Builder
	off := ""
	if n.ClockOff > 0 {
		off = fmt.Sprintf(", %d with a clock that is off", n.ClockOff)
	}
	fmt.Fprintf(&b, "%s, %d online%s%s\n", countText(n.Hosts, "host"), n.Online, off, leaderText(n.Leader))
	if n.Stopped {
		fmt.Fprintf(&b, "STOPPED by %s%s: no content moves and no host switches; `shoal start-all` ends it\n", cmp.Or(n.StoppedBy, "somebody"), colon(n.Reason))
	}
	for _, f := range n.Freezes {
		mark := "freeze"
		if f.Covers(n.Now) {
			mark = "FREEZE"
		}
		fmt.Fprintf(&b, "%s from %s until %s%s\n", mark, dateText(f.From), dateText(f.To), colon(f.Why))
	}
	return b.String()
}

func leaderText(name string) string {
	if name == "" {
		return ", no server runs rollouts"
	}
	return ", rollouts are run by " + printable(name)
}

func colon(s string) string {
	if s == "" {
		return ""
	}
	return ": " + printable(s)
}

func (s *shell) printRollout(p shoal.Progress) {
	if s.json {
		s.event("rollout", p)
	}
	s.printf("%s", rolloutText(p))
}

// rolloutText is a rollout in a few lines.
func rolloutText(p shoal.Progress) string {
	var b strings.Builder
	r := p.Rollout
	fmt.Fprintf(&b, "rollout %d: %s to %s, by %s: %s%s\n", r.ID, r.Name(), r.To, printable(cmp.Or(r.By, "somebody")), phaseText(p), colon(p.End))
	if text := countsText(p.Counts); text != "" {
		fmt.Fprintf(&b, "  %s\n", text)
	}
	if p.Paused != "" {
		fmt.Fprintf(&b, "  PAUSED: %s\n", printable(p.Paused))
	}
	if p.Waits.What != "" {
		fmt.Fprintf(&b, "  %s\n", whyText(p.Waits))
	}
	return b.String()
}

func phaseText(p shoal.Progress) string {
	if p.Phase == "switching" && p.Wave > 0 && p.Wave <= p.Waves {
		return fmt.Sprintf("switching, wave %d of %d", p.Wave, p.Waves)
	}
	return p.Phase
}

// countsText is how many hosts are how, in the order of their way.
func countsText(counts map[string]int) string {
	order := []string{"staging", "staged", "switching", "live", "failed", "lost", "quarantined", "drifted", "restoring", "restored"}
	names := slices.SortedFunc(maps.Keys(counts), func(a, b string) int {
		at := func(s string) int {
			if i := slices.Index(order, s); i >= 0 {
				return i
			}
			return len(order)
		}
		return cmp.Or(cmp.Compare(at(a), at(b)), cmp.Compare(a, b))
	})
	var parts []string
	for _, n := range names {
		if counts[n] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", counts[n], n))
		}
	}
	return strings.Join(parts, ", ")
}

// whyText is an answer in one line.
func whyText(w shoal.Why) string {
	line := w.What
	if w.App != "" {
		line = w.App + ": " + line
	}
	if w.Host != "" {
		line = w.Host + ": " + line
	}
	if w.Evidence != "" {
		line += " (" + w.Evidence + ")"
	}
	if w.Remedy != "" {
		line += "; " + w.Remedy
	}
	return printable(line)
}

// printMembers lists hosts; those that need somebody come first.
func (s *shell) printMembers(members []shoal.MemberStatus) {
	if s.json || len(members) == 0 {
		return
	}
	urgent := []string{"failed", "lost", "drifted", "quarantined", "switching", "restoring", "staging", "staged"}
	rank := func(m shoal.MemberStatus) int {
		if i := slices.Index(urgent, m.Status); i >= 0 {
			return i
		}
		return len(urgent)
	}
	members = slices.Clone(members)
	slices.SortStableFunc(members, func(a, b shoal.MemberStatus) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a.Host, b.Host))
	})
	s.table(func(w io.Writer) {
		fmt.Fprintf(w, "  host\tdc\tstatus\twave\t\n")
		for _, m := range members {
			wave := "-"
			if m.Wave > 0 {
				wave = fmt.Sprint(m.Wave)
			}
			fmt.Fprintf(w, "  %s\t%s\t%s\t%s\t%s\n", m.Host, m.Datacenter, m.Status, wave, memberText(m))
		}
	})
}

func memberText(m shoal.MemberStatus) string {
	var parts []string
	if !m.Online {
		parts = append(parts, "offline")
	}
	if m.Reason != "" {
		parts = append(parts, printable(m.Reason))
	}
	if w := m.Work; w != nil {
		parts = append(parts, workText(w))
	}
	return strings.Join(parts, "; ")
}

func workText(w *shoal.Work) string {
	text := strings.TrimSpace(string(w.Step) + " " + w.Version)
	if w.Total > 0 {
		text += fmt.Sprintf(" %d%%", 100*min(w.Done, w.Total)/w.Total)
	}
	if w.Rate > 0 {
		text += " at " + rateText(float64(w.Rate))
	}
	if w.Cause != "" {
		text += ", held up by " + string(w.Cause)
	}
	return printable(text)
}

// table prints columns.
func (s *shell) table(fill func(io.Writer)) {
	if s.json {
		return
	}
	w := tabwriter.NewWriter(s.out, 0, 8, 2, ' ', 0)
	fill(w)
	w.Flush()
}
