package build

import (
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"shoal/internal/bt/metainfo"
)

// needed returns the program, or skips the test: with SHOAL_REQUIRE_INTEROP,
// which CI sets, it fails instead.
func needed(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err == nil {
		return path
	}
	if os.Getenv("SHOAL_REQUIRE_INTEROP") == "1" {
		t.Fatalf("%s is not installed", name)
	}
	t.Skipf("%s is not installed", name)
	return ""
}

// readByLibtorrent prints what libtorrent makes of each metafile named: the
// hashes, and the entries that are no padding.
const readByLibtorrent = `
import libtorrent as lt, sys
limits = {"max_buffer_size": 1 << 28, "max_pieces": 1 << 24}
for name in sys.argv[1:]:
    ti = lt.torrent_info(name, limits)
    h, fs = ti.info_hashes(), ti.files()
    n = sum(1 for i in range(fs.num_files()) if not int(fs.file_flags(i)) & 1)
    print(h.v1 if h.has_v1() else "-", h.v2 if h.has_v2() else "-", ti.num_pieces(), n)
`

// interopTrees are trees on which clients and we could differ.
func interopTrees(t *testing.T) map[string]string {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	put(t, at("ends empty"), "a", 70_000, 0o644)
	put(t, at("ends empty"), "b", 0, 0o644)
	put(t, at("begins empty"), "a", 0, 0o644)
	put(t, at("begins empty"), "b", 70_000, 0o755)
	put(t, at("order"), "a.b", 100, 0o644)
	put(t, at("order"), "a/z", 100, 0o644)
	put(t, at("order"), "a-b/c", 100, 0o644)
	put(t, at("order"), "B", 100, 0o644)
	put(t, at("box"), "only", 100_000, 0o644)
	put(t, at("twins"), "a", 200_000, 0o644)
	same, err := os.ReadFile(filepath.Join(at("twins"), "a"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(at("twins"), "b"), same, 0o644); err != nil {
		t.Fatal(err)
	}
	put(t, at("deep"), strings.Repeat("d/", maxDepth)+"f", 100_000, 0o644)
	put(t, dir, "single", 300_000, 0o755)
	trees := map[string]string{"everything": testTree(t)}
	for _, name := range []string{"ends empty", "begins empty", "order", "box", "twins", "deep", "single"} {
		trees[name] = at(name)
	}
	return trees
}

func TestLibtorrentAgrees(t *testing.T) {
	python := needed(t, "/usr/bin/python3")
	if err := exec.Command(python, "-c", "import libtorrent").Run(); err != nil {
		needed(t, "python3-libtorrent") // a module, no program: not found either
	}
	args, want := []string{"-c", readByLibtorrent}, []string{}
	for name, tree := range interopTrees(t) {
		for _, v := range versions {
			m, err := Build(t.Context(), tree, Options{Version: v, PieceLength: 64 << 10, Announce: [][]string{{"http://t/announce"}}})
			if err != nil {
				t.Fatalf("%s %s: %v", name, v, err)
			}
			path := filepath.Join(t.TempDir(), "m.torrent")
			if err := os.WriteFile(path, m.Encode(), 0o644); err != nil {
				t.Fatal(err)
			}
			args = append(args, path)
			want = append(want, fmt.Sprintf("%s %s: %s", name, v, summary(m.Info)))
		}
	}
	out, err := exec.Command(python, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for n, got := range strings.Split(strings.TrimSpace(string(out)), "\n") {
		if n >= len(want) || !strings.HasSuffix(want[n], ": "+got) {
			t.Errorf("libtorrent reads %s, want %s", got, want[min(n, len(want)-1)])
		}
	}
}

func summary(i *metainfo.Info) string {
	v1, v2 := "-", "-"
	if i.HasV1() {
		v1 = hex.EncodeToString(i.HashV1[:])
	}
	if i.HasV2() {
		v2 = hex.EncodeToString(i.HashV2[:])
	}
	return fmt.Sprintf("%s %s %d %d", v1, v2, i.NumPieces(), len(i.Files))
}

// TestStockClientsAgree asks clients that print a metafile for its info-hash.
// Transmission up to 3.00 and aria2 up to 1.36 do not read the empty keys of
// BEP 52: no hybrid of anyone's can be used with them (docs/metafile.md).
func TestStockClientsAgree(t *testing.T) {
	for _, c := range []struct {
		name string
		args []string
		old  string // what the version says that reads v1 only
	}{
		{"transmission-show", nil, "transmission-show 3"},
		{"aria2c", []string{"-S"}, "aria2 version 1.36"},
	} {
		t.Run(c.name, func(t *testing.T) {
			program := needed(t, c.name)
			about, _ := exec.Command(program, "--version").CombinedOutput()
			reads := []metainfo.Version{metainfo.V1, metainfo.Hybrid}
			if strings.HasPrefix(string(about), c.old) {
				reads = reads[:1]
			}
			for name, tree := range interopTrees(t) {
				for _, v := range reads {
					m, err := Build(t.Context(), tree, Options{Version: v, PieceLength: 64 << 10, Announce: [][]string{{"http://t/announce"}}})
					if err != nil {
						t.Fatal(err)
					}
					path := filepath.Join(t.TempDir(), "m.torrent")
					if err := os.WriteFile(path, m.Encode(), 0o644); err != nil {
						t.Fatal(err)
					}
					out, err := exec.Command(program, append(c.args, path)...).CombinedOutput()
					if err != nil || !strings.Contains(string(out), hex.EncodeToString(m.Info.HashV1[:])) {
						t.Errorf("%s %s: %v; no %x in %s", name, v, err, m.Info.HashV1, out)
					}
				}
			}
		})
	}
}
