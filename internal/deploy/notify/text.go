package notify

import (
	"fmt"
	"strings"
	"time"

	"shoal"
	"shoal/internal/quantity"
)

// title is a notice in a few words.
func title(n shoal.Notice) string {
	if n.Rollout == nil {
		return "[shoal] " + n.Kind
	}
	return fmt.Sprintf("[shoal] %s: rollout %d, %s", n.Kind, n.Rollout.ID, n.Rollout.Name())
}

// body is a notice for people who read on.
func body(n shoal.Notice) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("%s", n.Text)
	if p := n.Plan; p != nil {
		line("")
		line("%s has %s and goes to %d hosts; %d hold it already, %d are offline.", p.Release, quantity.FormatBytes(p.Bytes), p.Hosts, p.Have, len(p.Offline))
		line("It takes %s, for %s; staged by %s at the earliest.", p.Takes(), p.Bound, p.End.UTC().Format("2006-01-02 15:04Z"))
		for _, l := range p.Links {
			peak := "at a rate that nobody limits"
			if l.Peak > 0 {
				peak = "at most " + quantity.FormatRate(l.Peak)
			}
			line("  link %s to %s: %s, %d copies, %s", l.From, l.To, quantity.FormatBytes(l.Bytes), l.Copies, peak)
		}
		for _, s := range p.Sites {
			line("  %s: %d hosts, %s needed on disk, %s free", s.Name, s.Hosts, quantity.FormatBytes(s.Need), quantity.FormatBytes(s.Free))
		}
		for _, w := range p.Warn {
			line("  note: %s", oneLine(w))
		}
	}
	line("")
	if n.Link != "" {
		line("Look at it, and stop it: %s", n.Link)
	}
	line("To stop all transfers at once: shoal stop-all")
	line("Notice %s of %s. The same notice may come twice; it has the same number then.", n.ID, n.At.UTC().Format(time.RFC3339))
	return b.String()
}
