package controller

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"testing"

	"shoal/internal/deploy/fleetstore"
)

// TestWatchAgain lets a copy miss what happens between two watches.
func TestWatchAgain(t *testing.T) {
	store := fleetstore.NewMemory()
	defer store.Close()
	ctx := t.Context()
	if _, err := store.Put(ctx, fleetstore.Gone, "a newer form", []byte(`{`), 0); err != nil { // hides nothing else
		t.Fatal(err)
	}
	for _, key := range []string{"stays", "goes", "changes"} {
		if _, err := store.Put(ctx, fleetstore.Gone, key, []byte(`"old"`), 0); err != nil {
			t.Fatal(err)
		}
	}
	table := newTable[string](store, fleetstore.Gone, slog.New(slog.DiscardHandler))
	var news []string
	watch := func() {
		t.Helper()
		ctx, cancel := context.WithCancel(ctx)
		if err := table.watch(ctx, cancel, func(key string) { news = append(news, key) }); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	}
	watch()
	if err := store.Delete(ctx, fleetstore.Gone, "goes", fleetstore.Any); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Put(ctx, fleetstore.Gone, "changes", []byte(`"new"`), fleetstore.Any); err != nil {
		t.Fatal(err)
	}
	if _, err := table.put(ctx, "own", "new", 0); err != nil { // the copy has it before any watch tells
		t.Fatal(err)
	}
	news = nil
	watch()
	slices.Sort(news)
	if !slices.Equal(news, []string{"changes", "goes"}) {
		t.Errorf("news of %q", news)
	}
	got := map[string]string{}
	for _, key := range []string{"stays", "goes", "changes", "own"} {
		if v, _, ok := table.get(key); ok {
			got[key] = v
		}
	}
	if _, err := table.put(ctx, "a newer form", "x", 0); !errors.Is(err, fleetstore.ErrStale) {
		t.Errorf("what cannot be read is written over: %v", err)
	}
	if want := map[string]string{"stays": "old", "changes": "new", "own": "new"}; !maps.Equal(got, want) || table.size() != len(want) {
		t.Errorf("the copy is %v (%d), want %v", got, table.size(), want)
	}
}

func TestUnpackRefuses(t *testing.T) {
	for _, bad := range []string{"", "{", "\x1f\x8b", "\x1f\x8b\x08\x00garbage"} {
		if v, err := unpack[rolloutRecord]([]byte(bad)); err == nil {
			t.Errorf("%q reads as %+v", bad, v)
		}
	}
}
