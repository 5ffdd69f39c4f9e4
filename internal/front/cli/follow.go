package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"shoal"
	"shoal/internal/front/api"
)

// followEvery is how often a rollout is looked at.
const followEvery = time.Second

// follow shows a rollout until it is over; one that only stages, until it has.
// That the control plane cannot be reached does not end it: the rollout goes on.
func (s *shell) follow(ctx context.Context, c *api.Client, id uint64, untilReady bool) error {
	v := &view{s: s, live: !s.json && s.out.isTerminal()}
	for {
		p, err := c.Rollout(ctx, id)
		switch {
		case ctx.Err() != nil:
			fmt.Fprintf(s.screen, "shoal: rollout %d goes on; `shoal status -w %d` shows it\n", id, id)
			return context.Cause(ctx)
		case errors.Is(err, shoal.ErrUnavailable):
			v.say(fmt.Sprintf("the control plane does not answer; agents go on (%v)\n", err), nil)
		case err != nil:
			return err
		default:
			v.show(p)
			if over, err := outcome(p, untilReady); over {
				return err
			}
		}
		select {
		case <-time.After(followEvery):
		case <-ctx.Done():
		}
	}
}

// outcome tells whether a rollout is over for the one who follows it, and
// whether that is a failure.
func outcome(p shoal.Progress, untilReady bool) (over bool, err error) {
	switch p.Phase {
	case "done":
		return true, nil
	case "aborted", "rolled-back":
		return true, coded{fmt.Errorf("rollout %d of %s is %s%s", p.Rollout.ID, p.Rollout.Name(), p.Phase, colon(p.End)), CodeFailed, ""}
	}
	return untilReady && p.Phase == "ready", nil
}

// view shows the newest state of something: on a terminal in place, elsewhere
// whenever it has changed.
type view struct {
	s     *shell
	live  bool
	lines int    // drawn on the terminal
	last  string // what was said
}

func (v *view) show(p shoal.Progress) {
	text := rolloutText(p)
	if v.live {
		text += sitesText(p.Members)
	}
	v.say(text, &p)
}

func (v *view) say(text string, p *shoal.Progress) {
	if text == v.last {
		return
	}
	v.last = text
	switch {
	case v.s.json && p != nil:
		short := *p
		short.Members, short.Plan = nil, nil
		v.s.event("rollout", short)
	case v.s.json:
	case v.live:
		if v.lines > 0 {
			fmt.Fprintf(v.s.out, "\x1b[%dF\x1b[J", v.lines) // up to the first line, and clear what follows
		}
		text = fit(text, v.s.out)
		v.lines = strings.Count(text, "\n")
		fmt.Fprint(v.s.out, text)
	default:
		fmt.Fprint(v.s.out, text)
	}
}

// fit cuts lines and their number to what a terminal shows at once.
func fit(text string, s *screen) string {
	rows, columns := 24, 80
	if f, ok := s.file.(*os.File); ok {
		if size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ); err == nil && size.Row > 1 && size.Col > 1 {
			rows, columns = int(size.Row), int(size.Col)
		}
	}
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	lines = lines[:min(len(lines), rows-1)]
	for i, l := range lines {
		if r := []rune(l); len(r) >= columns {
			lines[i] = string(r[:columns-1])
		}
	}
	return strings.Join(lines, "\n") + "\n"
}

// sitesText sums the hosts of each data centre up, and lists those at work.
func sitesText(members []shoal.MemberStatus) string {
	counts, done, total := map[string]map[string]int{}, map[string]int64{}, map[string]int64{}
	var order []string
	var busy strings.Builder
	for _, m := range members {
		if counts[m.Datacenter] == nil {
			counts[m.Datacenter] = map[string]int{}
			order = append(order, m.Datacenter)
		}
		counts[m.Datacenter][m.Status]++
		if w := m.Work; w != nil && w.Step == shoal.StepFetch {
			done[m.Datacenter] += w.Done
			total[m.Datacenter] += w.Total
		}
		if m.Work != nil || m.Reason != "" {
			fmt.Fprintf(&busy, "    %s: %s, %s\n", m.Host, m.Status, memberText(m))
		}
	}
	var b strings.Builder
	for _, dc := range order {
		fmt.Fprintf(&b, "  %-12s %s", dc, countsText(counts[dc]))
		if total[dc] > 0 {
			fmt.Fprintf(&b, ", fetching %.1f %%", 100*float64(done[dc])/float64(total[dc]))
		}
		b.WriteByte('\n')
	}
	return b.String() + busy.String()
}
