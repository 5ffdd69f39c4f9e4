package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"shoal/internal/atomicfile"
	"shoal/internal/bt/metainfo"
	"shoal/internal/bt/metainfo/build"
)

const createLong = `Makes the metafile of a file or a folder: names, bytes, modes, symlinks and
empty folders. It hashes on all cores and gives the same metafile for the same
tree (with --no-date to the byte).

The format is hybrid, for old and new clients; v1 clients fetch padding
between its files, and a warning says when that is more than 5 %.

Without --piece-length it is chosen from 64KiB to 16MiB, so that a big release
has 2,000 pieces or more.`

const createExample = `  shoal create -a http://tracker.example:6969/announce ./app-1.4
  shoal create -l 18 -a http://t1/announce,http://t2/announce -a udp://t3:6969 -o app.torrent app-1.4
  shoal create --format v1 -p -s backup -e '*.tmp' -e .git -w http://mirror/files/ app-1.4`

// createFlags are the flags of create as they were typed.
type createFlags struct {
	announce  []string
	comment   string
	noDate    bool
	exclude   []string
	force     bool
	piece     string
	name      string
	output    string
	private   bool
	source    string
	threads   int
	verbose   bool
	webSeeds  []string
	crossSeed bool
	format    string
	outside   bool
}

func (s *shell) createCommand() *cobra.Command {
	var f createFlags
	cmd := &cobra.Command{
		Use:     "create PATH",
		Short:   "Make a metafile (.torrent) of a file or folder",
		Long:    createLong,
		Example: createExample,
		Args:    exactArgs(1, "the file or folder to describe"),
		RunE:    func(cmd *cobra.Command, args []string) error { return s.create(cmd.Context(), args[0], f) },
	}
	flags := cmd.Flags()
	flags.StringArrayVarP(&f.announce, "announce", "a", nil, "tracker URL; repeat for another tier, comma inside a tier")
	flags.StringVarP(&f.comment, "comment", "c", "", "comment for people")
	flags.BoolVarP(&f.noDate, "no-date", "d", false, "leave out the creation date")
	flags.StringArrayVarP(&f.exclude, "exclude", "e", nil, "leave out what matches this GLOB (repeat)")
	flags.BoolVarP(&f.force, "force", "f", false, "overwrite the output file")
	flags.StringVarP(&f.piece, "piece-length", "l", "", "power-of-two exponent (18) or size (4MiB); default automatic")
	flags.StringVarP(&f.name, "name", "n", "", "name of the release (default: that of PATH)")
	flags.StringVarP(&f.output, "output", "o", "", "where to write, - for stdout (default: NAME.torrent in the current folder)")
	flags.BoolVarP(&f.private, "private", "p", false, "only peers from the trackers (BEP 27)")
	flags.StringVarP(&f.source, "source", "s", "", "where this copy comes from; changes the info-hash")
	flags.IntVarP(&f.threads, "threads", "t", 0, "hashing threads (default: all cores)")
	flags.BoolVarP(&f.verbose, "verbose", "v", false, "list the files of the metafile too")
	flags.StringArrayVarP(&f.webSeeds, "web-seed", "w", nil, "http(s) URL that has the content (repeat, or comma)")
	flags.BoolVarP(&f.crossSeed, "cross-seed", "x", false, "make the info-hash unique")
	flags.StringVar(&f.format, "format", "hybrid", "v1, v2 or hybrid")
	flags.BoolVar(&f.outside, "allow-outside-links", false, "accept symlinks that point outside of the tree")
	return cmd
}

// tiers splits the -a flags: each is a tier, a comma parts it.
func tiers(flags []string) ([][]string, error) {
	var out [][]string
	for _, flag := range flags {
		urls, err := splitURLs("announce", flag)
		if err != nil {
			return nil, err
		}
		out = append(out, urls)
	}
	return out, nil
}

// splitURLs parts a flag's value at commas and refuses what is no URL.
func splitURLs(flag, text string) ([]string, error) {
	var out []string
	for u := range strings.SplitSeq(text, ",") {
		u = strings.TrimSpace(u)
		scheme, rest, ok := strings.Cut(u, "://")
		if !ok || scheme == "" || rest == "" {
			return nil, usagef("for example http://tracker.example:6969/announce", "--%s %q is not a URL", flag, u)
		}
		out = append(out, u)
	}
	return out, nil
}

func (f createFlags) options() (build.Options, error) {
	o := build.Options{
		Threads: f.threads, Exclude: f.exclude, AllowOutsideLinks: f.outside, Name: f.name, Private: f.private,
		Source: f.source, Comment: f.comment, CrossSeed: f.crossSeed,
	}
	if f.threads < 0 {
		return o, usagef("", "--threads %d is negative", f.threads)
	}
	var err error
	if o.Version, err = metainfo.ParseVersion(f.format); err != nil {
		return o, usagef("", "--format: %w", err)
	}
	if o.PieceLength, err = parsePieceLength(f.piece); err != nil {
		return o, err
	}
	if o.Announce, err = tiers(f.announce); err != nil {
		return o, err
	}
	for _, w := range f.webSeeds {
		urls, err := splitURLs("web-seed", w)
		if err != nil {
			return o, err
		}
		o.WebSeeds = append(o.WebSeeds, urls...)
	}
	if !f.noDate {
		o.CreationDate = time.Now()
	}
	o.CreatedBy = "shoal " + readVersion().Version
	return o, nil
}

func (s *shell) create(ctx context.Context, path string, f createFlags) error {
	o, err := f.options()
	if err != nil {
		return err
	}
	out := f.output
	if out == "" {
		if out, err = defaultOutput(path, f.name); err != nil {
			return err
		}
	}
	if out == stdout && (s.json || f.verbose) {
		return usagef("", "--output - writes the metafile to stdout, where --json and --verbose write too")
	}
	// Known before an hour of hashing, and again when it is written.
	if err := refuseExisting(out, f.force); err != nil {
		return err
	}
	var done, total atomic.Int64
	o.Progress = func(d, t int64) { done.Store(d); total.Store(t) }
	start := time.Now()
	stop := s.show(func() sample { return sample{State: "hashing", Done: done.Load(), Total: total.Load(), Peers: -1} })
	m, err := build.Build(ctx, path, o)
	stop()
	if err != nil {
		return fmt.Errorf("create: %w", err)
	}
	s.warnCreated(m.Info)
	if out == stdout {
		_, err := s.out.Write(m.Encode())
		return err
	}
	if err := refuseExisting(out, f.force); err != nil {
		return err
	}
	if err := atomicfile.Write(out, m.Encode(), 0o644); err != nil {
		return fmt.Errorf("write metafile: %w", err)
	}
	s.printCreated(m, out, time.Since(start), f.verbose)
	return nil
}

// defaultOutput is NAME.torrent in the current folder.
func defaultOutput(path, name string) (string, error) {
	if name == "" {
		abs, err := filepath.Abs(path)
		if err != nil {
			return "", err
		}
		name = filepath.Base(abs)
	}
	return name + ".torrent", nil
}

// stdout is the output that is no file.
const stdout = "-"

func refuseExisting(out string, force bool) error {
	if out == stdout {
		return nil
	}
	_, err := os.Lstat(out)
	switch {
	case errors.Is(err, fs.ErrNotExist) || (err == nil && force):
		return nil
	case err == nil:
		return coded{fmt.Errorf("%s is there already", out), CodeRefused, "--force overwrites it, --output writes elsewhere"}
	}
	return fmt.Errorf("look at the output file: %w", err)
}

// createDoc is the document {"event":"created"}.
type createDoc struct {
	Event       string    `json:"event"`
	File        string    `json:"file"`
	Name        string    `json:"name"`
	Version     string    `json:"version"`
	Hashes      hashesDoc `json:"hashes"`
	Magnet      string    `json:"magnet"`
	Size        int64     `json:"size"`
	Files       int       `json:"files"`
	PieceLength int64     `json:"piece_length"`
	Pieces      int       `json:"pieces"`
	Padding     int64     `json:"padding"`
	Seconds     float64   `json:"seconds"`
}

// wastefulPadding is the share of padding above which create warns.
const wastefulPadding = 0.05

// transmissionDepth is the number of path elements below the name that
// Transmission 4.1 takes in a file tree: its parser stops at 32 levels.
const transmissionDepth = 27

func deepest(i *metainfo.Info) (n int) {
	for _, f := range i.Files {
		n = max(n, len(f.Path))
	}
	return n
}

// warnCreated tells of what some clients will not like.
func (s *shell) warnCreated(i *metainfo.Info) {
	padding := i.Length() - i.ContentLength()
	if share := float64(padding) / float64(max(i.Length(), 1)); i.HasV1() && share > wastefulPadding {
		fmt.Fprintf(s.screen, "shoal: warning: v1 clients will fetch %s of padding, %.1f %% of the whole\n", bytesText(padding), 100*share)
		fmt.Fprintf(s.screen, "hint: a smaller --piece-length, or --format v1 or v2, which need none\n")
	}
	if n := deepest(i); i.Version == metainfo.Hybrid && n > transmissionDepth {
		fmt.Fprintf(s.screen, "shoal: warning: a path has %d elements; Transmission reads no hybrid with more than %d\n", n, transmissionDepth)
		fmt.Fprintf(s.screen, "hint: --format v1, if Transmission takes part\n")
	}
}

func (s *shell) printCreated(m *metainfo.Metafile, out string, took time.Duration, verbose bool) {
	i := m.Info
	if s.json {
		s.print(createDoc{"created", out, i.Name, i.Version.String(), hashesOf(i), m.Magnet().String(), i.ContentLength(),
			len(i.Files), i.PieceLength, i.NumPieces(), i.Length() - i.ContentLength(), took.Seconds()})
		return
	}
	if verbose {
		s.printf("%s\n", describe(m).tree())
	}
	h := hashesOf(i)
	s.printf("wrote %s: %s, %s in %s, %s of %s, hashed at %s\n", out, i.Version, bytesText(i.ContentLength()),
		countText(len(i.Files), "file"), countText(i.NumPieces(), "piece"), binaryText(i.PieceLength), rateText(float64(i.ContentLength())/max(took.Seconds(), 1e-9)))
	if h.V1 != "" {
		s.printf("info-hash v1: %s\n", h.V1)
	}
	if h.V2 != "" {
		s.printf("info-hash v2: %s\n", h.V2)
	}
	s.printf("%s\n", m.Magnet())
}
