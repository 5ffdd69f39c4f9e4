package cli

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"shoal"
	"shoal/internal/front/api"
)

func (s *shell) planCommand() *cobra.Command {
	f := &rolloutFlags{}
	cmd := &cobra.Command{
		Use: "plan --app NAME --version VERSION --to SELECTOR", Short: "Say what a push would do, and change nothing",
		Long: `Says what a push of a registered release would move over which link, how long it
takes and what bounds that, who is offline, and whether disks are large enough. It
changes nothing. A server with a topology simulates the push for up to 8 seconds;
otherwise times are lower bounds. Exit code 8 means that the push would be refused.`,
		Example: "  shoal plan --app web --version 1.4 --to 'role=web'", Args: noArgs,
	}
	f.add(cmd)
	return s.withFleet(cmd, func(ctx context.Context, c *api.Client, _ []string) error {
		r, err := s.wish(ctx, c, f)
		if err != nil {
			return err
		}
		p, err := c.Plan(ctx, r)
		if err != nil {
			return err
		}
		s.printPlan(p)
		if p.Refused != "" {
			return coded{fmt.Errorf("%s would be refused: %s", p.Release, p.Refused), CodeRefused, ""}
		}
		return nil
	})
}

func (s *shell) printPlan(p shoal.Plan) {
	if s.json {
		s.event("plan", p)
		return
	}
	s.printf("plan: %s, %s to %s, %d of which have it", p.Release, bytesText(p.Bytes), countText(p.Hosts, "host"), p.Have)
	if p.Time > 0 {
		s.printf("; staging takes %s, until %s (bound by %s)", printable(p.Takes()), dateText(p.End), printable(p.Bound))
	}
	s.printf("\n")
	s.table(func(w io.Writer) {
		for _, l := range p.Links {
			peak, copies := "", copiesText(l.Copies)
			if p.By == shoal.BySimulation && p.Bytes > 0 {
				copies = fmt.Sprintf("%.2f copies", float64(l.Bytes)/float64(p.Bytes))
			}
			if l.Peak > 0 {
				peak = ", at most " + rateText(float64(l.Peak))
			}
			fmt.Fprintf(w, "  %s -> %s\t%s\t%s%s\n", cmp.Or(l.From, "source"), l.To, bytesText(l.Bytes), copies, peak)
		}
		for _, d := range p.Sites {
			fmt.Fprintf(w, "  %s\t%s\t%d have it, %d offline, needs %s of %s free\n", d.Name, countText(d.Hosts, "host"), d.Have, d.Offline, bytesText(d.Need), bytesText(d.Free))
		}
	})
	for _, d := range p.Full {
		s.printf("  no room on %s: needs %s, has %s\n", d.Host, bytesText(d.Need), bytesText(d.Free))
	}
	if len(p.Offline) > 0 {
		s.printf("  offline: %s\n", listText(p.Offline, 10))
	}
	for _, w := range p.Warn {
		s.printf("  mind: %s\n", printable(w))
	}
}

func copiesText(n int) string {
	if n == 1 {
		return "1 copy"
	}
	return fmt.Sprintf("%d copies", n)
}

// listText names the first few of many.
func listText(names []string, show int) string {
	text := strings.Join(names[:min(len(names), show)], ", ")
	if more := len(names) - show; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return printable(text)
}
