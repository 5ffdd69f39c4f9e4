package metainfo

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"shoal/internal/bt/bencode"
)

// seedInfos are info dictionaries of every form for the fuzzers to start from.
func seedInfos() []dict {
	return []dict{
		single1, multi1, single2, multi2, hybrid, hybridSingle,
		file1(dict{"attr": "l", "symlink path": list{"a"}}), file1(dict{"attr": "x"}), file1(dict{"path": list{"..", "b"}}),
		file1(dict{"attr": "l", "symlink path": list{"..", "b"}}), file1(dict{"path": list{".pad", "6"}}),
		leaf(dict{"attr": "l", "symlink path": list{"z"}}), leaf(dict{"length": 20000}), tree(dict{"e": dict{}, "f": tree2["a"]}),
		posix(dict{"modes": "\x01\xed\x01\xa4", "dirs": list{dict{"path": list{"e"}, "mode": 0o700}, dict{"path": list{}}}}),
		with(file1(dict{"attr": "l", "symlink path": list{"a"}}), dict{"posix": dict{"links": list{"./a"}}}),
		with(single2, dict{"posix": dict{"dirs": list{dict{"path": list{}}}}}),
		with(multi1, dict{"private": 1, "source": "s", "x_cross_seed": "k"}),
	}
}

func clientSeeds(f *testing.F) (raws [][]byte) {
	names, err := filepath.Glob(filepath.Join("testdata", "clients", "*.torrent"))
	if err != nil || len(names) == 0 {
		f.Fatal("no metafiles of clients", err)
	}
	for _, name := range names {
		raw, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		raws = append(raws, raw)
	}
	return raws
}

// FuzzParse: what is accepted encodes to the same bytes if it was canonical, and
// to a metafile of the same torrent in any case.
func FuzzParse(f *testing.F) {
	for _, raw := range clientSeeds(f) {
		f.Add(raw)
	}
	for _, info := range seedInfos() {
		f.Add(encode(f, dict{"info": info, "announce": "http://a/", "announce-list": list{list{"http://a/"}}, "url-list": "w",
			"nodes": list{list{"h", 1}}, "creation date": 5, "comment": "c", "piece layers": dict{}}))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		m, err := Parse(raw)
		if err != nil {
			return
		}
		doc, err := bencode.Scan(raw, bencodeLimits())
		if err != nil {
			t.Fatal(err)
		}
		out := m.Encode()
		if doc.Canonical && !bytes.Equal(out, raw[:doc.Size]) {
			t.Fatalf("%q became %q", raw[:doc.Size], out)
		}
		again, err := Parse(out)
		if err != nil {
			t.Fatalf("%q, from %q: %v", out, raw, err)
		}
		if !reflect.DeepEqual(again.Info, m.Info) || !reflect.DeepEqual(again.Announce, m.Announce) || !bytes.Equal(again.Encode(), out) {
			t.Fatalf("%q became %q", raw, out)
		}
		if link, err := ParseMagnet(m.Magnet().String()); err == nil && !link.Names(m.Info) {
			t.Fatalf("%s does not name its torrent", link)
		}
		_, _ = NewHashes(m.Info, m.Layers)
	})
}

// FuzzParseInfo: what is accepted is safe to put on disk and adds up.
func FuzzParseInfo(f *testing.F) {
	for _, info := range seedInfos() {
		f.Add(encode(f, info))
	}
	for _, raw := range clientSeeds(f) {
		v, err := bencode.Parse(raw, bencode.Limits{})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(v.Get("info").Raw())
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		i, err := ParseInfo(raw)
		if err != nil {
			return
		}
		if !filepath.IsLocal(i.Name) || strings.Contains(i.Name, "/") {
			t.Fatalf("name %q", i.Name)
		}
		sum, seen := int64(0), map[string]bool{}
		for n := range i.Files {
			file := &i.Files[n]
			path := DisplayPath(file.Path)
			if !i.SingleFile && !filepath.IsLocal(path) || seen[path] || file.Outside {
				t.Fatalf("file %q", path)
			}
			seen[path] = true
			sum += file.Length
			if file.Offset < 0 || file.Length < 0 || file.end() > i.Length() || file.IsLink() && file.Target() == "" {
				t.Fatalf("%+v", file)
			}
			if first, end := i.FilePieces(n); first > end || int(end) > i.NumPieces() {
				t.Fatalf("%q has pieces %d to %d of %d", path, first, end, i.NumPieces())
			}
		}
		if sum != i.ContentLength() || sum < 1 || sum > i.Length() || i.NumPieces() < 1 || i.NumPieces() > MaxPieces {
			t.Fatalf("%d bytes in %d of %d", sum, i.NumPieces(), i.Length())
		}
		for _, p := range []Piece{0, Piece(i.NumPieces() / 2), Piece(i.NumPieces() - 1)} {
			size, data := i.PieceSize(p), i.PieceData(p)
			if data < 1 || data > size || size > i.PieceLength {
				t.Fatalf("piece %d: %d of %d bytes", p, data, size)
			}
			for s := range i.Segments(i.PieceOffset(p), size) {
				size -= s.Length
			}
			if size != 0 {
				t.Fatalf("piece %d: its segments are %d bytes off", p, size)
			}
		}
		NewLayerBuilder(i, nil)
	})
}

func FuzzParseMagnet(f *testing.F) {
	hex1 := strings.Repeat("ab", 20)
	for _, s := range []string{
		"magnet:?xt=urn:btih:" + hex1, "magnet:?xt=urn:btih:MFRGGZDFMZTWQ2LKNNWG23TPOBYXE43U&dn=a+b",
		"magnet:?xt=urn:btmh:1220" + strings.Repeat("cd", 32) + "&tr.1=http%3A%2F%2Fx&ws=http://w/&x.pe=%5B::1%5D:6881",
		"magnet:?xt=urn:btih:" + hex1 + "&x.pe=a%26b:1&dn=100%", "magnet:?", "magnet:?xt.1=urn:btih:" + hex1 + "&tr=%zz",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		m, err := ParseMagnet(s)
		if err != nil {
			return
		}
		again, err := ParseMagnet(m.String())
		if err != nil && len(m.String()) <= maxMagnet || err == nil && !reflect.DeepEqual(again, m) {
			t.Fatalf("%q: %+v, printed as %q: %+v, %v", s, m, m, again, err)
		}
	})
}

// FuzzHashes: no request makes Answer fail, and no answer but the right one
// gets past a LayerBuilder.
func FuzzHashes(f *testing.F) {
	torrents := []layeredFile{layered(f, 16<<10, 513), layered(f, 32<<10, 5), layered(f, 64<<10, 2)}
	for n, torrent := range torrents {
		b := NewLayerBuilder(torrent.info, nil)
		for r := range b.Requests() {
			f.Add(byte(n), r.BaseLayer, r.Index, r.Length, r.ProofLayers, []byte{})
			f.Add(byte(n), r.BaseLayer, r.Index, r.Length, r.ProofLayers, []byte{0, 1})
		}
	}
	f.Add(byte(0), uint32(0), uint32(512), uint32(1), uint32(9), []byte{3, 4, 0})
	f.Fuzz(func(t *testing.T, n byte, base, index, length, proof uint32, change []byte) {
		torrent := torrents[int(n)%len(torrents)]
		h, err := NewHashes(torrent.info, torrent.layers)
		if err != nil {
			t.Fatal(err)
		}
		r := HashRange{torrent.info.Files[0].Root, base, index, length, proof}
		right, ok := h.Answer(r)
		if ok && len(right) != r.Size() {
			t.Fatalf("%+v: %d bytes, Size %d", r, len(right), r.Size())
		}
		answer := bytes.Clone(right)
		for i, c := range change {
			if len(answer) == 0 {
				break
			}
			answer[(i*331+int(c))%len(answer)] ^= c
		}
		b := NewLayerBuilder(torrent.info, nil)
		if err := b.Add(r, answer); err == nil && !bytes.Equal(answer, right) {
			t.Fatalf("%+v: a wrong answer was taken", r)
		}
		if err := b.Add(r, change); err == nil {
			t.Fatalf("%+v: %x was taken for an answer", r, change)
		}
	})
}
