package cli

import (
	"context"
	"fmt"
	"sync/atomic"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"shoal/internal/bt/metainfo"
	"shoal/internal/bt/storage"
	"shoal/internal/node"
)

const verifyLong = `Compares content with its metafile: hashes every byte on all cores, and looks at
names, types, sizes, modes and links. It changes nothing.

Every damaged, missing and extra file is named. Exit code 0 means that content
and metafile are the same, 3 that they differ.`

func (s *shell) verifyCommand() *cobra.Command {
	var o node.ContentOptions
	var cache string
	cmd := &cobra.Command{
		Use:     "verify FILE --dir DIR",
		Short:   "Check content against its metafile",
		Long:    verifyLong,
		Example: "  shoal verify app-1.4.torrent --dir /srv/releases\n  shoal verify --json app-1.4.torrent --dir /srv/releases --select bin",
		Args:    exactArgs(1, "one metafile"),
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			if o.Cache, err = parseCache(cache); err != nil {
				return err
			}
			return s.verify(cmd.Context(), args[0], o)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.Dir, "dir", ".", "folder that holds the content under the metafile's name")
	flags.StringArrayVar(&o.Select, "select", nil, "check only files that match this GLOB (repeat)")
	flags.BoolVar(&o.AllowOutsideLinks, "allow-outside-links", false, "accept symlinks that point outside of the content")
	flags.StringVar(&cache, "cache", "keep", "what becomes of the content's pages in memory: keep or drop")
	return cmd
}

// verifyDoc is the document {"event":"verified"}.
type verifyDoc struct {
	Event string `json:"event"`
	Name  string `json:"name"`
	OK    bool   `json:"ok"`
	storage.Report
	Seconds float64 `json:"seconds"`
}

func (s *shell) verify(ctx context.Context, source string, o node.ContentOptions) error {
	var done, total atomic.Int64
	start := time.Now()
	stop := s.show(func() sample { return sample{State: "verifying", Done: done.Load(), Total: total.Load(), Peers: -1} })
	info, report, err := node.Verify(ctx, source, o, func(d, t int64) { done.Store(d); total.Store(t) })
	stop()
	if err != nil {
		return fmt.Errorf("verify: %w", err)
	}
	took := time.Since(start)
	if report.Problems == nil {
		report.Problems = []storage.Problem{} // a list in JSON too
	}
	if s.json {
		s.print(verifyDoc{"verified", info.Name, report.OK(), report, took.Seconds()})
	} else {
		s.printReport(info, report, done.Load(), took)
	}
	if !report.OK() {
		return coded{fmt.Errorf("verify: %s in %s differs from its metafile: %s, %d of %d pieces bad", info.Name, o.Dir,
			countText(len(report.Problems), "problem"), report.BadPieces, report.Pieces), CodeDamaged,
			"`shoal get` with the same --dir fetches what is missing or damaged"}
	}
	return nil
}

func (s *shell) printReport(info *metainfo.Info, r storage.Report, hashed int64, took time.Duration) {
	w := tabwriter.NewWriter(s.out, 0, 8, 2, ' ', 0)
	for _, p := range r.Problems {
		detail := ""
		if p.Detail != "" {
			detail = "(" + printable(p.Detail) + ")"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\n", p.Kind, printable(p.Path), detail)
	}
	w.Flush()
	if r.OK() {
		s.printf("%s is intact: %s, %s, verified at %s\n", printable(info.Name), countText(r.Files, "file"),
			bytesText(info.ContentLength()), rateText(float64(hashed)/max(took.Seconds(), 1e-9)))
	}
}
