package build

import (
	"path/filepath"
	"strings"
	"testing"

	"shoal/internal/bt/metainfo"
)

func TestBuildRefuses(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "r")
	put(t, dir, "f", 5, 0o644)
	link(t, filepath.Dir(dir), "link", "r")
	none := filepath.Join(t.TempDir(), "none")
	folder(t, none, "a/b", 0o755)
	put(t, none, "empty", 0, 0o644)
	deep := filepath.Join(t.TempDir(), "deep")
	put(t, deep, strings.Repeat("d/", maxDepth+1)+"f", 1, 0o644)
	for name, c := range map[string]struct {
		path, want string
		o          Options
	}{
		"missing":      {dir + "x", "no such file", Options{}},
		"link":         {filepath.Join(filepath.Dir(dir), "link"), "is a symbolic link", Options{}},
		"device":       {"/dev/null", "a character device", Options{}},
		"no content":   {none, "no content", Options{}},
		"too deep":     {deep, "nested more than", Options{}},
		"piece length": {dir, "info.piece length", Options{PieceLength: 100 << 10}},
		"tiny pieces":  {dir, "info.piece length", Options{PieceLength: 8 << 10}},
		"huge pieces":  {dir, "info.piece length", Options{PieceLength: 1 << 30, Version: metainfo.V1}},
		"name":         {dir, "info.name", Options{Name: "a/b"}},
		"root":         {"/", "has no name", Options{}},
	} {
		if _, err := Build(t.Context(), c.path, c.o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: err = %v, want %q", name, err, c.want)
		}
	}
}
