//go:build linux

package interop_test

import (
	"bytes"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"
)

// entry is what a path must be after a deployment.
type entry struct {
	data []byte
	link string      // symlink text, if it is one
	dir  bool        // an empty folder that must exist
	mode fs.FileMode // permission bits; what listing compares
}

// tree is content by its path below the folder that clients are given.
type tree map[string]entry

func file(size int, seed uint64) entry {
	b := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), byte(seed >> 16)}).Read(b) // never fails
	return entry{data: b, mode: 0o644}
}

// oddFolder has every size at which padding, blocks and pieces can go wrong: file ends inside pieces and blocks,
// empty files at the start, in the middle and at the end, pieces that span several files.
func oddFolder(name string) tree {
	tr := tree{}
	for i, size := range []int{0, 1, 16383, 16384, 16385, 0, 65535, 65536, 65537, 3, 200_001, 0, 131072, 1_500_000, 7, 1_048_576, 0} {
		dir := [...]string{"", "bin/", "lib/deep/er/", "lib/", "share/a b/"}[i%5]
		tr[fmt.Sprintf("%s/%sf%02d-%d.bin", name, dir, i, size)] = file(size, uint64(i+1))
	}
	return tr
}

// write puts the tree below dir.
func (tr tree) write(t *testing.T, dir string) {
	t.Helper()
	for path, e := range tr {
		full := filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		switch {
		case e.dir:
			err = os.Mkdir(full, e.mode)
		case e.link != "":
			err = os.Symlink(e.link, full)
		default:
			err = os.WriteFile(full, e.data, e.mode)
		}
		if err == nil && e.link == "" {
			err = os.Chmod(full, e.mode) // past the umask
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// wrong compares the regular files of the tree with what is below dir, by bytes: the first few differences, or none.
// Files that the tree does not have (pad files of v1 clients, control files) are not looked at.
func (tr tree) wrong(dir string) []string {
	var bad []string
	for path, e := range tr {
		if e.dir || e.link != "" {
			continue
		}
		got, err := os.ReadFile(filepath.Join(dir, path))
		switch {
		case err != nil:
			bad = append(bad, err.Error())
		case !bytes.Equal(got, e.data):
			bad = append(bad, fmt.Sprintf("%s: %d bytes arrived, %d wanted, not the same", path, len(got), len(e.data)))
		}
	}
	sort.Strings(bad)
	return bad
}

// without is the tree less some entries.
func (tr tree) without(drop func(entry) bool) tree {
	left := maps.Clone(tr)
	maps.DeleteFunc(left, func(_ string, e entry) bool { return drop(e) })
	return left
}

// size is the number of content bytes.
func (tr tree) size() (n int64) {
	for _, e := range tr {
		n += int64(len(e.data))
	}
	return n
}

// listing describes a whole folder, one line a path: kind, mode, link text, size and bytes. Two trees are the same
// exactly if their listings are.
func listing(t *testing.T, dir string) string {
	t.Helper()
	var lines []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, info, line := strings.TrimPrefix(path, dir), fs.FileInfo(nil), ""
		if info, err = d.Info(); err != nil {
			return err
		}
		switch {
		case d.Type()&fs.ModeSymlink != 0:
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			line = fmt.Sprintf("%q link %q", rel, target) // a link's own mode means nothing
		case d.IsDir():
			line = fmt.Sprintf("%q dir %v", rel, info.Mode())
		default:
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			line = fmt.Sprintf("%q file %v %d %x", rel, info.Mode(), len(b), digest(b))
		}
		lines = append(lines, line)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	sort.Strings(lines)
	return strings.Join(lines, "\n")
}
