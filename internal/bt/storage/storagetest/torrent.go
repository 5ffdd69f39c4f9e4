// Package storagetest is what tests of storage need: small torrents of every
// version made in memory, and one conformance suite that every implementation
// of storage passes (the disk and its memory twin).
//
// It never touches the network and is linked into tests only.
package storagetest

import (
	"bytes"
	"crypto/sha1"
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"shoal/internal/bt/bencode"
	"shoal/internal/bt/metainfo"
)

// Entry is one thing of a test torrent's tree.
type Entry struct {
	Path string // below the name, with slashes; "" makes a single-file torrent
	Data []byte
	Mode uint32 // permission bits; 0: the torrent does not say
	Link string // the text of a symbolic link; Data does not count then
	Dir  bool   // a folder that is listed
}

// Torrent is a made-up torrent and its content.
type Torrent struct {
	Info    *metainfo.Info
	Hashes  *metainfo.Hashes
	Entries []Entry
	Space   []byte // piece space: all content with padding
}

// Name is the name of every test torrent.
const Name = "app"

// Bytes are n reproducible bytes that differ by seed.
func Bytes(n int, seed byte) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{seed}).Read(b) // never fails
	return b
}

// Make builds a torrent. Entries are put in the order of the v2 file tree.
func Make(t testing.TB, version metainfo.Version, pieceLength int, entries ...Entry) *Torrent {
	t.Helper()
	m := maker{version: version, piece: pieceLength, layers: metainfo.Layers{}}
	m.entries = slices.Clone(entries)
	slices.SortStableFunc(m.entries, func(a, b Entry) int { return metainfo.ComparePaths(a.elements(), b.elements()) })
	raw, err := bencode.Append(nil, m.info())
	if err != nil {
		t.Fatal(err)
	}
	info, err := metainfo.Options{AllowOutsideLinks: true}.ParseInfo(raw)
	if err != nil {
		t.Fatal(err)
	}
	hashes, err := metainfo.NewHashes(info, m.layers)
	if err != nil {
		t.Fatal(err)
	}
	if int64(len(m.space)) != info.Length() {
		t.Fatalf("made %d bytes of piece space, metainfo sees %d", len(m.space), info.Length())
	}
	return &Torrent{Info: info, Hashes: hashes, Entries: m.entries, Space: m.space}
}

// Piece is the content of one piece without trailing padding.
func (t *Torrent) Piece(p metainfo.Piece) []byte {
	off := t.Info.PieceOffset(p)
	return t.Space[off : off+t.Info.PieceData(p)]
}

func (e Entry) elements() []string {
	if e.Path == "" {
		return nil
	}
	return strings.Split(e.Path, "/")
}

// maker assembles an info dictionary.
type maker struct {
	version metainfo.Version
	piece   int
	entries []Entry
	space   []byte
	layers  metainfo.Layers
}

func (m *maker) info() map[string]any {
	info := map[string]any{"name": Name, "piece length": m.piece}
	single := len(m.entries) == 1 && m.entries[0].Path == ""
	files := m.fill(single)
	if m.version != metainfo.V2 {
		m.v1(info, files, single)
	}
	if m.version != metainfo.V1 {
		m.v2(info, single)
	}
	if posix := m.posix(); len(posix) > 0 {
		info["posix"] = posix
	}
	return info
}

// fill lays the content out in piece space and lists it the way v1 does.
func (m *maker) fill(single bool) (files []any) {
	for _, e := range m.entries {
		if e.Dir {
			continue
		}
		if pad := -len(m.space) & (m.piece - 1); m.version != metainfo.V1 && pad > 0 && len(e.Data) > 0 {
			files = append(files, map[string]any{"length": pad, "attr": "p", "path": []string{".pad", "0"}})
			m.space = append(m.space, make([]byte, pad)...)
		}
		file := map[string]any{"path": e.elements(), "length": len(e.Data)}
		if e.Link != "" {
			file["attr"], file["symlink path"], file["length"] = "l", e.target(), 0
		} else {
			m.space = append(m.space, e.Data...)
		}
		files = append(files, file)
	}
	return files
}

func (m *maker) v1(info map[string]any, files []any, single bool) {
	var pieces bytes.Buffer
	for piece := range slices.Chunk(m.space, m.piece) {
		sum := sha1.Sum(piece)
		pieces.Write(sum[:])
	}
	info["pieces"] = pieces.Bytes()
	if single {
		info["length"] = len(m.space)
	} else {
		info["files"] = files
	}
}

func (m *maker) v2(info map[string]any, single bool) {
	tree := map[string]any{}
	for _, e := range m.entries {
		if e.Dir {
			continue
		}
		at, path := tree, e.elements()
		if single {
			path = []string{Name}
		}
		for _, name := range path {
			if at[name] == nil {
				at[name] = map[string]any{}
			}
			at = at[name].(map[string]any)
		}
		at[""] = m.leaf(e)
	}
	info["file tree"], info["meta version"] = tree, 2
}

func (m *maker) leaf(e Entry) map[string]any {
	if e.Link != "" {
		return map[string]any{"attr": "l", "symlink path": e.target()}
	}
	leaf := map[string]any{"length": len(e.Data)}
	if len(e.Data) == 0 {
		return leaf
	}
	var layer []byte
	for piece := range slices.Chunk(e.Data, m.piece) {
		var leaves []byte
		for block := range slices.Chunk(piece, metainfo.BlockSize) {
			hash := metainfo.LeafHash(block)
			leaves = append(leaves, hash[:]...)
		}
		root := metainfo.PieceRoot(leaves, int64(m.piece), len(e.Data) <= m.piece)
		layer = append(layer, root[:]...)
	}
	root := [32]byte(layer)
	if len(e.Data) > m.piece {
		root = metainfo.LayerRoot(layer, int64(m.piece))
		m.layers[root] = layer
	}
	leaf["pieces root"] = root[:]
	return leaf
}

// target is the link's target from the root of the tree, where it can be told.
func (e Entry) target() []string {
	if strings.HasPrefix(e.Link, "/") || strings.HasPrefix(e.Link, "..") {
		return []string{"..", "outside"}
	}
	path := e.elements()
	return append(slices.Clone(path[:len(path)-1]), strings.Split(e.Link, "/")...)
}

// posix is our additional key: modes, link texts and folders.
func (m *maker) posix() map[string]any {
	posix := map[string]any{}
	var modes []byte
	var links, dirs []any
	said := false
	for _, e := range m.entries {
		if e.Dir {
			dir := map[string]any{"path": e.elements()}
			if e.Mode != 0 {
				dir["mode"] = int(e.Mode)
			}
			dirs = append(dirs, dir)
			continue
		}
		mode := uint16(e.Mode)
		if e.Mode == 0 || e.Link != "" {
			mode = 0xffff
		}
		said = said || mode != 0xffff
		modes = binary.BigEndian.AppendUint16(modes, mode)
		if e.Link != "" {
			links = append(links, e.Link)
		}
	}
	if said {
		posix["modes"] = modes
	}
	if len(links) > 0 {
		posix["links"] = links
	}
	if len(dirs) > 0 {
		posix["dirs"] = dirs
	}
	return posix
}
