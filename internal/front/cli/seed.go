package cli

import (
	"context"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"shoal/internal/node"
)

const seedLong = `Serves the content of one or more metafiles from DIR, where each lies under its
metafile's own name. Content is checked before it is announced: every file must
have its length, and a random sample of its pieces must match. Whoever fetches
verifies every piece and tells the seed of a damaged one, which then checks all
it has. --full-check hashes everything first, and remembers the result in
--state-dir for as long as nothing changes. The content's folder is only read.

With --watch every metafile that appears in that folder is served, and dropped
when its file vanishes.`

const seedExample = `  shoal seed app-1.4.torrent --dir /srv/releases --listen :6881
  shoal seed --watch /srv/metafiles --dir /srv/releases --up 400MB/s`

func (s *shell) seedCommand() *cobra.Command {
	var f peerFlags
	var o node.SeedOptions
	var cache string
	cmd := &cobra.Command{
		Use:     "seed FILE... --dir DIR",
		Short:   "Serve content to other hosts",
		Long:    seedLong,
		Example: seedExample,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 && o.Watch == "" {
				return usagef("name metafiles, or a folder of them with --watch", "seed has nothing to serve")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			if o.Options, err = f.options(s); err != nil {
				return err
			}
			if o.Content.Cache, err = parseCache(cache); err != nil {
				return err
			}
			if o.Content.ResumeDir == "" {
				o.Content.ResumeDir = s.ownStateDir()
			}
			o.Files = args
			return s.seed(cmd.Context(), o)
		},
	}
	flags := cmd.Flags()
	f.add(flags)
	flags.StringVar(&o.Content.Dir, "dir", ".", "folder that holds the content under the metafiles' names")
	flags.StringVar(&o.Watch, "watch", "", "serve every metafile that appears in this folder")
	flags.StringArrayVar(&o.Content.Peers, "peer", nil, "a peer to connect to, HOST:PORT (repeat)")
	flags.BoolVar(&o.Content.AllowOutsideLinks, "allow-outside-links", false, "accept symlinks that point outside of the content")
	flags.StringVar(&o.Content.ResumeDir, "state-dir", "", "folder that remembers what was checked (default: shoal in the user's state folder)")
	flags.BoolVar(&o.Content.FullCheck, "full-check", false, "hash all content before serving it, not only a sample")
	flags.StringVar(&cache, "cache", "keep", "what becomes of the content's pages in memory: keep or drop")
	return cmd
}

// ownStateDir is where the records of a seed lie unless told otherwise
// (XDG base directories). Without a home every start hashes anew.
func (s *shell) ownStateDir() string {
	base := os.Getenv("XDG_STATE_HOME")
	if !filepath.IsAbs(base) {
		home, err := os.UserHomeDir()
		if err != nil {
			s.log.Debug("no home, so every start checks all content", "err", err)
			return ""
		}
		base = filepath.Join(home, ".local", "state")
	}
	dir := filepath.Join(base, "shoal")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		s.log.Debug("no state folder, so every start checks all content", "err", err)
		return ""
	}
	return dir
}

// seedDoc is a document of seed: "serving", "dropped", "failed".
type seedDoc struct {
	Event    string `json:"event"`
	Name     string `json:"name,omitempty"`
	Path     string `json:"path,omitempty"`
	InfoHash string `json:"info_hash,omitempty"`
	Listen   string `json:"listen,omitempty"`
	Bytes    int64  `json:"bytes,omitempty"`
	Error    string `json:"error,omitempty"`
}

func (s *shell) seed(ctx context.Context, o node.SeedOptions) error {
	var sd *node.Seed
	stop := func() {}
	o.Report = func(e node.Event) {
		if sd.Status().State == "" {
			stop() // all are checked; what comes to a watched folder later is only told
		}
		switch e.Kind {
		case node.Complete: // it was that before
		case node.Budget:
			s.printBudget(e)
		default:
			s.printSeed(e)
		}
	}
	sd = node.NewSeed(o)
	if len(o.Files) > 0 {
		stop = s.show(func() sample { return sampleOf(sd.Status()) })
	}
	err := sd.Run(ctx)
	stop()
	if stoppedBySignal(ctx) {
		return nil
	}
	return err
}

func (s *shell) printSeed(e node.Event) {
	if !s.json {
		if e.Kind == node.Serving {
			s.printf("serving: %s (%s)\n", printable(e.Path), bytesText(e.Status.Total))
		}
		return
	}
	doc := seedDoc{Event: string(e.Kind), Name: e.Name, Path: e.Path, InfoHash: e.InfoHash, Bytes: e.Status.Total}
	if e.Addr.IsValid() {
		doc.Listen = e.Addr.String()
	}
	if e.Err != nil {
		doc.Error = e.Err.Error()
	}
	s.print(doc)
}
