package reuse_test

import (
	"fmt"
	"strings"
	"testing"

	"shoal/internal/bt/metainfo"
	"shoal/internal/bt/storage/storagetest"
	"shoal/internal/deploy/release/reuse"
)

// info makes the Info of a tree written "name=content name=content"; a content
// of one letter is some pieces of it, "" is an empty file, ">x" a link to x.
func info(t *testing.T, v metainfo.Version, tree string) *metainfo.Info {
	t.Helper()
	var entries []storagetest.Entry
	for _, word := range strings.Fields(tree) {
		name, text, _ := strings.Cut(word, "=")
		e := storagetest.Entry{Path: name}
		switch {
		case strings.HasPrefix(text, ">"):
			e.Link = text[1:]
		case text != "":
			e.Data = storagetest.Bytes(40_000, text[0])
		}
		entries = append(entries, e)
	}
	return storagetest.Make(t, v, 32<<10, entries...).Info
}

func TestMake(t *testing.T) {
	const v1, v2, hybrid = metainfo.V1, metainfo.V2, metainfo.Hybrid
	for _, c := range []struct {
		name    string
		version metainfo.Version
		tree    string
		have    map[string]string
		old     metainfo.Version
		want    string
	}{
		{"nothing installed", v2, "a=x b=y", nil, v2, ""},
		{"the same", hybrid, "a=x b=y", map[string]string{"1": "a=x b=y"}, hybrid, "a<1/a b<1/b"},
		{"one changed", hybrid, "a=x b=z", map[string]string{"1": "a=x b=y"}, hybrid, "a<1/a"},
		{"renamed", v2, "dir/c=x z=q", map[string]string{"1": "a=x b=y"}, v2, "dir/c<1/a"},
		{"twice in the new one", v2, "a=x b=x", map[string]string{"1": "a=x c=q"}, v2, "a<1/a b<1/a"},
		{"the first one is taken", v2, "a=x b=y", map[string]string{"1": "a=x q=q", "2": "a=x b=y"}, v2, "a<1/a b<2/b"},
		{"across formats", hybrid, "a=x b=q", map[string]string{"1": "a=x b=y"}, v2, "a<1/a"},
		{"v1 knows no files", v1, "a=x b=y", map[string]string{"1": "a=x b=y"}, hybrid, ""},
		{"v1 knew no files", hybrid, "a=x b=y", map[string]string{"1": "a=x b=y"}, v1, ""},
		{"empty files and links are made", v2, "a=x e= l=>a", map[string]string{"1": "b=y e= l=>b"}, v2, ""},
	} {
		var have []reuse.Installed
		for _, v := range []string{"1", "2"} {
			if tree, ok := c.have[v]; ok {
				have = append(have, reuse.Installed{Version: v, Info: info(t, c.old, tree)})
			}
		}
		fresh := info(t, c.version, c.tree)
		p := reuse.Make(fresh, have)
		var got []string
		var bytes int64
		for _, x := range p.Copies {
			from := have[0].Info
			if x.Version != have[0].Version {
				from = have[1].Info
			}
			got = append(got, fmt.Sprintf("%s<%s/%s", metainfo.DisplayPath(fresh.Files[x.File].Path), x.Version, metainfo.DisplayPath(from.Files[x.From].Path)))
			bytes += fresh.Files[x.File].Length
		}
		if strings.Join(got, " ") != c.want || p.Bytes != bytes {
			t.Errorf("%s: %q, %d bytes; want %q, %d", c.name, got, p.Bytes, c.want, bytes)
		}
	}
}
