package cli

import (
	"context"

	"github.com/spf13/cobra"

	"shoal/internal/node"
)

const seedLong = `Serves the content of one or more metafiles from DIR, where each lies under its
metafile's own name. Content is checked before it is announced: by its record
of an earlier check if nothing changed since, else by its hashes.

With --watch every metafile that appears in that folder is served, and dropped
when its file vanishes.`

const seedExample = `  shoal seed app-1.4.torrent --dir /srv/releases --listen :6881
  shoal seed --watch /srv/metafiles --dir /srv/releases --up 400MB/s`

func (s *shell) seedCommand() *cobra.Command {
	var f peerFlags
	var o node.SeedOptions
	var cache, topo string
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
			if err := checkTopology(topo); err != nil {
				return err
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
	flags.StringVar(&cache, "cache", "keep", "what becomes of the content's pages in memory: keep or drop")
	flags.StringVar(&topo, "topology", "", "YAML file with the data centres (checked only, for now)")
	return cmd
}

// seedDoc is a document of seed: "listening", "serving", "dropped", "failed".
type seedDoc struct {
	Event    string `json:"event"`
	Name     string `json:"name,omitempty"`
	Path     string `json:"path,omitempty"`
	InfoHash string `json:"info_hash,omitempty"`
	Bytes    int64  `json:"bytes,omitempty"`
	Error    string `json:"error,omitempty"`
}

func (s *shell) seed(ctx context.Context, o node.SeedOptions) error {
	o.Report = func(e node.Event) {
		doc := seedDoc{Event: string(e.Kind), Name: e.Name, Path: e.Path, InfoHash: e.InfoHash, Bytes: e.Status.Total}
		if e.Err != nil {
			doc.Error = e.Err.Error()
		}
		if s.json {
			s.print(doc)
			return
		}
		if e.Kind == node.Serving {
			s.printf("serving: %s (%s)\n", e.Path, bytesText(e.Status.Total))
		}
	}
	err := node.Seed(ctx, o)
	if stoppedBySignal(ctx) {
		return nil
	}
	return err
}
