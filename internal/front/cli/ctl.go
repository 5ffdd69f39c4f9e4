package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"shoal/internal/front/control"
	"shoal/internal/node"
	"shoal/internal/quantity"
)

const ctlLong = `Talks to a running seed or get of this machine through its control socket.

  stats            how far it is, what it moves, its limits, bytes by data centre and link
  limit NAME=RATE  changes limits at once; shoal help limits has the names and forms
  pause, resume    leaves its swarms within 2 s, and joins them again where it was
  stop             ends it as SIGTERM would

Each prints how the process is then. Without --control it is the only one of
this user that runs here. The socket is open to its owner alone.`

const ctlExample = `  shoal ctl stats
  shoal ctl limit up-wan=5MB/s down-wan=5MB/s
  shoal ctl limit 'up-wan=50MB/s; mon-fri 08:00-20:00 Europe/Berlin 10MB/s'
  shoal ctl pause --control /run/shoal/4711.sock`

const limitsHelp = `A limit is a rate with its unit, 50MB/s or 400mbit, or unlimited. What counts is
what the network's own counters show, headers included (to within 3 %).

Windows may follow, set apart by semicolons; the first that holds goes before
the rate:

    400mbit; mon-fri 08:00-20:00 Europe/Berlin 50mbit; sat-sun unlimited

Names, for --limit NAME=RATE and shoal ctl limit NAME=RATE:

    up, down              all that the process sends and receives
    up-wan, down-wan      to and from other data centres and unknown places
    up-local, down-local  inside of this host's data centre
    up-link:NAME, down-link:NAME
                          over one link of the topology file

All that apply hold together. The limit that the topology file gives a link is
for all hosts of a data centre: each takes an even share of it for what it
receives.`

func limitsTopic() *cobra.Command {
	return &cobra.Command{Use: "limits", Short: "How limits are written, and which there are", Long: limitsHelp}
}

func (s *shell) ctlCommand() *cobra.Command {
	var socket string
	cmd := &cobra.Command{
		Use:     "ctl",
		Short:   "Look at a running seed or get, change its limits, pause or stop it",
		Long:    ctlLong,
		Example: ctlExample,
		Args:    noArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.PersistentFlags().StringVar(&socket, "control", "", "socket of the process (default: the only one in "+orDash(controlDir())+")")
	for _, verb := range []struct{ name, short string }{
		{"stats", "Show what it does"}, {"pause", "Leave all swarms for now"}, {"resume", "Join them again"}, {"stop", "End it"},
	} {
		cmd.AddCommand(&cobra.Command{Use: verb.name, Short: verb.short, Args: noArgs, RunE: func(cmd *cobra.Command, _ []string) error {
			return s.ctl(cmd.Context(), socket, verb.name, nil)
		}})
	}
	cmd.AddCommand(&cobra.Command{
		Use: "limit NAME=RATE...", Short: "Change limits", Example: "  shoal ctl limit up-wan=5MB/s",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("`shoal help limits` has the names", "limit needs at least one NAME=RATE")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return s.ctl(cmd.Context(), socket, "limit", args) },
	})
	return cmd
}

func (s *shell) ctl(ctx context.Context, socket, do string, limits []string) error {
	if socket == "" {
		var err error
		if socket, err = onlySocket(ctx, controlDir()); err != nil {
			return err
		}
	}
	st, err := control.Ask(ctx, socket, do, limits)
	if err != nil {
		return err
	}
	if s.json {
		s.print(struct {
			Event string `json:"event"`
			control.Stats
		}{"stats", st})
		return nil
	}
	s.printf("%s", statsText(st))
	return nil
}

// onlySocket finds the one process that runs here.
func onlySocket(ctx context.Context, dir string) (string, error) {
	found, err := control.Sockets(ctx, dir)
	switch {
	case err != nil:
		return "", err
	case len(found) == 0:
		return "", coded{fmt.Errorf("no seed or get of this user runs here: no socket in %s answers: %w", dir, fs.ErrNotExist),
			CodeNotFound, "name its socket with --control if it was started with one"}
	case len(found) > 1:
		return "", usagef("choose one with --control: "+strings.Join(found, ", "), "%d processes run here", len(found))
	}
	return found[0], nil
}

// controlDir is where control sockets lie: in the user's runtime folder (XDG
// base directories), which for root is below /run.
func controlDir() string {
	if base := os.Getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(base) {
		return filepath.Join(base, "shoal")
	}
	if os.Getuid() == 0 {
		return "/run/shoal"
	}
	if home, err := os.UserHomeDir(); err == nil {
		return filepath.Join(home, ".local", "state", "shoal", "control")
	}
	return ""
}

// statsText is the answer of a process for people.
func statsText(st control.Stats) string {
	var b strings.Builder
	fmt.Fprintf(&b, "process %d, peers reach it at %s, place %s%s\n", st.Pid, st.Listen, st.Place, map[bool]string{true: ", PAUSED"}[st.Paused])
	if st.Yielding != "" {
		fmt.Fprintf(&b, "yields: %s\n", st.Yielding)
	}
	table := func(head string, rows int, row func(w *tabwriter.Writer, n int)) {
		if rows == 0 {
			return
		}
		b.WriteString("\n")
		w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, head)
		for n := range rows {
			row(w, n)
		}
		w.Flush()
	}
	table("TORRENT\tSTATE\tDONE\tPEERS\tSENDS\tRECEIVES\tSENT\tRECEIVED", len(st.Torrents), func(w *tabwriter.Writer, n int) {
		t := st.Torrents[n]
		done := "-"
		if t.Total > 0 {
			done = strconv.FormatFloat(100*float64(t.Done)/float64(t.Total), 'f', 1, 64) + " %"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%s\t%s\t%s\t%s\n", printable(t.Name), t.State, done, t.Peers,
			rateText(t.SendRate), rateText(t.RecvRate), bytesText(t.Sent), bytesText(t.Received))
	})
	table("LIMIT\tNOW\tAS SET", len(st.Limits), func(w *tabwriter.Writer, n int) {
		l := st.Limits[n]
		fmt.Fprintf(w, "%s\t%s\t%s\n", l.Name, quantity.FormatRate(l.Now), l.Limit)
	})
	table("DATA CENTRE\tSENT\tRECEIVED", len(st.Traffic), func(w *tabwriter.Writer, n int) {
		t := st.Traffic[n]
		fmt.Fprintf(w, "%s\t%s\t%s\n", printable(t.Datacenter), bytesText(t.Sent), bytesText(t.Received))
	})
	table("REFUSED PEERS\tCOUNT\tLAST\tERROR", len(st.Refused), func(w *tabwriter.Writer, n int) {
		r := st.Refused[n]
		fmt.Fprintf(w, "%s\t%d\t%s\t%s\n", r.Reason, r.Count, r.Last.Format(time.DateTime), printable(r.Error))
	})
	table("LINK\tSENT\tRECEIVED\tBUDGET\tSINCE", len(st.Links), func(w *tabwriter.Writer, n int) {
		l := st.Links[n]
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", printable(l.Name), bytesText(l.Sent), bytesText(l.Received), l.Budget, l.Since.Format("2006-01-02"))
	})
	return b.String()
}

// printBudget prints the document {"event":"budget"}. For people the log has it.
func (s *shell) printBudget(e node.Event) {
	var over *node.BudgetError
	if !s.json || !errors.As(e.Err, &over) {
		return
	}
	s.print(struct {
		Event    string `json:"event"`
		Link     string `json:"link"`
		Budget   string `json:"budget"`
		Sent     int64  `json:"sent"`
		Received int64  `json:"received"`
		Since    string `json:"since"`
	}{"budget", over.Link.Name, over.Link.Budget.String(), over.Use.Up, over.Use.Down, over.Use.Since.Format("2006-01-02")})
}
