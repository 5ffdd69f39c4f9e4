package webseed

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"shoal/internal/bt/bencode"
	"shoal/internal/bt/metainfo"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const pieceLen = 16 << 10

// entry is a file of a test release; attr "p" makes it padding.
type entry struct {
	path []any
	size int
	attr string
}

// release is an Info with its content in piece space.
type release struct {
	info    *metainfo.Info
	content []byte
}

// makeRelease builds a v1 release; with one entry and no path it is a single file.
func makeRelease(t testing.TB, name string, entries ...entry) release {
	t.Helper()
	r := rand.New(rand.NewPCG(1, 2))
	var content []byte
	var files []any
	for _, e := range entries {
		data := make([]byte, e.size)
		if e.attr != "p" {
			for i := range data {
				data[i] = byte(r.Uint32())
			}
		}
		content = append(content, data...)
		f := map[string]any{"length": e.size, "path": e.path}
		if e.attr != "" {
			f["attr"] = e.attr
		}
		files = append(files, f)
	}
	hashes := bytes.Repeat([]byte{7}, 20*((len(content)+pieceLen-1)/pieceLen)) // nobody verifies here
	dict := map[string]any{"name": name, "piece length": pieceLen, "pieces": hashes}
	if len(entries) == 1 && entries[0].path == nil {
		dict["length"] = entries[0].size
	} else {
		dict["files"] = files
	}
	raw, err := bencode.Append(nil, dict)
	if err != nil {
		t.Fatal(err)
	}
	info, err := metainfo.ParseInfo(raw)
	if err != nil {
		t.Fatal(err)
	}
	return release{info, content}
}

// write puts the content below dir as its files.
func (r release) write(t *testing.T, dir string) {
	t.Helper()
	for _, f := range r.info.Files {
		path := filepath.Join(append([]string{dir, r.info.Name}, f.Path...)...)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, r.content[f.Offset:f.Offset+f.Length], 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// tree has files that end inside of pieces, a file of several pieces, an empty
// one, padding, and names that need care in a URL.
func tree(t testing.TB) release {
	return makeRelease(t, "app #1",
		entry{path: []any{"a b", "100%.txt"}, size: 5000},
		entry{path: []any{"empty"}, size: 0},
		entry{path: []any{"big"}, size: 3*pieceLen + 123},
		entry{path: []any{"\xff\xfe?x"}, size: 777},
		entry{path: []any{".pad", "1"}, size: 2*pieceLen - 6123 + 223, attr: "p"},
		entry{path: []any{"z+&=", "~last;"}, size: 9000},
	)
}
