package node

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

func TestChanges(t *testing.T) {
	at := func(n int64) stamp { return stamp{n, time.Unix(n, 0)} }
	before := map[string]stamp{"same": at(1), "changed": at(1), "gone": at(1)}
	after := map[string]stamp{"same": at(1), "changed": at(2), "new": at(1)}
	added, removed := changes(before, after)
	slices.Sort(added)
	slices.Sort(removed)
	if !slices.Equal(added, []string{"changed", "new"}) || !slices.Equal(removed, []string{"changed", "gone"}) {
		t.Errorf("added %q, removed %q", added, removed)
	}
}

type change struct{ added, removed []string }

// TestWatchFolder follows a folder through everything that happens in one:
// files written beside, renamed into place, replaced, linked, removed.
func TestWatchFolder(t *testing.T) {
	dir := t.TempDir()
	name := func(s string) string { return filepath.Join(dir, s) }
	write := func(s, text string) {
		t.Helper()
		if err := os.WriteFile(name(s), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("a.torrent", "1")
	write("notes.txt", "not a metafile")
	ctx, cancel := context.WithCancel(t.Context())
	seen, done := make(chan change, 100), make(chan error, 1)
	go func() {
		done <- watchFolder(ctx, dir, slog.New(slog.DiscardHandler), func(a, r []string) { seen <- change{a, r} })
	}()
	expect := func(what string, added, removed []string) {
		t.Helper()
		select {
		case c := <-seen:
			if !slices.Equal(c.added, added) || !slices.Equal(c.removed, removed) {
				t.Fatalf("%s: added %q, removed %q; want %q, %q", what, c.added, c.removed, added, removed)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("%s: nothing was noticed", what)
		}
	}
	expect("at the start", []string{name("a.torrent")}, nil)
	write(".b.torrent.tmp", "2")
	if err := os.Rename(name(".b.torrent.tmp"), name("b.torrent")); err != nil {
		t.Fatal(err)
	}
	expect("renamed into place", []string{name("b.torrent")}, nil)
	write("b.torrent", "another content")
	expect("replaced", []string{name("b.torrent")}, []string{name("b.torrent")})
	if err := os.Remove(name("a.torrent")); err != nil {
		t.Fatal(err)
	}
	expect("removed", nil, []string{name("a.torrent")})
	cancel()
	if err := <-done; err != nil {
		t.Errorf("after the end: %v", err)
	}
}

func TestWatchFolderThatIsNotThere(t *testing.T) {
	err := watchFolder(t.Context(), filepath.Join(t.TempDir(), "none"), slog.New(slog.DiscardHandler), func(a, r []string) {})
	if !os.IsNotExist(unwrapAll(err)) {
		t.Errorf("got %v, want that it does not exist", err)
	}
}

func unwrapAll(err error) error {
	for {
		next, ok := err.(interface{ Unwrap() error })
		if !ok || next.Unwrap() == nil {
			return err
		}
		err = next.Unwrap()
	}
}
