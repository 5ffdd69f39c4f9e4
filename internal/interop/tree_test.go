//go:build linux

package interop_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// fullTree has everything that a release may carry beside plain files: modes, links, empty folders, raw names.
func fullTree(name string) tree {
	tr := oddFolder(name)
	mode := func(e entry, m os.FileMode) entry { e.mode = m; return e }
	for path, e := range map[string]entry{
		"run":                           mode(file(10_000, 50), 0o755),
		"secret":                        mode(file(100, 51), 0o600),
		"group":                         mode(file(100, 52), 0o640),
		"read only":                     mode(file(100, 53), 0o444),
		"all":                           mode(file(100, 54), 0o777),
		"no one":                        mode(file(20_000, 55), 0o000),
		"setuid":                        mode(file(100, 56), 0o755|os.ModeSetuid),
		"empty and executable":          mode(file(0, 57), 0o755),
		"current":                       {link: "run"},
		"sub/up":                        {link: "../run"},
		"sub/to folder":                 {link: "../lib/deep"},
		"dangling":                      {link: "lib/not there"},
		"sub/dot slash":                 {link: "./up"},
		"folders/empty":                 {dir: true, mode: 0o755},
		"folders/empty private":         {dir: true, mode: 0o700},
		"folders/a/b/c/d/e":             {dir: true, mode: 0o755},
		"folders/sticky":                {dir: true, mode: 0o777 | os.ModeSticky},
		"raw \xff\xfe\x80 bytes":        file(1000, 60),
		"line\nbreak":                   file(1001, 61),
		"tab\tand \"quotes\" 'both' \\": file(1002, 62),
		"-rf":                           file(1003, 63),
		" spaces ":                      file(1004, 64),
		"trailing dot.":                 file(1005, 65),
		"grün-日本語-e\u0301":              file(1006, 66),
		"con":                           file(1007, 67),
		strings.Repeat("n", 255):        file(1008, 68),
		strings.Repeat("d/", 40) + "x":  file(1009, 69),
		".hidden/.also":                 file(1010, 70),
		"*?[glob]{a,b}$x`y`;#!&|<>()~":  file(1011, 71),
		".pad/1":                        file(1012, 72),
		"lnk \xff":                      {link: "raw \xff\xfe\x80 bytes"},
	} {
		tr[name+"/"+path] = e
	}
	return tr
}

// TestTreeArrivesWhole: names, bytes, modes, links and empty folders are the same after create, seed and get.
func TestTreeArrivesWhole(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"v1", "hybrid", "v2"} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			origin, dir := t.TempDir(), t.TempDir()
			fullTree("whole").write(t, origin)
			torrent := create(t, filepath.Join(origin, "whole"), "--format", version, "-l", "15")
			seedAddr := newAddr() + ":" + peerPort
			start(t, "seed", origin, shoalBinary, "seed", torrent, "--dir", origin, "--listen", seedAddr)
			get := start(t, "get", dir, shoalBinary, "get", torrent, "--dir", dir, "--listen", newAddr()+":"+peerPort, "--peer", seedAddr)
			if code := get.exit(t, deadline); code != 0 {
				t.Fatalf("get: exit code %d", code)
			}
			sameListing(t, listing(t, filepath.Join(origin, "whole")), listing(t, filepath.Join(dir, "whole")))
			left, err := os.ReadDir(dir)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range left {
				if e.Name() != "whole" && !strings.HasPrefix(e.Name(), ".") {
					t.Errorf("get left %q beside the release", e.Name())
				}
			}
		})
	}
}

func sameListing(t *testing.T, want, got string) {
	t.Helper()
	if want == got {
		return
	}
	has := func(text string) map[string]bool {
		lines := map[string]bool{}
		for line := range strings.Lines(text) {
			lines[strings.TrimSuffix(line, "\n")] = true
		}
		return lines
	}
	w, g := has(want), has(got)
	for line := range w {
		if !g[line] {
			t.Errorf("missing or changed: %s", line)
		}
	}
	for line := range g {
		if !w[line] {
			t.Errorf("not in the source:  %s", line)
		}
	}
}

// TestStockClientsTakeFullTrees: a metafile with our additional keys, links and empty folders is nothing that a stock
// client trips over; it gets every regular file.
func TestStockClientsTakeFullTrees(t *testing.T) {
	t.Parallel()
	for _, stock := range stockClients {
		for _, version := range []string{"v1", "hybrid"} {
			t.Run(stock.name+"/"+version, func(t *testing.T) {
				t.Parallel()
				need(t, stock.needs...)
				content := oddFolder("full")
				for path, e := range map[string]entry{
					"full/run": {data: file(10_000, 50).data, mode: 0o755}, "full/current": {link: "run"},
					"full/empty folder": {dir: true, mode: 0o700}, "full/lib/up": {link: "../run"},
				} {
					content[path] = e
				}
				origin := t.TempDir()
				content.write(t, origin)
				addr := newAddr()
				torrent := create(t, filepath.Join(origin, "full"), "--format", version, "-a", announceURL("http", addr))
				if cannot(t, stock, version, torrent) {
					return
				}
				exchange(t, shoalClient, stock, startTracker(t, ownTracker, addr, torrent), torrent, origin, content)
			})
		}
	}
}

// TestManyFiles carries 100,000 small files from create to get. It runs alone: others would wait for it in vain.
func TestManyFiles(t *testing.T) {
	if testing.Short() {
		t.Skip("100,000 files take their time")
	}
	const folders, each = 200, 500
	room := mount(t, "size=2g") // in memory: a slow disk would take minutes to make and to remove 300,000 files
	origin, dir := filepath.Join(room, "origin"), filepath.Join(room, "host")
	for d := range folders {
		sub := filepath.Join(origin, "many", fmt.Sprintf("part-%03d", d))
		if err := os.MkdirAll(sub, 0o755); err != nil {
			t.Fatal(err)
		}
		for f := range each {
			n := d*each + f
			if err := os.WriteFile(filepath.Join(sub, fmt.Sprintf("%06d", n)), file(n%300, uint64(n)).data, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	torrent := create(t, filepath.Join(origin, "many"))
	seedAddr := newAddr() + ":" + peerPort
	start(t, "seed", room, shoalBinary, "seed", torrent, "--dir", origin, "--listen", seedAddr)
	get := start(t, "get", room, shoalBinary, "get", torrent, "--dir", dir, "--listen", newAddr()+":"+peerPort, "--peer", seedAddr)
	if code := get.exit(t, 2*deadline); code != 0 {
		t.Fatalf("get: exit code %d", code)
	}
	sameListing(t, listing(t, filepath.Join(origin, "many")), listing(t, filepath.Join(dir, "many")))
	run(t, shoalBinary, "verify", torrent, "--dir", dir)
}

// TestVerifyNamesAll: verify is content with a whole tree, and names every path that is not as the metafile says.
func TestVerifyNamesAll(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"v1", "hybrid", "v2"} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			origin := t.TempDir()
			fullTree("whole").write(t, origin)
			torrent := create(t, filepath.Join(origin, "whole"), "--format", version, "-l", "15")
			run(t, shoalBinary, "verify", torrent, "--dir", origin)

			at := func(path string) string { return filepath.Join(origin, "whole", path) }
			must := func(err error) {
				t.Helper()
				if err != nil {
					t.Fatal(err)
				}
			}
			damaged, err := os.OpenFile(at("lib/f13-1500000.bin"), os.O_WRONLY, 0)
			must(err)
			_, err = damaged.WriteAt([]byte("damage"), 777_777)
			must(err)
			must(damaged.Close())
			must(os.Remove(at("group")))
			must(os.Truncate(at("f10-200001.bin"), 100_000))
			must(os.WriteFile(at("surplus"), []byte("x"), 0o644))
			must(os.Chmod(at("run"), 0o644))
			must(os.Remove(at("current")))
			must(os.Symlink("secret", at("current")))
			must(os.Remove(at("folders/empty")))

			out, stderr, code := try(t, shoalBinary, "verify", torrent, "--dir", origin)
			if code != 3 {
				t.Errorf("exit code %d, want 3", code)
			}
			said := string(out) + string(stderr)
			for _, name := range []string{"f13-1500000.bin", "group", "f10-200001.bin", "surplus", "run", "current", "folders/empty"} {
				if !strings.Contains(said, name) {
					t.Errorf("verify does not name %s", name)
				}
			}
			for _, name := range []string{"dangling", "setuid", "lib/f03"} {
				if strings.Contains(said, name) {
					t.Errorf("verify names %s, which is as it should be", name)
				}
			}
			if t.Failed() {
				t.Log(said)
			}
		})
	}
}
