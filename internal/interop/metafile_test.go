//go:build linux

package interop_test

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// metafile is what these tests must know of one, read without shoal's code.
type metafile struct {
	info map[string]any
	v1   string // raw SHA-1 of the info dictionary; "" if it has no v1 part
	v2   string // raw SHA-256; "" if it has no v2 part
}

func readMetafile(t *testing.T, path string) metafile {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	v, rest, err := decode(raw, 0)
	if err != nil || len(rest) > 0 {
		t.Fatalf("%s is not bencode: %v, %d bytes left over", path, err, len(rest))
	}
	top, ok := v.(map[string]any)
	if !ok {
		t.Fatalf("%s is not a dictionary", path)
	}
	info, ok := top["info"].(map[string]any)
	if !ok {
		t.Fatalf("%s has no info dictionary", path)
	}
	m, rawInfo := metafile{info: info}, rawValue(t, raw, "info")
	if _, ok := info["pieces"]; ok {
		h := sha1.Sum(rawInfo)
		m.v1 = string(h[:])
	}
	if info["meta version"] == int64(2) {
		h := sha256.Sum256(rawInfo)
		m.v2 = string(h[:])
	}
	return m
}

// rawSwarms are the 20 raw bytes of each swarm: SHA-1, and SHA-256 cut short (BEP 52).
func (m metafile) rawSwarms() (all []string) {
	if m.v1 != "" {
		all = append(all, m.v1)
	}
	if m.v2 != "" {
		all = append(all, m.v2[:20])
	}
	return all
}

func (m metafile) swarms() (all []string) {
	for _, s := range m.rawSwarms() {
		all = append(all, hex.EncodeToString([]byte(s)))
	}
	return all
}

// depth is the number of path elements of the deepest file of the v2 part.
func (m metafile) depth() int {
	var below func(v any) int
	below = func(v any) (deepest int) {
		folder, _ := v.(map[string]any)
		for name, child := range folder {
			if name != "" { // the key of the file itself
				deepest = max(deepest, 1+below(child))
			}
		}
		return deepest
	}
	return below(m.info["file tree"])
}

// writePads puts the pad files of a hybrid (BEP 47) on disk below dir. Stock v1 clients take them for content, and
// can seed only with them there.
func (m metafile) writePads(t *testing.T, dir string) {
	t.Helper()
	files, _ := m.info["files"].([]any)
	for _, f := range files {
		f := f.(map[string]any)
		if attr, _ := f["attr"].(string); !strings.Contains(attr, "p") {
			continue
		}
		path := filepath.Join(dir, m.info["name"].(string))
		for _, e := range f["path"].([]any) {
			path = filepath.Join(path, e.(string))
		}
		writeFile(t, path, strings.Repeat("\x00", int(f["length"].(int64))), 0o644)
	}
}

// rawValue is the span of bytes of a key's value in the outermost dictionary; info-hashes are over raw bytes.
func rawValue(t *testing.T, raw []byte, key string) []byte {
	t.Helper()
	for rest := raw[1:]; len(rest) > 0 && rest[0] != 'e'; {
		k, afterKey, err := decode(rest, 0)
		if err != nil {
			t.Fatal(err)
		}
		_, afterValue, err := decode(afterKey, 0)
		if err != nil {
			t.Fatal(err)
		}
		if k == key {
			return afterKey[:len(afterKey)-len(afterValue)]
		}
		rest = afterValue
	}
	t.Fatalf("no key %q", key)
	return nil
}

var errBencode = errors.New("not bencode")

// decode reads one bencoded value: string, int64, []any or map[string]any.
func decode(b []byte, depth int) (v any, rest []byte, err error) {
	if len(b) == 0 || depth > 100 {
		return nil, nil, errBencode
	}
	switch b[0] {
	case 'i':
		digits, rest, ok := bytes.Cut(b[1:], []byte("e"))
		n, err := strconv.ParseInt(string(digits), 10, 64)
		if !ok || err != nil {
			return nil, nil, errBencode
		}
		return n, rest, nil
	case 'l', 'd':
		var items []any
		for rest = b[1:]; len(rest) > 0 && rest[0] != 'e'; {
			var item any
			if item, rest, err = decode(rest, depth+1); err != nil {
				return nil, nil, err
			}
			items = append(items, item)
		}
		if len(rest) == 0 {
			return nil, nil, errBencode
		}
		if b[0] == 'l' {
			return items, rest[1:], nil
		}
		return pairs(items, rest[1:])
	default:
		head, tail, _ := bytes.Cut(b, []byte(":"))
		n, err := strconv.Atoi(string(head))
		if err != nil || n < 0 || n > len(tail) {
			return nil, nil, errBencode
		}
		return string(tail[:n]), tail[n:], nil
	}
}

func pairs(items []any, rest []byte) (any, []byte, error) {
	if len(items)%2 != 0 {
		return nil, nil, errBencode
	}
	m := map[string]any{}
	for i := 0; i < len(items); i += 2 {
		k, ok := items[i].(string)
		if !ok {
			return nil, nil, errBencode
		}
		m[k] = items[i+1]
	}
	return m, rest, nil
}

func digest(b []byte) string { return fmt.Sprintf("%x", sha256.Sum256(b)) }

// stockMetafile makes a metafile without shoal: by mktorrent for v1, by libtorrent for all.
func stockMetafile(t *testing.T, maker, version, announce, path string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "stock.torrent")
	if maker == "mktorrent" {
		need(t, "mktorrent")
		run(t, "mktorrent", "-l", "16", "-a", announce, "-o", out, path)
		return out
	}
	need(t, pythonLibtorrent)
	run(t, python, script(t), "make", version, "65536", announce, path, out)
	return out
}
