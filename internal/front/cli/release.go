package cli

import (
	"errors"
	"fmt"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"shoal/internal/deploy/release"
)

const releaseLong = `Keeps the versions of apps on this host, without any server: ROOT/APP/current is
a link to the release in use, ROOT/APP/releases/VERSION holds each one whole.

A release is staged beside the live one, activated by one rename of the link,
and found good or failed. A rollback moves no byte. docs/release-layout.md tells
what lies where and what survives a crash.`

const releaseExample = `  shoal release stage app-1.4.torrent --root /srv --app web --version 1.4
  shoal release activate 1.4 --root /srv --app web
  shoal release rollback --root /srv --app web
  shoal release list --root /srv
  shoal release gc --root /srv --keep 3
  shoal release scrub --root /srv --rate 50MB/s`

// releaseFlags are those that every verb below release has.
type releaseFlags struct {
	root, app string
}

func (s *shell) releaseCommand() *cobra.Command {
	f := &releaseFlags{}
	cmd := &cobra.Command{
		Use: "release", Short: "Stage, switch, check and remove the releases on this host",
		Long: releaseLong, Example: releaseExample,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("`shoal release --help` lists them", "release needs a verb")
			}
			return usagef("`shoal release --help` lists them", "release has no verb %q", args[0])
		},
		RunE: func(*cobra.Command, []string) error { return nil },
	}
	flags := cmd.PersistentFlags()
	flags.StringVar(&f.root, "root", "/srv", "folder with a folder for each app")
	flags.StringVar(&f.app, "app", "", "name of the app")
	cmd.AddCommand(s.releaseListCommand(f), s.releaseStageCommand(f), s.releaseActivateCommand(f), s.releaseRollbackCommand(f),
		s.releaseMarkCommand(f), s.releaseRemoveCommand(f), s.releaseGCCommand(f), s.releaseScrubCommand(f))
	return cmd
}

// withApp calls do with the app that --app names.
func (s *shell) withApp(f *releaseFlags, do func(*release.App) error) error {
	if f.app == "" {
		return usagef("--app NAME", "it must be said which app is meant")
	}
	return s.withApps(f, do)
}

// withApps calls do with the app that --app names, or with every one.
func (s *shell) withApps(f *releaseFlags, do func(*release.App) error) error {
	store, err := release.Open(f.root, release.Options{Log: s.log})
	if err != nil {
		return err
	}
	defer store.Close()
	names := []string{f.app}
	if f.app == "" {
		if names, err = store.Apps(); err != nil {
			return err
		}
	}
	var errs []error
	for _, name := range names {
		app, err := store.App(name)
		if err == nil {
			err = errors.Join(do(app), app.Close())
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func (s *shell) releaseListCommand(f *releaseFlags) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List what is there, in which state, and what is in use", Args: noArgs,
		Example: "  shoal release list --root /srv\n  shoal release list --root /srv --app web --json",
		RunE: func(*cobra.Command, []string) error {
			return s.withApps(f, func(app *release.App) error {
				l, err := app.List()
				if err == nil {
					s.printListing("app", l)
				}
				return err
			})
		},
	}
}

// listingDoc is the document {"event":"app"}, and with other events what
// changed in one.
type listingDoc struct {
	Event string `json:"event"`
	release.Listing
}

func (s *shell) printListing(event string, l release.Listing) {
	if s.json {
		s.print(listingDoc{event, l})
		return
	}
	s.printf("%s\n", listingTitle(l))
	w := tabwriter.NewWriter(s.out, 0, 8, 2, ' ', 0)
	fmt.Fprintf(w, "  version\tstate\tsize\tstaged\tactivated\tid\n")
	for _, r := range l.Releases {
		mark := " "
		if r.Version == l.Current {
			mark = "*"
		}
		fmt.Fprintf(w, "%s %s\t%s\t%s\t%s\t%s\t%.12s\n", mark, r.Version, r.State, bytesText(r.Bytes), dateText(r.StagedAt), dateText(r.ActivatedAt), r.ID)
	}
	w.Flush()
}

func listingTitle(l release.Listing) string {
	title := fmt.Sprintf("%s in %s: ", l.App, printable(l.Dir))
	switch {
	case l.Current != "":
		title += "current is " + l.Current
	case l.Target != "":
		title += "current leads to " + printable(l.Target) + ", which is no release of shoal"
	default:
		title += "nothing is active"
	}
	if l.Previous != "" {
		title += ", a rollback goes to " + l.Previous
	}
	return title
}

func dateText(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Local().Format("2006-01-02 15:04:05")
}

func (s *shell) releaseActivateCommand(f *releaseFlags) *cobra.Command {
	again, unproven := false, false
	cmd := &cobra.Command{
		Use: "activate VERSION --app NAME", Short: "Switch to a staged release",
		Long: `Makes a release the current one: readers of ROOT/APP/current see the old release
or the new one at every moment. The release that is replaced counts as good from
then on, and a rollback goes to it, unless --unproven says that nobody knows.`,
		Example: "  shoal release activate 1.4 --root /srv --app web",
		Args:    exactArgs(1, "one version"),
		RunE: func(cmd *cobra.Command, args []string) error {
			replaced := release.Good
			if unproven {
				replaced = release.Staged
			}
			return s.withApp(f, func(app *release.App) error {
				l, err := app.Activate(cmd.Context(), args[0], replaced, again)
				return s.printSwitch("activated", l, err)
			})
		},
	}
	cmd.Flags().BoolVar(&again, "again", false, "also if the release has failed before")
	cmd.Flags().BoolVar(&unproven, "unproven", false, "do not take the release that is replaced for a good one")
	return cmd
}

func (s *shell) releaseRollbackCommand(f *releaseFlags) *cobra.Command {
	return &cobra.Command{
		Use: "rollback --app NAME", Short: "Go back to the last good release, at once", Args: noArgs,
		Long: `Makes the release that was good last the current one and marks the one that is
replaced as failed. It moves no byte.`,
		Example: "  shoal release rollback --root /srv --app web",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return s.withApp(f, func(app *release.App) error {
				l, err := app.Rollback(cmd.Context())
				return s.printSwitch("rolled back", l, err)
			})
		},
	}
}

func (s *shell) printSwitch(event string, l release.Listing, err error) error {
	if err != nil {
		return err
	}
	if s.json {
		s.print(listingDoc{event, l})
	} else {
		s.printf("%s\n", listingTitle(l))
	}
	return nil
}

func (s *shell) releaseMarkCommand(f *releaseFlags) *cobra.Command {
	return &cobra.Command{
		Use: "mark VERSION good|failed --app NAME", Short: "Say whether a release works",
		Long: `Notes that a release that was in use works, so that a rollback may go to it, or
that it does not, so that none does.`,
		Example: "  shoal release mark 1.4 good --root /srv --app web",
		Args:    exactArgs(2, "a version, and good or failed"),
		RunE: func(cmd *cobra.Command, args []string) error {
			verdict := release.State(args[1])
			if verdict != release.Good && verdict != release.Failed {
				return usagef("", "mark takes good or failed, not %q", args[1])
			}
			return s.withApp(f, func(app *release.App) error {
				l, err := app.Mark(cmd.Context(), args[0], verdict)
				return s.printSwitch("marked", l, err)
			})
		},
	}
}

func (s *shell) releaseRemoveCommand(f *releaseFlags) *cobra.Command {
	return &cobra.Command{
		Use: "remove VERSION --app NAME", Short: "Remove a release, or what was fetched of it",
		Example: "  shoal release remove 1.4 --root /srv --app web",
		Args:    exactArgs(1, "one version"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return s.withApp(f, func(app *release.App) error {
				gone, err := app.Remove(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				s.printRemoved(sweptDoc{Event: "removed", App: f.app, Swept: release.Swept{Removed: []release.Removal{gone}, Busy: []string{}}})
				return nil
			})
		},
	}
}

func (s *shell) releaseGCCommand(f *releaseFlags) *cobra.Command {
	var p release.Policy
	quota, dry := "", false
	cmd := &cobra.Command{
		Use: "gc", Short: "Remove releases that are no longer needed", Args: noArgs,
		Long: `Removes failed releases, those that were passed over, and good ones beyond --keep,
of all apps or of --app. The current release, the one that a rollback goes to,
one that waits to be activated, and one that was in use within --grace stay
whatever else is said. Only what shoal made is counted and removed.`,
		Example: "  shoal release gc --root /srv --keep 3\n  shoal release gc --root /srv --app web --quota 500GB --dry-run",
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			if p.Quota, err = parseSize(quota); err != nil {
				return err
			}
			if p.Keep < 1 || p.Grace < 0 {
				return usagef("", "--keep must be at least 1, and --grace not negative")
			}
			return s.withApps(f, func(app *release.App) error {
				swept, err := app.GC(cmd.Context(), p, dry)
				if err != nil {
					return err
				}
				event := "swept"
				if dry {
					event = "would sweep"
				}
				s.printRemoved(sweptDoc{event, app.Name(), swept})
				return nil
			})
		},
	}
	flags := cmd.Flags()
	flags.IntVar(&p.Keep, "keep", 3, "good releases of an app that stay, the current one among them")
	flags.StringVar(&quota, "quota", "", "what all releases of an app may take, for example 500GB (default: no limit)")
	flags.DurationVar(&p.Grace, "grace", time.Hour, "how long a release stays after it was in use")
	flags.StringArrayVar(&p.Pins, "pin", nil, "a version that stays (repeat)")
	flags.BoolVar(&dry, "dry-run", false, "only tell what would be removed")
	return cmd
}

// sweptDoc is the document {"event":"swept"}.
type sweptDoc struct {
	Event string `json:"event"`
	App   string `json:"app"`
	release.Swept
}

func (s *shell) printRemoved(doc sweptDoc) {
	if s.json {
		s.print(doc)
		return
	}
	for _, r := range doc.Removed {
		s.printf("%s: %s@%s (%s, %s)\n", doc.Event, doc.App, r.Version, bytesText(r.Bytes), r.Why)
	}
	for _, v := range doc.Busy {
		s.printf("in use by another process, stays: %s@%s\n", doc.App, v)
	}
	if doc.Over > 0 {
		s.printf("%s is %s above its quota, and nothing more may be removed\n", doc.App, bytesText(doc.Over))
	}
}

// versionsOf are the releases of an app that are whole.
func versionsOf(app *release.App) ([]string, error) {
	l, err := app.List()
	if err != nil {
		return nil, err
	}
	var versions []string
	for _, r := range slices.Backward(l.Releases) {
		if r.State != release.Staging {
			versions = append(versions, r.Version)
		}
	}
	return versions, nil
}
