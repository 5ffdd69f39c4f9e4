//go:build linux

package interop_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// read is what libtorrent finds in a metafile.
type read struct {
	V1, V2, Name, Comment string
	PieceLength           int64 `json:"piece_length"`
	Private               bool
	Content               int64
	Files, Links, Exec    int
	Trackers              []string
	WebSeeds              []string `json:"web_seeds"`
}

// TestMetafilesAreRead: libtorrent and transmission-show read every metafile that create makes, in all formats and of
// all edge shapes, and agree with shoal on the info-hashes.
func TestMetafilesAreRead(t *testing.T) {
	t.Parallel()
	need(t, pythonLibtorrent, "transmission-show")
	for shape, content := range map[string]tree{
		"a file":           {"x": file(100_000, 1)},
		"one byte":         {"x": file(1, 1)},
		"a whole piece":    {"x": file(65536, 1)},
		"piece plus one":   {"x": file(65537, 1)},
		"a block":          {"x": file(16384, 1)},
		"odd folder":       oddFolder("x"),
		"full folder":      fullTree("x"),
		"one in a folder":  {"x/y": file(10, 1)},
		"one deep":         {"x/" + strings.Repeat("y/", 60) + "z": file(10, 1)},
		"empty and one":    {"x/empty": file(0, 1), "x/one": file(1, 2)},
		"one and empty":    {"x/a": file(1, 2), "x/empty": file(0, 1)},
		"all whole pieces": {"x/a": file(65536, 1), "x/b": file(131072, 2), "x/c": file(65536, 3)},
		"equal files":      {"x/a": file(200_000, 1), "x/b": file(200_000, 1), "x/c": file(200_000, 1)},
		"links":            {"x/a": file(10, 1), "x/b": {link: "a"}, "x/c/d": {link: "../a"}},
		"empty folders":    {"x/a": file(10, 1), "x/b": {dir: true, mode: 0o700}, "x/c/d": {dir: true, mode: 0o755}},
		"a pad folder":     {"x/.pad/1": file(10, 1), "x/.pad/65526": file(11, 2), "x/y": file(5, 3)},
		"sorts oddly":      {"x/a-b": file(10, 1), "x/a/b": file(10, 2), "x/a.b": file(10, 3), "x/A": file(10, 4), "x/aa": file(10, 5)},
		"500 files":        manySmall(500),
	} {
		for _, version := range []string{"v1", "hybrid", "v2"} {
			t.Run(version+"/"+shape, func(t *testing.T) {
				t.Parallel()
				origin := t.TempDir()
				content.write(t, origin)
				got := agree(t, create(t, filepath.Join(origin, "x"), "--format", version, "-l", "16"), version)
				files, links, name := 0, 0, "x"
				if alone := onlyFile(content); version == "v2" && alone != "" {
					name = alone // BEP 52 cannot tell a folder with one file from the file; the name is up to the client
				}
				for _, e := range content {
					switch {
					case e.link != "":
						links++
						files++
					case !e.dir:
						files++
					}
				}
				if got.Content != content.size() || got.Files != files || got.Links != links || got.PieceLength != 65536 || got.Name != name {
					t.Errorf("libtorrent reads %+v; the tree has %d bytes, %d files, %d links", got, content.size(), files, links)
				}
			})
		}
	}
}

// onlyFile is the name of the one file in a folder that has no other entry but empty folders, else "".
func onlyFile(content tree) string {
	only := ""
	for path, e := range content {
		if e.dir {
			continue
		}
		_, below, _ := strings.Cut(path, "/")
		if only != "" || below == "" || strings.Contains(below, "/") {
			return ""
		}
		only = below
	}
	return only
}

func manySmall(n int) tree {
	tr := tree{}
	for i := range n {
		tr[fmt.Sprintf("x/%d/%d", i%17, i)] = file(i*31, uint64(i))
	}
	return tr
}

// TestMetafileOptionsAreRead: the same for every option of create that changes what is in the metafile.
func TestMetafileOptionsAreRead(t *testing.T) {
	t.Parallel()
	need(t, pythonLibtorrent, "transmission-show")
	origin := t.TempDir()
	tree{"x": file(3_000_000, 1)}.write(t, origin)
	for _, version := range []string{"v1", "hybrid", "v2"} {
		for _, c := range []struct {
			args []string
			ok   func(read) bool
		}{
			{nil, func(r read) bool {
				return r.PieceLength == 65536 && !r.Private && r.Comment == "" && len(r.Trackers) == 0
			}},
			{[]string{"-p"}, func(r read) bool { return r.Private }},
			{[]string{"-c", "grüße, \"x\""}, func(r read) bool { return r.Comment == "grüße, \"x\"" }},
			{[]string{"-d"}, func(r read) bool { return true }},
			{[]string{"-s", "SRC"}, func(r read) bool { return true }},
			{[]string{"-x"}, func(r read) bool { return true }},
			{[]string{"-n", "other name"}, func(r read) bool { return r.Name == "other name" }},
			{[]string{"-l", "14"}, func(r read) bool { return r.PieceLength == 16384 }},
			{[]string{"-l", "4MiB"}, func(r read) bool { return r.PieceLength == 4<<20 }},
			{[]string{"-l", "24"}, func(r read) bool { return r.PieceLength == 16<<20 }},
			{[]string{"-a", "http://10.0.0.1/announce", "-a", "udp://10.0.0.2:80,http://10.0.0.3/a"}, func(r read) bool { return len(r.Trackers) == 3 }},
			{[]string{"-w", "http://10.0.0.1/x", "-w", "http://10.0.0.2/x"}, func(r read) bool { return len(r.WebSeeds) == 2 }},
		} {
			t.Run(version+"/"+strings.Join(c.args, " "), func(t *testing.T) {
				t.Parallel()
				got := agree(t, create(t, filepath.Join(origin, "x"), append([]string{"--format", version}, c.args...)...), version)
				if !c.ok(got) {
					t.Errorf("libtorrent reads %+v", got)
				}
			})
		}
	}
}

// agree checks the info-hashes: computed here from the raw bytes, read by libtorrent and by transmission-show, and said
// by shoal inspect.
func agree(t *testing.T, torrent, version string) read {
	t.Helper()
	m := readMetafile(t, torrent)
	v1, v2 := hex.EncodeToString([]byte(m.v1)), hex.EncodeToString([]byte(m.v2))
	if (v1 != "") != (version != "v2") || (v2 != "") != (version != "v1") {
		t.Fatalf("a %s metafile with the hashes v1 %q, v2 %q", version, v1, v2)
	}
	var got read
	if err := json.Unmarshal(run(t, python, script(t), "info", torrent), &got); err != nil {
		t.Fatal(err)
	}
	if got.V1 != v1 || got.V2 != v2 {
		t.Errorf("libtorrent reads v1 %q v2 %q; want %q %q", got.V1, got.V2, v1, v2)
	}
	transmissionAgrees(t, torrent, m)
	said := string(run(t, shoalBinary, "inspect", "--json", torrent))
	for _, h := range []string{v1, v2} {
		if h != "" && !strings.Contains(said, `"`+h+`"`) {
			t.Errorf("inspect --json does not say %s\n%s", h, said)
		}
	}
	return got
}

// transmissionDepth is how many path elements below the name transmission 4.1 takes in a file tree of BEP 52: it reads
// bencode that is nested 32 deep.
const transmissionDepth = 27

// transmissionAgrees: both versions of transmission-show read what has a v1 part, 3.00 no hybrids of anybody (see
// transmissionRefuses).
func transmissionAgrees(t *testing.T, torrent string, m metafile) {
	t.Helper()
	if _, err := exec.LookPath(newerTransmissionShow); err == nil || required() {
		newerTransmissionAgrees(t, torrent, m)
	} else {
		t.Logf("%s was not asked: it is not there (.ci/newer-clients fetches it)", newerTransmissionShow)
	}
	if m.v1 == "" || m.v2 != "" && cannot(t, transmission, "hybrid", torrent) {
		return
	}
	v1 := hex.EncodeToString([]byte(m.v1))
	if out := run(t, "transmission-show", torrent); !bytes.Contains(out, []byte("Hash: "+v1)) && !bytes.Contains(out, []byte("Hash v1: "+v1)) {
		t.Errorf("transmission-show does not say %s\n%s", v1, out)
	}
}

// newerTransmissionAgrees: it says both hashes. Without a v1 part there is no file in it, whoever made it.
func newerTransmissionAgrees(t *testing.T, torrent string, m metafile) {
	t.Helper()
	v1, v2 := hex.EncodeToString([]byte(m.v1)), hex.EncodeToString([]byte(m.v2))
	out, stderr, code := try(t, newerTransmissionShow, torrent)
	said := string(out) + string(stderr)
	switch tooDeep := v2 != "" && m.depth() > transmissionDepth; {
	case tooDeep && (code == 0 || !strings.Contains(said, "Max stack depth")):
		t.Errorf("the newer transmission-show reads %d path elements: exit code %d\n%s", m.depth(), code, said)
	case !tooDeep && v1 == "" && (code == 0 || !strings.Contains(said, "no files found")):
		t.Errorf("the newer transmission-show reads a v2-only metafile: exit code %d\n%s", code, said)
	case !tooDeep && v1 != "" && (code != 0 || !strings.Contains(said, "Hash v1: "+v1+"\n")):
		t.Errorf("the newer transmission-show does not say Hash v1: %s: exit code %d\n%s", v1, code, said)
	case !tooDeep && v1 != "" && v2 != "" && !strings.Contains(said, "Hash v2: "+v2+"\n"):
		t.Errorf("the newer transmission-show does not say Hash v2: %s\n%s", v2, said)
	}
}
