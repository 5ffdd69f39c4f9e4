// Package storetest holds every engine of the fleet's store to what package
// fleetstore says that it does.
package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"shoal/internal/deploy/fleetstore"
)

const patience = 2 * time.Minute // a machine that measures something else freezes tests

// Run tests an engine. open gives a store that is empty, and others on the same
// state if there are several ways to reach it: what one writes, all have to see.
func Run(t *testing.T, open func(t *testing.T) []fleetstore.Store) {
	for name, test := range map[string]func(*testing.T, context.Context, []fleetstore.Store){
		"swap": swap, "keys": keys, "removed": removed, "sizes": sizes, "race": race, "watch": watch, "watch ends": watchEnds,
		"journal": journal, "journal race": journalRace, "blobs": blobs, "closed": closed,
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			test(t, ctx, open(t))
		})
	}
}

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func wants(t *testing.T, err, want error, what string) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: %v, want %v", what, err, want)
	}
}

func ends(stores []fleetstore.Store) (a, b fleetstore.Store) {
	return stores[0], stores[len(stores)-1]
}

func swap(t *testing.T, ctx context.Context, stores []fleetstore.Store) {
	a, b := ends(stores)
	_, err := a.Get(ctx, fleetstore.Fleet, "x")
	wants(t, err, fleetstore.ErrNone, "get of nothing")
	_, err = a.Put(ctx, fleetstore.Fleet, "x", []byte("1"), 7)
	wants(t, err, fleetstore.ErrStale, "put over a revision that is not there")
	first := must[uint64](t)(a.Put(ctx, fleetstore.Fleet, "x", []byte("1"), 0))
	_, err = b.Put(ctx, fleetstore.Fleet, "x", []byte("2"), 0)
	wants(t, err, fleetstore.ErrStale, "put over nothing where something is")
	second := must[uint64](t)(b.Put(ctx, fleetstore.Fleet, "x", []byte("2"), first))
	if second <= first {
		t.Errorf("revision %d after %d", second, first)
	}
	_, err = a.Put(ctx, fleetstore.Fleet, "x", []byte("3"), first)
	wants(t, err, fleetstore.ErrStale, "put over an old revision")
	e := must[fleetstore.Entry](t)(b.Get(ctx, fleetstore.Fleet, "x"))
	if e.Key != "x" || string(e.Value) != "2" || e.Revision != second {
		t.Errorf("got %+v", e)
	}
	third := must[uint64](t)(a.Put(ctx, fleetstore.Fleet, "x", nil, fleetstore.Any))
	if e := must[fleetstore.Entry](t)(a.Get(ctx, fleetstore.Fleet, "x")); len(e.Value) != 0 || e.Revision != third {
		t.Errorf("an empty value reads as %+v", e)
	}
	_, err = a.Get(ctx, fleetstore.Hosts, "x")
	wants(t, err, fleetstore.ErrNone, "the same key of another bucket")
}

// keys asks for names as they are given to hosts, releases and worse.
func keys(t *testing.T, ctx context.Context, stores []fleetstore.Store) {
	a, b := ends(stores)
	names := []string{"fra-1.example.com", "end.", "a..b", "web@1.2.3-rc.1+build~5", "*", ">", "a b", "ä", "=2E", ".", "A", "a"}
	for _, name := range names {
		must[uint64](t)(a.Put(ctx, fleetstore.Hosts, name, []byte(name), 0))
	}
	list := must[[]fleetstore.Entry](t)(b.List(ctx, fleetstore.Hosts))
	var got []string
	for _, e := range list {
		got = append(got, e.Key)
		if string(e.Value) != e.Key {
			t.Errorf("%q holds %q", e.Key, e.Value)
		}
	}
	slices.Sort(names)
	if !slices.Equal(got, names) {
		t.Errorf("list %q, want %q", got, names)
	}
	if list := must[[]fleetstore.Entry](t)(b.List(ctx, fleetstore.Tokens)); len(list) != 0 {
		t.Errorf("an empty bucket has %v", list)
	}
	for _, bad := range []string{"", string(make([]byte, fleetstore.MaxKey+1))} {
		if _, err := a.Put(ctx, fleetstore.Hosts, bad, nil, 0); err == nil {
			t.Errorf("a key of %d bytes is taken", len(bad))
		}
	}
}

func removed(t *testing.T, ctx context.Context, stores []fleetstore.Store) {
	a, b := ends(stores)
	rev := must[uint64](t)(a.Put(ctx, fleetstore.Hosts, "x", []byte("1"), 0))
	wants(t, b.Delete(ctx, fleetstore.Hosts, "x", rev+9), fleetstore.ErrStale, "delete of another revision")
	if err := b.Delete(ctx, fleetstore.Hosts, "x", rev); err != nil {
		t.Fatal(err)
	}
	_, err := a.Get(ctx, fleetstore.Hosts, "x")
	wants(t, err, fleetstore.ErrNone, "get after delete")
	wants(t, a.Delete(ctx, fleetstore.Hosts, "x", rev), fleetstore.ErrStale, "delete twice of a revision")
	if err := a.Delete(ctx, fleetstore.Hosts, "x", fleetstore.Any); err != nil {
		t.Error(err)
	}
	if list := must[[]fleetstore.Entry](t)(a.List(ctx, fleetstore.Hosts)); len(list) != 0 {
		t.Errorf("list after delete: %v", list)
	}
	_, err = a.Put(ctx, fleetstore.Hosts, "x", nil, rev)
	wants(t, err, fleetstore.ErrStale, "put over a revision that was removed")
	again := must[uint64](t)(a.Put(ctx, fleetstore.Hosts, "x", []byte("2"), 0))
	if again <= rev {
		t.Errorf("revision %d after %d", again, rev)
	}
}

func sizes(t *testing.T, ctx context.Context, stores []fleetstore.Store) {
	a, b := ends(stores)
	large := bytes.Repeat([]byte("0123456789abcdef"), fleetstore.MaxEntry/16)
	must[uint64](t)(a.Put(ctx, fleetstore.Rollouts, "1", large, 0))
	if e := must[fleetstore.Entry](t)(b.Get(ctx, fleetstore.Rollouts, "1")); !bytes.Equal(e.Value, large) {
		t.Error("the largest entry came back as another one")
	}
	_, err := a.Put(ctx, fleetstore.Rollouts, "1", make([]byte, 9<<20), fleetstore.Any)
	wants(t, err, fleetstore.ErrSize, "an entry of 9 MiB")
	_, err = a.Append(ctx, "large", make([]byte, fleetstore.MaxRecord+1))
	wants(t, err, fleetstore.ErrSize, "a record that is too large")
}

// race counts up from many sides: no step may be lost.
func race(t *testing.T, ctx context.Context, stores []fleetstore.Store) {
	const steps = 10
	var group sync.WaitGroup
	for i := range 6 {
		s := stores[i%len(stores)]
		group.Go(func() {
			for done := 0; done < steps; {
				e, err := s.Get(ctx, fleetstore.Fleet, "n")
				if err != nil && !errors.Is(err, fleetstore.ErrNone) {
					t.Error(err)
					return
				}
				n, _ := strconv.Atoi(string(e.Value))
				switch _, err := s.Put(ctx, fleetstore.Fleet, "n", strconv.AppendInt(nil, int64(n+1), 10), e.Revision); {
				case err == nil:
					done++
				case !errors.Is(err, fleetstore.ErrStale):
					t.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
	if e := must[fleetstore.Entry](t)(stores[0].Get(ctx, fleetstore.Fleet, "n")); string(e.Value) != strconv.Itoa(6*steps) {
		t.Errorf("counted to %s, want %d", e.Value, 6*steps)
	}
}

// watch changes a bucket while others look, and wants all to see the same in the end.
func watch(t *testing.T, ctx context.Context, stores []fleetstore.Store) {
	a, b := ends(stores)
	must[uint64](t)(a.Put(ctx, fleetstore.Hosts, "before", []byte("1"), 0))
	must[uint64](t)(a.Put(ctx, fleetstore.Hosts, "gone before", []byte("1"), 0))
	if err := a.Delete(ctx, fleetstore.Hosts, "gone before", fleetstore.Any); err != nil {
		t.Fatal(err)
	}
	done := errors.New("done")
	caught, result := make(chan map[string]string, 1), make(chan map[string]string, 1)
	var group sync.WaitGroup
	defer group.Wait()
	group.Go(func() {
		seen, last, isCaught := map[string]string{}, uint64(0), false
		err := b.Watch(ctx, fleetstore.Hosts, func(c fleetstore.Change) error {
			switch {
			case c.Caught && isCaught:
				t.Error("caught up twice")
			case c.Caught:
				isCaught = true
				caught <- maps.Clone(seen)
				return nil
			case c.Revision <= last:
				t.Errorf("revision %d after %d", c.Revision, last)
			case c.Gone:
				delete(seen, c.Key)
			default:
				seen[c.Key] = string(c.Value)
			}
			last = c.Revision
			if c.Key == "end" {
				result <- seen
				return done
			}
			return nil
		})
		wants(t, err, done, "watch")
	})
	if first := <-caught; len(first) != 1 || first["before"] != "1" {
		t.Errorf("at first it saw %v", first)
	}
	random, want := rand.New(rand.NewPCG(1, 2)), map[string]string{"before": "1", "end": "!"}
	for i := range 100 {
		key, value := fmt.Sprintf("fra-%d", random.IntN(8)), strconv.Itoa(i)
		if random.IntN(4) == 0 {
			if err := a.Delete(ctx, fleetstore.Hosts, key, fleetstore.Any); err != nil {
				t.Fatal(err)
			}
			delete(want, key)
			continue
		}
		must[uint64](t)(a.Put(ctx, fleetstore.Hosts, key, []byte(value), fleetstore.Any))
		want[key] = value
	}
	must[uint64](t)(a.Put(ctx, fleetstore.Tokens, "end", nil, 0)) // of another bucket: not to be seen
	must[uint64](t)(a.Put(ctx, fleetstore.Hosts, "end", []byte("!"), 0))
	if got := <-result; !maps.Equal(got, want) {
		t.Errorf("saw %v, want %v", got, want)
	}
}

func watchEnds(t *testing.T, ctx context.Context, stores []fleetstore.Store) {
	ctx, cancel := context.WithCancel(ctx)
	err := stores[0].Watch(ctx, fleetstore.Gone, func(c fleetstore.Change) error {
		if c.Caught {
			cancel()
		}
		return nil
	})
	wants(t, err, context.Canceled, "watch of an empty bucket")
}

func journal(t *testing.T, ctx context.Context, stores []fleetstore.Store) {
	a, b := ends(stores)
	if list := must[[]fleetstore.Record](t)(a.Read(ctx, 0, 10)); len(list) != 0 {
		t.Fatalf("an empty journal has %v", list)
	}
	var all []fleetstore.Record
	for i := range 5 {
		all = append(all, must[fleetstore.Record](t)(a.Append(ctx, fmt.Sprintf("7.%d", i), []byte{byte(i)})))
	}
	there, err := b.Append(ctx, "7.3", []byte("other"))
	wants(t, err, fleetstore.ErrTaken, "a name that is taken")
	same := func(a, b fleetstore.Record) bool {
		return a.Seq == b.Seq && a.Name == b.Name && bytes.Equal(a.Data, b.Data)
	}
	if !same(there, all[3]) {
		t.Errorf("%+v is said to be there, want %+v", there, all[3])
	}
	if list := must[[]fleetstore.Record](t)(b.Read(ctx, 0, 100)); !slices.EqualFunc(list, all, same) {
		t.Errorf("read %+v, want %+v", list, all)
	}
	if list := must[[]fleetstore.Record](t)(b.Read(ctx, all[1].Seq, 2)); !slices.EqualFunc(list, all[2:4], same) {
		t.Errorf("read %+v, want %+v", list, all[2:4])
	}
	if list := must[[]fleetstore.Record](t)(b.Read(ctx, all[4].Seq+100, 2)); len(list) != 0 {
		t.Errorf("read %+v behind the end", list)
	}
}

// journalRace writes the same records from many sides: each is there once.
func journalRace(t *testing.T, ctx context.Context, stores []fleetstore.Store) {
	const records = 30
	var group sync.WaitGroup
	for i := range 4 {
		s := stores[i%len(stores)]
		group.Go(func() {
			for n := range records {
				if _, err := s.Append(ctx, strconv.Itoa(n), []byte{byte(i)}); err != nil && !errors.Is(err, fleetstore.ErrTaken) {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	names := map[string]bool{}
	for _, r := range must[[]fleetstore.Record](t)(stores[0].Read(ctx, 0, 1000)) {
		if names[r.Name] {
			t.Errorf("%s is there twice", r.Name)
		}
		names[r.Name] = true
	}
	if len(names) != records {
		t.Errorf("%d records, want %d", len(names), records)
	}
}

func blobs(t *testing.T, ctx context.Context, stores []fleetstore.Store) {
	a, b := ends(stores)
	random := rand.NewChaCha8([32]byte{1})
	for _, size := range []int{0, 1, 512 << 10, 512<<10 + 1, 3 << 20} {
		data := make([]byte, size)
		random.Read(data)
		name := must[string](t)(a.PutBlob(ctx, data))
		if again := must[string](t)(b.PutBlob(ctx, data)); again != name {
			t.Errorf("%d bytes are called %s, and then %s", size, name, again)
		}
		if got := must[[]byte](t)(b.Blob(ctx, name)); !bytes.Equal(got, data) {
			t.Errorf("%d bytes came back as %d others", size, len(got))
		}
		if err := b.DeleteBlob(ctx, name); err != nil {
			t.Fatal(err)
		}
		_, err := a.Blob(ctx, name)
		wants(t, err, fleetstore.ErrNone, "a blob that was removed")
	}
	if err := a.DeleteBlob(ctx, "nobody"); err != nil {
		t.Error(err)
	}
}

func closed(t *testing.T, ctx context.Context, stores []fleetstore.Store) {
	a, _ := ends(stores)
	var group sync.WaitGroup
	caught := make(chan struct{})
	group.Go(func() {
		if err := a.Watch(ctx, fleetstore.Fleet, func(c fleetstore.Change) error {
			if c.Caught {
				close(caught)
			}
			return nil
		}); err == nil || ctx.Err() != nil {
			t.Errorf("watch of a store that was closed: %v", err)
		}
	})
	<-caught
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	group.Wait()
	if _, err := a.Put(ctx, fleetstore.Fleet, "x", nil, fleetstore.Any); err == nil {
		t.Error("a store that was closed takes an entry")
	}
	if _, err := a.Get(ctx, fleetstore.Fleet, "x"); err == nil || errors.Is(err, fleetstore.ErrNone) {
		t.Errorf("get from a store that was closed: %v", err)
	}
	if err := a.Close(); err != nil {
		t.Errorf("closed twice: %v", err)
	}
}
