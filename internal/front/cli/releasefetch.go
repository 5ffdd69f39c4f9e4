package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"shoal/internal/deploy/release"
	"shoal/internal/node"
	"shoal/internal/quantity"
)

// fetchFlags are those of the verbs below release that may fetch.
type fetchFlags struct {
	peerFlags
	o     node.ReleaseOptions
	cache string
}

func (f *fetchFlags) add(cmd *cobra.Command, cache string) {
	flags := cmd.Flags()
	f.peerFlags.add(flags)
	flags.StringArrayVar(&f.o.Content.Peers, "peer", nil, "a peer to connect to, HOST:PORT (repeat)")
	flags.StringVar(&f.cache, "cache", cache, "what becomes of the content's pages in memory: keep or drop")
}

// releases makes the store that fetches.
func (f *fetchFlags) releases(s *shell, root string) (*node.Releases, error) {
	var err error
	if f.o.Options, err = f.options(s); err != nil {
		return nil, err
	}
	if f.o.Content.Cache, err = parseCache(f.cache); err != nil {
		return nil, err
	}
	f.o.Root = root
	return node.NewReleases(f.o), nil
}

func (s *shell) releaseStageCommand(rf *releaseFlags) *cobra.Command {
	f, version, activate := &fetchFlags{}, "", false
	cmd := &cobra.Command{
		Use: "stage FILE|URL|MAGNET --app NAME --version VERSION", Short: "Fetch a release and put it beside the live one",
		Long: `Fetches a release and puts it beside the live one, which it does not touch. Exit
code 0 means that every byte is verified and on disk. Killed at any moment, the
same command goes on where it was.`,
		Example: `  shoal release stage app-1.4.torrent --root /srv --app web --version 1.4
  shoal release stage http://tracker.example:6969/file/app-1.4.torrent --app web --version 1.4 --activate`,
		Args: exactArgs(1, "one metafile, URL or magnet link"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if rf.app == "" || version == "" {
				return usagef("--app NAME --version VERSION", "it must be said which release of which app this is to be")
			}
			r, err := f.releases(s, rf.root)
			if err != nil {
				return err
			}
			if err := s.stage(cmd.Context(), r, rf.app, version, args[0]); err != nil || !activate {
				return err
			}
			return s.withApp(rf, func(app *release.App) error {
				l, err := app.Activate(cmd.Context(), version, release.Good, false)
				return s.printSwitch("activated", l, err)
			})
		},
	}
	f.add(cmd, "keep")
	cmd.Flags().StringVar(&version, "version", "", "version that the release gets")
	cmd.Flags().BoolVar(&activate, "activate", false, "switch to it once it is there")
	cmd.Flags().BoolVar(&f.o.Content.AllowOutsideLinks, "allow-outside-links", false, "accept symlinks that point outside of the content")
	return cmd
}

// stagedDoc is the document {"event":"staged"}.
type stagedDoc struct {
	Event string `json:"event"`
	App   string `json:"app"`
	release.Release
	Downloaded int64   `json:"downloaded"`
	Seconds    float64 `json:"seconds"`
}

func (s *shell) stage(ctx context.Context, r *node.Releases, app, version, source string) error {
	start := time.Now()
	stop := s.show(func() sample { return sampleOf(r.Status()) })
	staged, err := r.Stage(ctx, app, version, source)
	stop()
	if err != nil {
		return err
	}
	took, fetched := time.Since(start), r.Status().Downloaded
	if s.json {
		s.print(stagedDoc{"staged", app, staged, fetched, took.Seconds()})
	}
	s.printf("%s: %s@%s (%s, %s fetched in %s)\n", staged.State, app, version, bytesText(staged.Bytes), bytesText(fetched), took.Round(10*time.Millisecond))
	return nil
}

func (s *shell) releaseScrubCommand(rf *releaseFlags) *cobra.Command {
	f, read, report, plain := &fetchFlags{}, "", false, false
	cmd := &cobra.Command{
		Use: "scrub [VERSION...]", Short: "Check releases byte by byte, and mend what is damaged",
		Long: `Reads releases back (all that are whole, of all apps or of --app, or those named)
and compares them with their metafiles. What is damaged or missing is fetched
from the swarm and put in place of the bad file by a rename: a file is never
written to, so whoever has it open keeps what it had. What does not belong to a
release is told and left alone. What came by a fleet is fetched from the fleet, as
the host that the root's agent is.

Exit code 0 means that all is whole at the end, 3 that it is not. --rate keeps
the reading out of the way of other work.`,
		Example: "  shoal release scrub --root /srv --rate 50MB/s\n  shoal release scrub 1.4 --root /srv --app web --report-only",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 && rf.app == "" {
				return usagef("--app NAME", "it must be said of which app %q is a version", args[0])
			}
			var err error
			if read != "" {
				if f.o.Read, err = quantity.ParseRate(read); err != nil {
					return usagef("", "--rate: %w", err)
				}
			}
			r, err := f.releases(s, rf.root)
			if err == nil && !report {
				err = r.Belong(plain)
			}
			if err != nil {
				return err
			}
			return s.withApps(rf, func(app *release.App) error { return s.scrub(cmd.Context(), r, app, args, !report) })
		},
	}
	f.add(cmd, "drop")
	cmd.Flags().StringVar(&read, "rate", "", "limit of what is read, for example 50MB/s")
	cmd.Flags().BoolVar(&plain, "plain-peers", false, "fetch in the clear, in a fleet whose hosts do")
	cmd.Flags().BoolVar(&report, "report-only", false, "change nothing")
	return cmd
}

// scrub checks the versions of an app, all of them if none is named.
func (s *shell) scrub(ctx context.Context, r *node.Releases, app *release.App, versions []string, mend bool) error {
	if len(versions) == 0 {
		var err error
		if versions, err = versionsOf(app); err != nil {
			return err
		}
	}
	var errs []error
	for _, v := range versions {
		stop := s.show(func() sample { return sampleOf(r.Status()) })
		found, err := app.Scrub(ctx, v, r, mend)
		stop()
		if err == nil {
			s.printScrubbed(found)
		}
		if err == nil && !found.OK() {
			err = coded{fmt.Errorf("%s@%s is not whole", app.Name(), v), CodeDamaged, "without --report-only it is mended, as far as that is possible"}
		}
		errs = append(errs, err)
		if ctx.Err() != nil {
			break
		}
	}
	return errors.Join(errs...)
}

// scrubbedDoc is the document {"event":"scrubbed"}.
type scrubbedDoc struct {
	Event string `json:"event"`
	OK    bool   `json:"ok"`
	release.Scrubbed
}

func (s *shell) printScrubbed(found release.Scrubbed) {
	if s.json {
		s.print(scrubbedDoc{"scrubbed", found.OK(), found})
		return
	}
	for _, p := range found.Problems {
		state := "stays"
		if p.Mended {
			state = "mended"
		}
		s.printf("%s: %s@%s: %s %s\n", state, found.App, found.Version, printable(p.Path), p.Kind)
	}
	if found.OK() {
		s.printf("%s@%s is whole\n", found.App, found.Version)
	}
}
