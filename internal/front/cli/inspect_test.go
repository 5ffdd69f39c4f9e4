package cli

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"shoal/internal/bt/metainfo"
)

// TestStrangeNames shows names that are no text: the terminal must not be
// driven by them, and JSON must keep every byte.
func TestStrangeNames(t *testing.T) {
	raw := "d5:filesld6:lengthi1e4:pathl4:a\xff\x1b\x07eee4:name2:\x1b[12:piece lengthi16384e6:pieces20:aaaaaaaaaaaaaaaaaaaae"
	m, err := metainfo.Parse([]byte("d4:info" + raw + "e"))
	if err != nil {
		t.Fatal(err)
	}
	d := describe(m)
	if text := d.text(); strings.ContainsAny(text, "\x1b\x07") || !utf8.ValidString(text) {
		t.Errorf("control bytes reach the terminal: %q", text)
	}
	b, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	var got struct{ Files []fileDoc }
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	if f := got.Files[0]; f.RawPath != "a%FF%1B%07" || f.Path != "a\uFFFD\x1b\x07" {
		t.Errorf("path %q, raw path %q", f.Path, f.RawPath)
	}
}
