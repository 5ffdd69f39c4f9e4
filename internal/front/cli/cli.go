// Package cli is the command line of shoal: it parses flags, calls the part of
// the house that does the work, prints what came back, and turns an error into
// a message, a hint and an exit code. It decides nothing about bytes, peers or
// hosts.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Streams are the ends of a command that its caller can see.
type Streams struct {
	Out, Err io.Writer
}

// patience is how long a command may take to stop after a signal. Service
// managers and the lab send SIGKILL after 3 s; nothing that matters is lost by
// leaving a moment earlier, since the state on disk is good at any moment.
const patience = 2750 * time.Millisecond

// Main runs one command line, without the program's name, and returns the exit
// code of the process; see Codes. The first SIGINT or SIGTERM asks the command
// to stop, a second one ends the process.
func Main(args []string, std Streams) int {
	ctx, stop := notifySignals(context.Background())
	defer stop()
	s := newShell(std)
	done := make(chan error, 1)
	go func() { done <- s.run(ctx, args) }()
	var err error
	select {
	case err = <-done:
	case <-ctx.Done():
		stop() // a second signal kills at once
		select {
		case err = <-done:
		case <-time.After(patience):
			err = fmt.Errorf("gave up waiting for a clean stop: %w", context.Cause(ctx))
		}
	}
	return int(s.report(err))
}

// interrupted is the cause of a context that a signal ended.
type interrupted struct{ signal os.Signal }

func (i interrupted) Error() string { return "stopped by " + i.signal.String() }

// notifySignals is signal.NotifyContext with a cause that names the signal.
func notifySignals(parent context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(parent)
	got := make(chan os.Signal, 1)
	signal.Notify(got, os.Interrupt, syscall.SIGTERM)
	go func() {
		select {
		case sig := <-got:
			cancel(interrupted{sig})
		case <-ctx.Done():
		}
	}()
	return ctx, func() {
		signal.Stop(got)
		cancel(nil)
	}
}

// stoppedBySignal tells whether ctx ended because someone asked the process to
// stop: for a server that is how its work ends well.
func stoppedBySignal(ctx context.Context) bool {
	var i interrupted
	return errors.As(context.Cause(ctx), &i)
}

// shell is what every verb shares: where to print, how, and how much to log.
type shell struct {
	out    *screen // stdout
	screen *screen // stderr
	json   bool
	level  string
	log    *slog.Logger
	ran    bool // a verb was found and its flags were fine
	verb   string
}

func newShell(std Streams) *shell {
	s := &shell{out: newScreen(std.Out), screen: newScreen(std.Err), level: "info"}
	s.log = slog.New(slog.DiscardHandler)
	return s
}

func (s *shell) run(ctx context.Context, args []string) error {
	root := s.command()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err != nil && !s.ran {
		return asUsage(err, s.verb)
	}
	return err
}

const rootLong = `shoal gets very big releases onto every server of many data centres over the
BitTorrent protocol, and speaks it with every stock client.

One binary holds the whole recipe: make a metafile (create), look at it and
check content against it (inspect, verify), introduce peers to each other
(tracker), serve content (seed) and fetch it (get), and keep the versions of an
app on a host and switch between them (release).

For a fleet, push brings a release to all of its hosts and switches them in
waves; status, why and their like show how far it is.`

const rootExample = `  shoal create -a http://tracker.example:6969/announce ./app-1.4
  shoal tracker --listen :6969
  shoal seed app-1.4.torrent --dir .
  shoal get app-1.4.torrent --dir /srv/releases`

// command builds the whole tree of verbs, anew for each run: cobra's commands
// hold the state of one parse.
func (s *shell) command() *cobra.Command {
	root := &cobra.Command{
		Use:           "shoal",
		Short:         "Get big releases onto many servers over BitTorrent",
		Long:          rootLong,
		Example:       rootExample,
		Version:       readVersion().String(),
		SilenceErrors: true,
		SilenceUsage:  true,
		// Verbs check their own arguments; what is left is an unknown verb.
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error { return s.prepare(cmd) },
	}
	root.SetVersionTemplate("shoal {{.Version}}\n")
	root.SetOut(s.out)
	root.SetErr(s.screen)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		s.verb = cmd.CommandPath()
		if near := nearFlags(cmd.Flags(), err.Error()); near != "" {
			err = fmt.Errorf("%w (there is %s)", err, near)
		}
		return err
	})
	flags := root.PersistentFlags()
	flags.BoolVar(&s.json, "json", false, "print one JSON document a line instead of text")
	flags.StringVar(&s.level, "log-level", s.level, "debug, info, warn or error")
	root.AddCommand(s.createCommand(), s.inspectCommand(), s.verifyCommand(), s.trackerCommand(),
		s.seedCommand(), s.getCommand(), s.ctlCommand(), s.topologyCommand(), s.simulateCommand(), s.releaseCommand(), s.serverCommand(), s.agentCommand(), s.versionCommand(), s.manCommand(), exitCodesTopic(), limitsTopic())
	root.AddCommand(s.fleetVerbs()...)
	return root
}

// nearFlags are those that somebody may have meant who wrote one that is not there:
// they begin like it, or it begins like them.
func nearFlags(flags *pflag.FlagSet, complaint string) string {
	name, unknown := strings.CutPrefix(complaint, "unknown flag: --")
	if !unknown {
		return ""
	}
	var near []string
	flags.VisitAll(func(f *pflag.Flag) {
		if strings.HasPrefix(f.Name, name) || strings.HasPrefix(name, f.Name) {
			near = append(near, "--"+f.Name)
		}
	})
	return strings.Join(near, ", ")
}

// prepare runs before every verb, when all flags are known.
func (s *shell) prepare(cmd *cobra.Command) error {
	s.verb = cmd.CommandPath()
	var level slog.Level
	switch s.level {
	case "debug", "info", "warn", "error":
		if err := level.UnmarshalText([]byte(s.level)); err != nil {
			return err
		}
	default:
		return fmt.Errorf("--log-level %q: want debug, info, warn or error", s.level)
	}
	s.log = newLogger(s.screen, level, s.json)
	// What cobra checks after this hook are mistakes in the command line too.
	if err := cmd.ValidateRequiredFlags(); err != nil {
		return err
	}
	if err := cmd.ValidateFlagGroups(); err != nil {
		return err
	}
	s.ran = true
	return nil
}
