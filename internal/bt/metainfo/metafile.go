package metainfo

import (
	"fmt"
	"time"

	"shoal/internal/bt/bencode"
)

// Metafile is the content of a .torrent file: an info dictionary and what helps
// to find peers for it.
type Metafile struct {
	Info         *Info
	Layers       Layers     // v2 piece layers as they stand there; NewHashes checks them
	Announce     [][]string // tracker URLs in tiers (BEP 12)
	WebSeeds     []string   // BEP 19
	Nodes        []string   // BEP 5, host:port
	Comment      string
	CreatedBy    string
	CreationDate time.Time // zero if there is none
	Warnings     []string  // leniencies that Parse needed
	Raw          []byte    // what Parse read; nil if the Metafile was made here

	original []field // keys as Parse read them, in their order
}

// field is one top-level key of a metafile that was read.
type field struct {
	key   string
	value bencode.Value
}

const (
	maxTrackers = 1000 // and as many web seeds and nodes
	maxURL      = 8 << 10
)

// Parse reads a metafile. The Metafile keeps raw: do not change it. The piece
// layers are not hashed here but by NewHashes.
func Parse(raw []byte) (*Metafile, error) { return Options{}.Parse(raw) }

// Parse is the function Parse with the leniencies of o.
func (o Options) Parse(raw []byte) (*Metafile, error) {
	doc, err := bencode.Scan(raw, bencodeLimits())
	if err != nil {
		return nil, fmt.Errorf("not a metafile: %w", err)
	}
	if doc.Root.Kind() != bencode.Dict {
		return nil, fmt.Errorf("not a metafile: it is %s, want a dictionary", doc.Root.Kind())
	}
	if doc.Root.Len() > maxKeys {
		return nil, fmt.Errorf("not a metafile: %d keys are more than the limit of %d", doc.Root.Len(), maxKeys)
	}
	m := &Metafile{Raw: raw, Warnings: doc.Warnings}
	if doc.Size < len(raw) {
		m.warn("%d bytes behind the end of the metafile are left out", len(raw)-doc.Size)
	}
	for key, value := range doc.Root.Dict() {
		m.original = append(m.original, field{string(key), value})
	}
	info := m.get("info")
	if info.Kind() == 0 {
		return nil, &KeyError{"info", "missing"}
	}
	var warnings []string
	if m.Info, warnings, err = o.parseInfo(info); err != nil {
		return nil, err
	}
	m.Warnings = append(m.Warnings, warnings...)
	m.readRest()
	if err := m.readLayers(m.get("piece layers")); err != nil {
		return nil, err
	}
	return m, nil
}

func (m *Metafile) warn(format string, args ...any) {
	if len(m.Warnings) < maxWarnings {
		m.Warnings = append(m.Warnings, fmt.Sprintf(format, args...))
	}
}

// get is the value of a top-level key as it was read.
func (m *Metafile) get(key string) bencode.Value {
	for _, f := range m.original {
		if f.key == key {
			return f.value
		}
	}
	return bencode.Value{}
}

// readRest reads the keys that only help: what is wrong there is told and left
// out, since the content can be had without.
func (m *Metafile) readRest() {
	m.Announce = m.readTrackers()
	m.WebSeeds = m.readWebSeeds()
	m.Nodes = m.readNodes()
	m.Comment = m.readText("comment")
	m.CreatedBy = m.readText("created by")
	m.CreationDate = m.readDate()
}

func (m *Metafile) readText(key string) string {
	v := m.get(key)
	text, ok := v.Text()
	if !ok && v.Kind() != 0 {
		m.warn("%s: %s", key, wrongKind(v, "a string"))
	}
	return text
}

// lastDate is the end of the year 9999, behind which dates do not print.
const lastDate = 253402300799

func (m *Metafile) readDate() time.Time {
	v := m.get("creation date")
	n, ok := v.Int()
	if v.Kind() != 0 && (!ok || n <= 0 || n > lastDate) {
		m.warn("creation date: not a time in seconds")
		return time.Time{}
	}
	if !ok {
		return time.Time{}
	}
	return time.Unix(n, 0).UTC()
}

// readTrackers prefers announce-list over announce, as BEP 12 has it, unless
// the list is empty.
func (m *Metafile) readTrackers() [][]string {
	var tiers [][]string
	n := 0
	list := m.get("announce-list")
	if list.Kind() != 0 && list.Kind() != bencode.List {
		m.warn("announce-list: %s", wrongKind(list, "a list"))
	}
	for tier := range list.List() {
		if tier.Kind() != bencode.List {
			m.warn("announce-list: a tier is %s, want a list", tier.Kind())
			continue
		}
		var urls []string
		for v := range tier.List() {
			if url, ok := m.readURL("announce-list", v); ok && n < maxTrackers {
				urls = append(urls, url)
				n++
			}
		}
		if len(urls) > 0 {
			tiers = append(tiers, urls)
		}
	}
	if len(tiers) > 0 {
		return tiers
	}
	if v := m.get("announce"); v.Kind() != 0 {
		if url, ok := m.readURL("announce", v); ok {
			return [][]string{{url}}
		}
	}
	return nil
}

// readURL reads a string that may be a URL; whether it can be used is for whom
// uses it. Empty ones are common and mean nothing.
func (m *Metafile) readURL(key string, v bencode.Value) (string, bool) {
	url, ok := v.Text()
	switch {
	case !ok:
		m.warn("%s: %s", key, wrongKind(v, "a string"))
	case len(url) > maxURL:
		m.warn("%s: a URL of %d bytes is left out", key, len(url))
	default:
		return url, url != ""
	}
	return "", false
}

// readWebSeeds reads url-list, which is a list or one string (BEP 19).
func (m *Metafile) readWebSeeds() []string {
	v := m.get("url-list")
	var urls []string
	switch v.Kind() {
	case 0:
	case bencode.String:
		if url, ok := m.readURL("url-list", v); ok {
			urls = append(urls, url)
		}
	case bencode.List:
		for e := range v.List() {
			if url, ok := m.readURL("url-list", e); ok && len(urls) < maxTrackers {
				urls = append(urls, url)
			}
		}
	default:
		m.warn("url-list: %s", wrongKind(v, "a list"))
	}
	return urls
}

// readNodes reads pairs of host and port (BEP 5).
func (m *Metafile) readNodes() []string {
	var nodes []string
	for pair := range m.get("nodes").List() {
		var host string
		var port int64
		for v := range pair.List() {
			if text, ok := v.Text(); ok && host == "" {
				host = text
			}
			if n, ok := v.Int(); ok {
				port = n
			}
		}
		node := joinHostPort(host, uint16(port))
		if h, n, err := splitHostPort(node); err != nil || pair.Len() != 2 || h != host || int64(n) != port {
			m.warn("nodes: an entry is not a host and a port")
			continue
		}
		if len(nodes) < maxTrackers {
			nodes = append(nodes, node)
		}
	}
	return nodes
}

// readLayers reads the piece layers of a v2 torrent and checks their sizes.
// Layers that are missing can be had from peers; wrong ones mean that the
// metafile is broken.
func (m *Metafile) readLayers(v bencode.Value) error {
	if !m.Info.HasV2() {
		return nil
	}
	if v.Kind() != 0 && v.Kind() != bencode.Dict {
		return &KeyError{"piece layers", wrongKind(v, "a dictionary")}
	}
	if v.Len() > len(m.Info.Files) {
		return &KeyError{"piece layers", fmt.Sprintf("%d entries for %d files", v.Len(), len(m.Info.Files))}
	}
	m.Layers = make(Layers, v.Len())
	for key, value := range v.Dict() {
		layer, ok := value.Bytes()
		if len(key) != hashSize || !ok || len(layer)%hashSize != 0 {
			return &KeyError{"piece layers", "an entry is not a SHA-256 hash and a row of such hashes"}
		}
		m.Layers[[hashSize]byte(key)] = layer
	}
	lacking, first := 0, ""
	for n := range m.Info.Files {
		f := &m.Info.Files[n]
		if f.Length <= m.Info.PieceLength {
			continue
		}
		layer, ok := m.Layers[f.Root]
		if want := layerSize(m.Info, f); ok && int64(len(layer)) != want {
			return &KeyError{"piece layers", fmt.Sprintf("%q: %d bytes, want %d", m.Info.display(f), len(layer), want)}
		}
		if !ok {
			if lacking++; lacking == 1 {
				first = m.Info.display(f)
			}
		}
	}
	if lacking > 0 {
		m.warn("piece layers: missing for %d files, %q first", lacking, first)
	}
	return nil
}
