package metainfo

import (
	"bytes"
	"encoding/hex"
	"os"
	"path/filepath"
	"testing"
)

// clientFiles are metafiles that stock clients made of one small tree, and the
// info-hashes that those clients say they have.
var clientFiles = []struct{ name, v1, v2 string }{
	{"libtorrent-v1", "bdf22353cba6663dbebce58d4ca1e9679daf28af", ""},
	{"libtorrent-v2", "", "3451d8ef4f8d811f0d5ffc4db6d11117cf0163dd089e9423ee7f643d573b8a27"},
	{"libtorrent-hybrid", "14bd5623b6c609f57512ce9f93ae711911023d15", "e8877a5a8b31a49bec5e5e3359349961951c11399d1daff2e25ad854cb6c8fc5"},
	{"libtorrent-hybrid-no-tail", "09410eefa1fd1e82300127f511a38af7e768b02a", "c3769232833b7a5de9f1bfa8f5e09dc78d2542e2e9729e77c7b5bc1ee83fb40e"},
	{"libtorrent-single-v2", "", "ad9d13cbc06c59ea143e85403eff75bdf7966820c68e7f94b0869f80e3ec5041"},
	{"libtorrent-single-hybrid", "7f6744ab7aab62cb3d9a5e5f87971d152871d822", "c4a8159efdcc0a3fc5c79e47def91bbd09ce45b4d1a2b59cc3450b7cb6c79800"},
	{"mktorrent", "6ba46ef4428a161226af232ba574f68925e998fc", ""},
	{"transmission-create", "951e5bcba6d9f22fca68a72439b7f5bc2b43d6dc", ""},
}

// clientTree is the content of those metafiles. Some clients follow the link in
// it to sub/b.txt.
func clientTree(f *File) []byte {
	switch DisplayPath(f.Path) {
	case "", "a.bin":
		return bytes.Repeat([]byte("a"), 40_000)
	case "sub/b.txt":
		return []byte("hello\n")
	case "link":
		if !f.IsLink() {
			return []byte("hello\n")
		}
	case "d/c.bin":
		return bytes.Repeat([]byte("b"), 70_000)
	}
	return nil
}

func TestMetafilesOfClients(t *testing.T) {
	for _, c := range clientFiles {
		raw, err := os.ReadFile(filepath.Join("testdata", "clients", c.name+".torrent"))
		if err != nil {
			t.Fatal(err)
		}
		m, err := Parse(raw)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if len(m.Warnings) > 0 || !bytes.Equal(m.Encode(), raw) {
			t.Errorf("%s: warnings %q, same bytes %v", c.name, m.Warnings, bytes.Equal(m.Encode(), raw))
		}
		if m.Info.HasV1() != (c.v1 != "") || m.Info.HasV1() && hex.EncodeToString(m.Info.HashV1[:]) != c.v1 {
			t.Errorf("%s: v1 %x, want %s", c.name, m.Info.HashV1, c.v1)
		}
		if m.Info.HasV2() != (c.v2 != "") || m.Info.HasV2() && hex.EncodeToString(m.Info.HashV2[:]) != c.v2 {
			t.Errorf("%s: v2 %x, want %s", c.name, m.Info.HashV2, c.v2)
		}
		checkClientContent(t, c.name, m)
	}
}

func checkClientContent(t *testing.T, name string, m *Metafile) {
	t.Helper()
	made := content{info: m.Info, layers: m.Layers, space: make([]byte, m.Info.Length())}
	for n := range m.Info.Files {
		f := &m.Info.Files[n]
		b := clientTree(f)
		if int64(len(b)) != f.Length {
			t.Errorf("%s: %q has %d bytes, want %d", name, f.Path, f.Length, len(b))
		}
		copy(made.space[f.Offset:], b)
	}
	check := made.hashes(t).NewChecker()
	for n := range m.Info.NumPieces() {
		check.Reset(Piece(n))
		if !check.WriteAt(made.piece(Piece(n)), 0) || !check.OK() {
			t.Errorf("%s: piece %d does not match", name, n)
		}
	}
}
