package cli

import (
	"cmp"
	"context"
	"time"

	"github.com/spf13/cobra"

	"shoal/internal/node"
	"shoal/internal/topology"
)

const getLong = `Fetches the content of a metafile into DIR, under the metafile's own name, and
ends with exit code 0 when every byte is verified and on disk, with its modes,
links and empty folders.

The metafile is a FILE, an http or https URL of one, or a MAGNET link. Content
that is already there is verified and kept, so an interrupted get goes on where
it stopped. A different file under the same name is refused unless --overwrite.

With --seed it goes on serving what it has until it is told to stop.

CMD of --on-complete is run once by sh, at completion, with SHOAL_NAME,
SHOAL_PATH and SHOAL_INFO_HASH set; it is run too when the content was complete
at the start.

A RATE carries its unit: 50MB/s, 400mbit. A GLOB of --select is matched against
a path in the release, each folder above it or, without a slash, the last
element; what is not selected is not fetched.`

const getExample = `  shoal get app-1.4.torrent --dir /srv/releases
  shoal get http://tracker.example:6969/torrents/app-1.4.torrent --dir /srv/releases --seed --on-complete ./activate.sh
  shoal get 'magnet:?xt=urn:btih:...' --dir . --peer 10.1.2.3:6881
  shoal get app-1.4.torrent --dir . --down 50MB/s --select '*.bin' --select docs`

// getFlags are the flags of get as they were typed.
type getFlags struct {
	peerFlags
	content node.ContentOptions
	cache   string
	seed    bool
	hook    string
}

func (s *shell) getCommand() *cobra.Command {
	var f getFlags
	cmd := &cobra.Command{
		Use:     "get FILE|URL|MAGNET --dir DIR",
		Short:   "Fetch content; exit 0 means every byte is verified and on disk",
		Long:    getLong,
		Example: getExample,
		Args:    exactArgs(1, "one metafile, URL or magnet link"),
		RunE:    func(cmd *cobra.Command, args []string) error { return s.get(cmd.Context(), args[0], f) },
	}
	flags := cmd.Flags()
	f.peerFlags.add(flags)
	flags.StringVar(&f.content.Dir, "dir", ".", "folder that will hold the content under the metafile's name")
	flags.BoolVar(&f.seed, "seed", false, "go on serving after completion")
	flags.StringVar(&f.hook, "on-complete", "", "command to run once when everything is there")
	flags.StringArrayVar(&f.content.Peers, "peer", nil, "a peer to connect to, HOST:PORT (repeat)")
	flags.StringArrayVar(&f.content.Select, "select", nil, "fetch only files that match this GLOB (repeat)")
	flags.BoolVar(&f.content.Overwrite, "overwrite", false, "replace different files that have the same names")
	flags.BoolVar(&f.content.AllowOutsideLinks, "allow-outside-links", false, "accept symlinks that point outside of the content")
	flags.StringVar(&f.content.ResumeDir, "state-dir", "", "folder for the resume record (default: beside the content)")
	flags.StringVar(&f.cache, "cache", "keep", "what becomes of the content's pages in memory: keep or drop")
	return cmd
}

func (s *shell) get(ctx context.Context, source string, f getFlags) error {
	o, err := f.options(s)
	if err != nil {
		return err
	}
	if f.content.Cache, err = parseCache(f.cache); err != nil {
		return err
	}
	start := time.Now()
	g := node.NewGet(node.GetOptions{Options: o, Source: source, Content: f.content, Seed: f.seed, OnComplete: f.hook})
	var stop func()
	g.Report = func(e node.Event) {
		switch e.Kind {
		case node.Complete:
			stop()
			s.printComplete(e, time.Since(start), f.seed)
		case node.Budget:
			s.printBudget(e)
		}
	}
	stop = s.show(func() sample { return sampleOf(g.Status()) })
	defer stop()
	err = g.Run(ctx)
	if err != nil && g.Status().Complete && stoppedBySignal(ctx) {
		return nil // it was asked to stop serving
	}
	return err
}

// sampleOf is the progress of a get for a bar or a line.
func sampleOf(st node.Status) sample {
	return sample{State: st.State, Done: st.Done, Total: st.Total, Peers: st.Peers}
}

// completeDoc is the document {"event":"complete"}.
type completeDoc struct {
	Event      string  `json:"event"`
	Name       string  `json:"name"`
	Path       string  `json:"path"`
	InfoHash   string  `json:"info_hash"`
	Bytes      int64   `json:"bytes"`
	Downloaded int64   `json:"downloaded"`
	Wasted     int64   `json:"wasted"`
	Seconds    float64 `json:"seconds"`

	Datacenters []movedDoc `json:"datacenters"` // what came from where
}

// movedDoc is what was moved to and from one data centre.
type movedDoc struct {
	Datacenter string `json:"datacenter"` // "unknown" where that is so
	Own        bool   `json:"own"`        // it is this host's
	Received   int64  `json:"received"`
	Sent       int64  `json:"sent"`
}

func (s *shell) printComplete(e node.Event, took time.Duration, seeding bool) {
	moved := []movedDoc{}
	for _, m := range e.Moved {
		moved = append(moved, movedDoc{cmp.Or(m.Datacenter, topology.Unknown), m.Own, m.Received, m.Sent})
	}
	if s.json {
		s.print(completeDoc{"complete", e.Name, e.Path, e.InfoHash, e.Status.Total,
			e.Status.Downloaded, e.Status.Wasted, took.Seconds(), moved})
		return
	}
	s.printf("complete: %s (%s, %s fetched in %s)\n", e.Path, bytesText(e.Status.Total),
		bytesText(e.Status.Downloaded), took.Round(time.Millisecond*10))
	for _, m := range moved {
		if m.Datacenter == topology.Unknown && len(moved) == 1 {
			break // no place is known: there is nothing to tell apart
		}
		kind := "over the WAN"
		if m.Own {
			kind = "this data centre"
		}
		s.printf("  %s (%s): %s received, %s sent\n", m.Datacenter, kind, bytesText(m.Received), bytesText(m.Sent))
	}
	if seeding {
		s.printf("seeding until stopped\n")
	}
}
