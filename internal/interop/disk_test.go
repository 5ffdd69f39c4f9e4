//go:build linux

package interop_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// mount makes a file system of its own on a new folder until the test ends.
func mount(t *testing.T, options string) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("shoal-interop", dir, "tmpfs", 0, options); err != nil {
		t.Fatalf("mount a tmpfs: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// seeded is a release of one shoal seed.
func seeded(t *testing.T, content tree, args ...string) (torrent, seedAddr string) {
	t.Helper()
	origin := t.TempDir()
	content.write(t, origin)
	name := ""
	for path := range content {
		name, _, _ = strings.Cut(path, "/")
	}
	torrent = create(t, filepath.Join(origin, name), args...)
	seedAddr = newAddr() + ":" + peerPort
	start(t, "seed", origin, shoalBinary, "seed", torrent, "--dir", origin, "--listen", seedAddr)
	return torrent, seedAddr
}

func startGet(t *testing.T, torrent, dir, seedAddr string, args ...string) *process {
	t.Helper()
	return start(t, "get", t.TempDir(), append([]string{shoalBinary, "get", torrent, "--dir", dir,
		"--listen", newAddr() + ":" + peerPort, "--peer", seedAddr}, args...)...)
}

// TestNoRoom: a release that cannot fit is refused before its first byte.
func TestNoRoom(t *testing.T) {
	t.Parallel()
	torrent, seedAddr := seeded(t, tree{"large": file(8<<20, 1)})
	dir := mount(t, "size=4m")
	g := startGet(t, torrent, dir, seedAddr)
	if code := g.exit(t, deadline); code != 7 {
		t.Errorf("get: exit code %d, want 7", code)
	}
	if !strings.Contains(g.output(), dir) {
		t.Errorf("the message does not name the folder:\n%s", g.output())
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		t.Fatal(err)
	}
	if used := (fs.Blocks - fs.Bfree) * uint64(fs.Bsize); used > 1<<20 {
		t.Errorf("%d bytes were written though the release cannot fit", used)
	}
}

// TestDiskFillsUp: when another program takes the room in the middle, get pauses and says so, and goes on by itself
// when there is room again. Inodes are what runs out here, because no preallocation can hold them.
func TestDiskFillsUp(t *testing.T) {
	t.Parallel()
	content := tree{}
	for i := range 400 {
		content[fmt.Sprintf("files/%d/%03d", i%7, i)] = file(20_000+i, uint64(i))
	}
	torrent, seedAddr := seeded(t, content)
	dir := mount(t, "size=64m,nr_inodes=300")
	hog := filepath.Join(dir, "hog")
	g := startGet(t, torrent, dir, seedAddr)
	waitFor(t, "the file system is full", func() bool {
		err := os.WriteFile(hog, nil, 0o644)
		if err == nil {
			os.Remove(hog)
		}
		return err != nil
	}, g)
	if g.ended(2 * time.Second) {
		t.Fatalf("get did not wait for room: exit code %d", g.cmd.ProcessState.ExitCode())
	}
	if err := unix.Mount("", dir, "", unix.MS_REMOUNT, "size=64m,nr_inodes=10000"); err != nil {
		t.Fatal(err)
	}
	if code := g.exit(t, deadline); code != 0 {
		t.Fatalf("get: exit code %d", code)
	}
	shoalClient.intact(t, content, dir)
}

// TestReadOnlyFolder: a folder that cannot be written is refused at once, by name.
func TestReadOnlyFolder(t *testing.T) {
	t.Parallel()
	torrent, seedAddr := seeded(t, tree{"app/x": file(100_000, 1)})
	dir := mount(t, "size=4m")
	if err := unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	g := startGet(t, torrent, dir, seedAddr)
	if code := g.exit(t, deadline); code != 6 {
		t.Errorf("get: exit code %d, want 6", code)
	}
	if !strings.Contains(g.output(), dir) {
		t.Errorf("the message does not name the folder:\n%s", g.output())
	}
}

// TestForeignFile: a different file under the release's name stays as it is without --overwrite.
func TestForeignFile(t *testing.T) {
	t.Parallel()
	content := tree{"app/one": file(100_000, 1), "app/two": file(50_000, 2)}
	torrent, seedAddr := seeded(t, content)
	dir := t.TempDir()
	foreign := writeFile(t, filepath.Join(dir, "app", "two"), "mine, and dear to me", 0o644)
	g := startGet(t, torrent, dir, seedAddr)
	if code := g.exit(t, deadline); code != 8 {
		t.Errorf("get: exit code %d, want 8", code)
	}
	if !strings.Contains(g.output(), "two") {
		t.Errorf("the message does not name the file:\n%s", g.output())
	}
	if b, err := os.ReadFile(foreign); err != nil || string(b) != "mine, and dear to me" {
		t.Errorf("the foreign file was touched: %q, %v", b, err)
	}
	if g := startGet(t, torrent, dir, seedAddr, "--overwrite"); g.exit(t, deadline) != 0 {
		t.Fatal("get --overwrite failed")
	}
	shoalClient.intact(t, content, dir)
}

// exitRefused is the code for what would overwrite something (docs/exit-codes.md).
const exitRefused = 8

// TestTornRecord: whatever became of the resume record, the content ends right. Everything that get keeps beside the
// content is cut, zeroed or overwritten.
func TestTornRecord(t *testing.T) {
	t.Parallel()
	content := tree{"torn/one": file(4_000_000, 1), "torn/two": file(3_000_001, 2)}
	torrent, seedAddr := seeded(t, content, "-l", "16")
	for name, tear := range map[string]func([]byte) []byte{
		"cut":     func(b []byte) []byte { return b[:len(b)/2] },
		"emptied": func(b []byte) []byte { return nil },
		"zeroed":  func(b []byte) []byte { return make([]byte, len(b)) },
		"flipped": func(b []byte) []byte { b[len(b)/2] ^= 0xff; return b },
		"all set": func(b []byte) []byte {
			for i := len(b) / 3; i < len(b); i++ {
				b[i] = 0xff
			}
			return b
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			g := startGet(t, torrent, dir, seedAddr, "--down", "2MB/s")
			g.ended(1500 * time.Millisecond)
			g.kill()
			torn := 0
			for path := range recordsOf(t, dir, content) {
				b, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				if len(b) > 0 {
					writeFile(t, path, string(tear(b)), 0o600)
					torn++
				}
			}
			if torn == 0 {
				t.Fatal("found no resume record to tear")
			}
			// Content that no record vouches for must be looked at again: damage some.
			one := filepath.Join(dir, "torn", "one")
			if b, err := os.ReadFile(one); err == nil && len(b) > 100 {
				b[50] ^= 1
				writeFile(t, one, string(b), 0o644)
			}
			code := startGet(t, torrent, dir, seedAddr).exit(t, deadline)
			if code == exitRefused && name == "emptied" {
				// An empty record vouches for nothing: a file of which no whole piece
				// had come is then like anybody's, and kept until told otherwise.
				code = startGet(t, torrent, dir, seedAddr, "--overwrite").exit(t, deadline)
			}
			if code != 0 {
				t.Fatalf("get: exit code %d", code)
			}
			shoalClient.intact(t, content, dir)
		})
	}
}

// recordsOf are the files in dir that are not of the content.
func recordsOf(t *testing.T, dir string, content tree) map[string]bool {
	t.Helper()
	found := map[string]bool{}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		rel := strings.TrimPrefix(path, dir+"/")
		if _, ours := content[rel]; err == nil && d.Type().IsRegular() && !ours {
			found[path] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}
