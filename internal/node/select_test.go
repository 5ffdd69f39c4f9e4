package node

import "testing"

func TestMatchPath(t *testing.T) {
	for _, c := range []struct {
		glob, name string
		want       bool
	}{
		{"*.bin", "a.bin", true},
		{"*.bin", "x/y/a.bin", true},
		{"*.bin", "x.bin/y", true}, // a folder of that name
		{"docs", "docs/a/b.txt", true},
		{"docs/", "docs/a/b.txt", true},
		{"docs", "my/docs/a", false}, // a path starts at the root
		{"docs/*.txt", "docs/a.txt", true},
		{"docs/*.txt", "docs/a/b.txt", false},
		{"docs/*", "docs/a/b.txt", true},
		{"a", "a", true},
		{"a", "b", false},
		{"", "a", false},
	} {
		got, err := matchPath(c.glob, c.name)
		if err != nil || got != c.want {
			t.Errorf("matchPath(%q, %q) = %v, %v, want %v", c.glob, c.name, got, err, c.want)
		}
	}
	if _, err := matchPath("[", "a"); err == nil {
		t.Error("a broken glob was accepted")
	}
}
