package cli

import (
	"context"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"shoal/internal/deploy/notify"
	"shoal/internal/node"
)

const serverLong = `Runs the control plane of a fleet: the API that people and agents use, the tracker
that introduces hosts to each other, and a source peer with a copy of what the
fleet needs. One process is enough for ten thousand hosts.

The first start makes the fleet: its certificate authority, and a token for the
first admin in DATA/admin.token. Everything is kept in DATA, by an engine in this
process; with --nats it is in a NATS cluster, and any number of servers over the
same cluster act as one (docs/operations.md).`

const serverExample = `  shoal server --data /var/lib/shoal --url https://deploy.example:7443
  shoal server --data /var/lib/shoal --api :7443 --nats nats://n1,nats://n2,nats://n3 --nats-creds /etc/shoal/nats.creds --replicas 3 \
    --url https://deploy-1.example:7443 --tracker https://deploy-1.example:7443 --tracker https://deploy-2.example:7443`

// serverFlags are the flags of server.
type serverFlags struct {
	peerFlags
	o       node.ServerOptions
	cache   string
	notices string // file
	ca      string // file
}

func (s *shell) serverCommand() *cobra.Command {
	f := &serverFlags{}
	cmd := &cobra.Command{
		Use: "server --data DIR", Short: "Run the control plane of a fleet", Long: serverLong, Example: serverExample, Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.o.Data == "" {
				return usagef("--data /var/lib/shoal", "it must be said where the state is to be kept")
			}
			var err error
			if f.o.Options, err = f.options(s); err != nil {
				return err
			}
			if f.o.Content.Cache, err = parseCache(f.cache); err != nil {
				return err
			}
			if f.o.Data, err = filepath.Abs(f.o.Data); err != nil {
				return err
			}
			if f.o.Notices, err = readNotices(f.notices); err != nil {
				return err
			}
			if f.ca != "" {
				if f.o.CA, err = readSmall(f.ca); err != nil {
					return err
				}
			}
			return s.server(cmd.Context(), f.o)
		},
	}
	flags := cmd.Flags()
	f.peerFlags.add(flags)
	o := &f.o
	flags.StringVar(&o.Data, "data", "", "folder for state and content")
	flags.StringVar(&o.API, "api", ":7443", "address for people and agents, HOST:PORT")
	flags.StringVar(&o.URL, "url", "", "by which people and agents reach the API (default: made of the host's name)")
	flags.StringSliceVar(&o.Names, "name", nil, "another DNS name or address of the server, for its certificate (repeat)")
	flags.StringVar(&o.Name, "server-name", "", "tells the servers of a fleet apart (default: the host's name)")
	flags.StringSliceVar(&o.Servers, "tracker", nil, "URL of a server whose tracker hosts shall use (repeat; default: this one)")
	flags.StringVar(&o.Store.URL, "nats", "", "URL of a NATS cluster that keeps the state (default: an engine in this process)")
	flags.StringVar(&o.Store.Creds, "nats-creds", "", "file with the credentials for it")
	flags.IntVar(&o.Store.Replicas, "replicas", 0, "copies of the state in the cluster")
	flags.StringVar(&o.Store.Prefix, "prefix", "", "begins the names of what is kept there (default: shoal)")
	flags.StringVar(&f.ca, "authority", "", "PEM file with certificate and key of the authority that signs for the fleet (default: one of its own)")
	flags.StringVar(&f.notices, "notices", "", "YAML file with whom to tell what: docs/notices.md")
	flags.DurationVar(&o.Lead, "lead", 0, "from a push until its first byte moves, at least: the lead time of notices")
	flags.IntVar(&o.Keep, "keep", 2, "newest releases of an app that the source keeps though no rollout wants them")
	flags.BoolVar(&o.Plain, "plain-peers", false, "let content travel between hosts in the clear")
	flags.StringVar(&f.cache, "cache", "keep", "what becomes of the content's pages in memory: keep or drop")
	return cmd
}

// readNotices reads the outlets of notices; no file is nobody to tell.
func readNotices(file string) (notify.Options, error) {
	if file == "" {
		return notify.Options{}, nil
	}
	text, err := readSmall(file)
	if err != nil {
		return notify.Options{}, err
	}
	o, err := notify.Parse(text)
	if err != nil {
		return o, usagef("docs/notices.md has all keys", "%s: %w", file, err)
	}
	return o, nil
}

// serverDoc is the document {"event":"server"}.
type serverDoc struct {
	Event string `json:"event"`
	URL   string `json:"url"`
	API   string `json:"api"`
	Peers string `json:"peers"`
	CA    string `json:"ca"`
	Token string `json:"token_file,omitempty"`
}

func (s *shell) server(ctx context.Context, o node.ServerOptions) error {
	n := newNotifier(s.log)
	o.Ready = func(at node.Started) {
		n.ready()
		go n.beat(ctx)
		if s.json {
			s.print(serverDoc{"server", at.URL, at.API.String(), at.Peers.String(), at.Pin, at.Token})
		}
		s.printf("server: %s, peers at %s\nauthority: %s\n", at.URL, at.Peers, at.Pin)
		if at.Token != "" {
			s.printf("first start: the admin's token is in %s\n", printable(at.Token))
		}
	}
	err := node.Server(ctx, o)
	n.stopping()
	if stoppedBySignal(ctx) {
		return nil
	}
	return err
}

// beat gives signs of life until ctx ends.
func (n *notifier) beat(ctx context.Context) {
	t := time.NewTicker(time.Second)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			n.alive()
		case <-ctx.Done():
			return
		}
	}
}
