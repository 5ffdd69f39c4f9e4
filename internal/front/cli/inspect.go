package cli

import (
	"context"
	"encoding/hex"
	"fmt"
	"net/url"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"shoal/internal/bt/metainfo"
	"shoal/internal/node"
)

const inspectLong = `Shows what a metafile or magnet link says: hashes, magnet link, sizes, piece
length, padding, trackers, and every file with its mode. Nothing is contacted
but the server of an http(s) URL.`

func (s *shell) inspectCommand() *cobra.Command {
	var outside bool
	cmd := &cobra.Command{
		Use:     "inspect FILE|URL|MAGNET",
		Short:   "Show what a metafile or magnet link says",
		Long:    inspectLong,
		Example: "  shoal inspect app-1.4.torrent\n  shoal inspect --json app-1.4.torrent | jq .magnet\n  shoal inspect 'magnet:?xt=urn:btih:...'",
		Args:    exactArgs(1, "one metafile or magnet link"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return s.inspect(cmd.Context(), args[0], outside)
		},
	}
	cmd.Flags().BoolVar(&outside, "allow-outside-links", false, "accept symlinks that point outside of the content")
	return cmd
}

func (s *shell) inspect(ctx context.Context, source string, outside bool) error {
	d, err := node.Load(ctx, source, outside)
	if err != nil {
		return err
	}
	var doc inspectDoc
	if d.Magnet != nil {
		doc = describeMagnet(d.Magnet)
	} else {
		doc = describe(d.Meta)
	}
	if s.json {
		s.print(doc)
		return nil
	}
	s.printf("%s", doc.text())
	return nil
}

// inspectDoc is the document of inspect. Names are printed as Go's JSON does
// it: bytes that are no UTF-8 become U+FFFD, and raw_path then has them in
// percent-encoding.
type inspectDoc struct {
	Kind     string     `json:"kind"` // "metafile" or "magnet"
	Name     string     `json:"name"`
	Hashes   hashesDoc  `json:"hashes"`
	Magnet   string     `json:"magnet"`
	Trackers [][]string `json:"trackers"`
	WebSeeds []string   `json:"web_seeds,omitempty"`
	Peers    []string   `json:"peers,omitempty"`
	*metaDoc
}

type hashesDoc struct {
	V1 string `json:"v1,omitempty"`
	V2 string `json:"v2,omitempty"`
}

// metaDoc is what only a metafile knows. Sizes are in bytes.
type metaDoc struct {
	Version      string    `json:"version"`
	Size         int64     `json:"size"`
	Padding      int64     `json:"padding"`
	PieceLength  int64     `json:"piece_length"`
	Pieces       int       `json:"pieces"`
	Private      bool      `json:"private"`
	Source       string    `json:"source,omitempty"`
	Comment      string    `json:"comment,omitempty"`
	CreatedBy    string    `json:"created_by,omitempty"`
	CreationDate string    `json:"creation_date,omitempty"`
	SingleFile   bool      `json:"single_file"`
	Files        []fileDoc `json:"files"`
	Dirs         []fileDoc `json:"dirs,omitempty"`
	Warnings     []string  `json:"warnings,omitempty"`
}

// fileDoc is one entry of the tree. Mode is in octal, empty where the metafile
// does not say.
type fileDoc struct {
	Path    string `json:"path"`
	RawPath string `json:"raw_path,omitempty"`
	Size    int64  `json:"size"`
	Mode    string `json:"mode,omitempty"`
	Exec    bool   `json:"exec,omitempty"`
	Link    string `json:"link,omitempty"`
	Root    string `json:"root,omitempty"`
}

func describeMagnet(m *metainfo.Magnet) inspectDoc {
	d := inspectDoc{Kind: "magnet", Name: m.Name, Magnet: m.String(), WebSeeds: m.WebSeeds, Trackers: [][]string{}, Peers: m.Peers}
	for _, t := range m.Trackers {
		d.Trackers = append(d.Trackers, []string{t})
	}
	if m.V1 != nil {
		d.Hashes.V1 = hex.EncodeToString(m.V1[:])
	}
	if m.V2 != nil {
		d.Hashes.V2 = hex.EncodeToString(m.V2[:])
	}
	return d
}

// hashesOf gives the hashes that info has.
func hashesOf(info *metainfo.Info) hashesDoc {
	var h hashesDoc
	if info.HasV1() {
		h.V1 = hex.EncodeToString(info.HashV1[:])
	}
	if info.HasV2() {
		h.V2 = hex.EncodeToString(info.HashV2[:])
	}
	return h
}

func describe(m *metainfo.Metafile) inspectDoc {
	i := m.Info
	d := inspectDoc{
		Kind: "metafile", Name: i.Name, Hashes: hashesOf(i), Magnet: m.Magnet().String(), Trackers: m.Announce, WebSeeds: m.WebSeeds,
		metaDoc: &metaDoc{
			Version: i.Version.String(), Size: i.ContentLength(), Padding: i.Length() - i.ContentLength(),
			PieceLength: i.PieceLength, Pieces: i.NumPieces(), Private: i.Private, Source: i.Source,
			Comment: m.Comment, CreatedBy: m.CreatedBy, SingleFile: i.SingleFile, Files: []fileDoc{}, Warnings: m.Warnings,
		},
	}
	if d.Trackers == nil {
		d.Trackers = [][]string{}
	}
	if !m.CreationDate.IsZero() {
		d.CreationDate = m.CreationDate.UTC().Format(time.RFC3339)
	}
	for n := range i.Files {
		d.Files = append(d.Files, describeFile(i, &i.Files[n]))
	}
	for _, dir := range i.Dirs {
		d.Dirs = append(d.Dirs, pathDoc(metainfo.DisplayPath(dir.Path)+"/", dir.Mode, dir.HasMode))
	}
	return d
}

func describeFile(i *metainfo.Info, f *metainfo.File) fileDoc {
	path := metainfo.DisplayPath(f.Path)
	if i.SingleFile {
		path = i.Name
	}
	d := pathDoc(path, f.Mode, f.HasMode)
	d.Size, d.Exec, d.Link = f.Length, f.Exec, f.Target()
	if f.Root != ([32]byte{}) {
		d.Root = hex.EncodeToString(f.Root[:])
	}
	return d
}

func pathDoc(path string, mode uint32, hasMode bool) fileDoc {
	d := fileDoc{Path: path}
	if clean := strings.ToValidUTF8(path, "\uFFFD"); clean != path {
		d.Path, d.RawPath = clean, (&url.URL{Path: path}).EscapedPath()
	}
	if hasMode {
		d.Mode = fmt.Sprintf("%04o", mode)
	}
	return d
}

// text is the document for people.
func (d inspectDoc) text() string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 8, 2, ' ', 0)
	row := func(name, format string, args ...any) { fmt.Fprintf(w, "%s\t%s\n", name, fmt.Sprintf(format, args...)) }
	row("name", "%s", printable(d.Name))
	if d.Hashes.V1 != "" {
		row("info-hash v1", "%s", d.Hashes.V1)
	}
	if d.Hashes.V2 != "" {
		row("info-hash v2", "%s", d.Hashes.V2)
	}
	if d.metaDoc != nil {
		d.metaDoc.rows(row)
	}
	for n, tier := range d.Trackers {
		row(fmt.Sprintf("tracker tier %d", n+1), "%s", printable(strings.Join(tier, ", ")))
	}
	for _, u := range d.WebSeeds {
		row("web seed", "%s", printable(u))
	}
	for _, p := range d.Peers {
		row("peer", "%s", printable(p))
	}
	row("magnet", "%s", d.Magnet)
	w.Flush()
	if d.metaDoc != nil {
		b.WriteString("\n" + d.metaDoc.tree())
	}
	return b.String()
}

func (d *metaDoc) rows(row func(name, format string, args ...any)) {
	row("version", "%s", d.Version)
	row("size", "%s (%d bytes) in %s", bytesText(d.Size), d.Size, countText(len(d.Files), "file"))
	row("split into", "%s of %s", countText(d.Pieces, "piece"), binaryText(d.PieceLength))
	if d.Padding > 0 {
		row("padding", "%s (%.1f %%)", bytesText(d.Padding), 100*float64(d.Padding)/float64(d.Size+d.Padding))
	}
	if d.Private {
		row("private", "yes")
	}
	for _, r := range [][2]string{{"source", d.Source}, {"comment", d.Comment}, {"created by", d.CreatedBy}, {"created", d.CreationDate}} {
		if r[1] != "" {
			row(r[0], "%s", printable(r[1]))
		}
	}
	for _, warning := range d.Warnings {
		row("warning", "%s", printable(warning))
	}
}

// tree lists the entries: mode, size, path, target.
func (d *metaDoc) tree() string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 8, 2, ' ', tabwriter.AlignRight)
	for _, list := range [][]fileDoc{d.Files, d.Dirs} {
		for _, f := range list {
			mode, size, link := f.Mode, bytesText(f.Size), ""
			if f.Exec && mode == "" {
				mode = "x"
			}
			if f.Link != "" {
				size, link = "link", " -> "+printable(f.Link)
			} else if strings.HasSuffix(f.Path, "/") {
				size = "folder"
			}
			fmt.Fprintf(w, "%s\t%s\t  %s%s\n", mode, size, printable(f.Path), link)
		}
	}
	w.Flush()
	return b.String()
}

// printable keeps bytes from a stranger's metafile from driving the terminal.
func printable(s string) string {
	for _, r := range s {
		if r < ' ' || r == 0x7f || (r >= 0x80 && r < 0xa0) || r == 0xfffd {
			return fmt.Sprintf("%q", s)
		}
	}
	return s
}
