package metainfo

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// linkCases are trees of links, written "path -> text", and which of them lead
// out of the tree. The folders a/b/c and the file f are there too.
var linkCases = []struct {
	name    string
	links   []string
	outside []string
}{
	{"inside", []string{"l -> f", "a/m -> ../f", "a/b/n -> ../../f", "a/o -> b/c"}, nil},
	{"the root", []string{"l -> .", "a/m -> ..", "a/n -> ./../a/.."}, nil},
	{"absolute", []string{"l -> /etc/passwd", "m -> /"}, []string{"l", "m"}},
	{"climbs", []string{"l -> ..", "a/m -> ../..", "a/n -> b/../../..", "a/b/c/o -> ../../../../x"}, []string{"a/b/c/o", "a/m", "a/n", "l"}},
	{"dangling", []string{"l -> nowhere", "m -> a/../nowhere/x"}, nil},
	{"slashes", []string{"l -> a//b/", "m -> .//..//x"}, []string{"m"}},
	{"through a link up", []string{"a/b/up -> ..", "l -> a/b/up/../..", "m -> a/b/up/.."}, []string{"l"}},
	{"through a link down", []string{"down -> a/b/c", "l -> down/../../..", "m -> down/../../../.."}, []string{"m"}},
	{"to a link out", []string{"out -> ..", "l -> out/x", "a/m -> ../out"}, []string{"a/m", "l", "out"}},
	{"a circle", []string{"l -> m", "m -> l", "n -> l/../.."}, nil},
	{"oneself", []string{"l -> l/.."}, nil},
}

func linkFiles(links []string) []File {
	files := []File{{Path: []string{"a", "b", "c", "file"}, Length: 1}, {Path: []string{"f"}, Length: 1}}
	for _, l := range links {
		path, text, _ := strings.Cut(l, " -> ")
		files = append(files, File{Path: strings.Split(path, "/"), LinkText: text})
	}
	return files
}

func TestOutside(t *testing.T) {
	for _, c := range linkCases {
		d := Draft{Version: V1, Name: "n", PieceLength: 1 << 14, Files: linkFiles(c.links), Pieces: []byte(hashes20(1))}
		if _, err := d.Layout(); err != nil {
			t.Fatal(err)
		}
		raw, err := d.Encode()
		if err != nil {
			t.Fatal(err)
		}
		info, err := Options{AllowOutsideLinks: true}.ParseInfo(raw)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		var got []string
		for _, f := range info.Files {
			if f.Outside {
				got = append(got, DisplayPath(f.Path))
			}
		}
		if !slices.Equal(got, c.outside) {
			t.Errorf("%s: outside are %q, want %q", c.name, got, c.outside)
		}
		_, err = ParseInfo(raw)
		if len(c.outside) > 0 {
			wantKeyError(t, c.name, err, "info", "out of the tree")
		} else if err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// TestOutsideAsTheKernelHasIt makes the same links on disk and asks whether
// what they lead to is below the tree.
func TestOutsideAsTheKernelHasIt(t *testing.T) {
	for _, c := range linkCases {
		top, err := filepath.EvalSymlinks(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		root := filepath.Join(top, "tree")
		files := linkFiles(c.links)
		for _, f := range files {
			path := filepath.Join(root, DisplayPath(f.Path))
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if f.LinkText == "" {
				err = os.WriteFile(path, []byte("x"), 0o644)
			} else {
				err = os.Symlink(f.LinkText, path)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		for _, f := range files {
			at, err := filepath.EvalSymlinks(filepath.Join(root, DisplayPath(f.Path)))
			if f.LinkText == "" || err != nil {
				continue // leads nowhere
			}
			out := at != root && !strings.HasPrefix(at, root+"/")
			if want := slices.Contains(c.outside, DisplayPath(f.Path)); out != want {
				t.Errorf("%s: %q leads to %q, but the table says outside = %v", c.name, DisplayPath(f.Path), at, want)
			}
		}
	}
}

func TestTarget(t *testing.T) {
	for _, c := range []struct{ path, target, want string }{
		{"l", "f", "f"},
		{"l", "a/b", "a/b"},
		{"a/l", "f", "../f"},
		{"a/l", "a/f", "f"},
		{"a/b/l", "a/c/f", "../c/f"},
		{"a/b/l", "a/b", "../b"},
		{"a/b/l", "a", "../../a"},
		{"a/l", "a/l", "l"},
		{"l", "", "."},
		{"a/b/l", "", "../.."},
	} {
		f := File{Path: strings.Split(c.path, "/"), Symlink: []string{}}
		if c.target != "" {
			f.Symlink = strings.Split(c.target, "/")
		}
		got := f.Target()
		if got != c.want {
			t.Errorf("%s to %s: %q, want %q", c.path, c.target, got, c.want)
		}
		if at := filepath.Join(filepath.Dir(c.path), got); at != filepath.Join(".", c.target) {
			t.Errorf("%s to %s: %q leads to %q", c.path, c.target, got, at)
		}
	}
}

// TestLinkElements: what other clients are told is the same place, or nothing.
func TestLinkElements(t *testing.T) {
	for _, c := range []struct{ path, text, want string }{
		{"l", "a/b", "a/b"},
		{"a/l", "../f", "f"},
		{"a/l", "./b//c/", "a/b/c"},
		{"a/l", "../../x", "a/l"},
		{"a/l", "/etc", "a/l"},
		{"a/l", "..", "a/l"},
		{"l", strings.Repeat("x", 256), "l"},
		{"l", strings.Repeat("x/", MaxDepth+1), "l"},
	} {
		if got := linkElements(strings.Split(c.path, "/"), c.text); DisplayPath(got) != c.want {
			t.Errorf("%s -> %.40s: %q, want %q", c.path, c.text, got, c.want)
		}
	}
}

func TestManyLinksAreFollowed(t *testing.T) {
	var links []string
	for n := range 20_000 {
		links = append(links, fmt.Sprintf("a/l%d -> ../a/b/c/../../../f", n))
	}
	files := linkFiles(links)
	for n := range files {
		if f := &files[n]; f.LinkText != "" {
			f.Symlink = linkElements(f.Path, f.LinkText)
		}
	}
	if err := markOutside(files); err != nil {
		t.Error(err)
	}
}
