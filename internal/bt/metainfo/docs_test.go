package metainfo

import (
	"bytes"
	"encoding/hex"
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestExampleOfTheDocs: the key that docs/metafile.md spells out is what is
// written for the tree that it shows, in every format.
func TestExampleOfTheDocs(t *testing.T) {
	text, err := os.ReadFile("../../../docs/metafile.md")
	if err != nil {
		t.Fatal(err)
	}
	_, example, _ := strings.Cut(string(text), "    5:posix d\n")
	example, _, found := strings.Cut(example, "\n\n")
	if !found {
		t.Fatal("docs/metafile.md has no example of the key posix")
	}
	want := regexp.MustCompile(`<[0-9a-f ]+>`).ReplaceAllStringFunc(example, func(s string) string {
		b, err := hex.DecodeString(strings.NewReplacer("<", "", ">", "", " ", "").Replace(s))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	})
	want = "5:posixd" + strings.NewReplacer(" ", "", "\n", "").Replace(want)
	for _, v := range []Version{V1, V2, Hybrid} {
		d := Draft{Version: v, Name: "app", PieceLength: 1 << 14, Files: []File{
			{Path: []string{"bin", "run"}, Length: 5, Mode: 0o755, HasMode: true, Exec: true, Root: [32]byte{1}},
			{Path: []string{"current"}, LinkText: "./bin/../bin"},
			{Path: []string{"data", "secret"}, Length: 6, Mode: 0o640, HasMode: true, Root: [32]byte{1}},
		}, Dirs: []Dir{{Mode: 0o750, HasMode: true}, {Path: []string{"log"}, Mode: 0o755, HasMode: true}}}
		info, err := d.Layout()
		if err != nil {
			t.Fatal(err)
		}
		if v != V2 {
			d.Pieces = make([]byte, 20*info.NumPieces())
		}
		raw, err := d.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(raw, []byte(want)) {
			t.Errorf("%s: %q does not have %q", v, raw, want)
		}
		if info, err = ParseInfo(raw); err != nil || info.Files[1].Target() != "./bin/../bin" || DisplayPath(info.Files[1].Symlink) != "bin" {
			t.Errorf("%s: %+v, %v", v, info.Files, err)
		}
	}
}
