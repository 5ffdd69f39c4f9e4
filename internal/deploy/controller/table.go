package controller

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"sync"

	"shoal"
	"shoal/internal/deploy/fleetstore"
)

// table is a copy of a bucket. Its values are never changed, only replaced.
type table[T any] struct {
	store  fleetstore.Store
	bucket fleetstore.Bucket
	log    *slog.Logger

	mu   sync.RWMutex
	rows map[string]row[T]
	keys []string // of rows, gone ones too, sorted; nil when they have to be sorted anew
	live int      // how many rows are not gone
	n    uint64   // counts changes
}

// row is a value of a revision; one that is gone keeps its revision, so that
// older news cannot bring it back.
type row[T any] struct {
	value T
	rev   uint64
	gone  bool
}

func newTable[T any](store fleetstore.Store, b fleetstore.Bucket, log *slog.Logger) *table[T] {
	return &table[T]{store: store, bucket: b, log: log, rows: map[string]row[T]{}}
}

// get is a value and its revision; false when there is none, with the revision
// 0 that a Put then takes.
func (t *table[T]) get(key string) (T, uint64, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	r, ok := t.rows[key]
	if !ok || r.gone {
		var none T
		return none, 0, false
	}
	return r.value, r.rev, true
}

// all are the values that are there, by key.
func (t *table[T]) all() []T {
	t.mu.Lock()
	if t.keys == nil {
		t.keys = slices.Sorted(maps.Keys(t.rows))
	}
	keys := t.keys
	t.mu.Unlock()
	t.mu.RLock()
	defer t.mu.RUnlock()
	values := make([]T, 0, len(keys))
	for _, key := range keys {
		if r := t.rows[key]; !r.gone {
			values = append(values, r.value)
		}
	}
	return values
}

// size is how many are there.
func (t *table[T]) size() int {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.live
}

// behind tells that the copy is older than a revision.
func (t *table[T]) behind(key string, rev uint64) bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.rows[key].rev < rev
}

// changes counts them.
func (t *table[T]) changes() uint64 {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.n
}

// take puts what the store has into the copy, unless it is older.
func (t *table[T]) take(key string, r row[T]) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	was, ok := t.rows[key]
	if r.rev <= was.rev {
		return false
	}
	if !ok {
		t.keys = nil
	}
	if ok && !was.gone {
		t.live--
	}
	if !r.gone {
		t.live++
	}
	t.rows[key] = r
	t.n++
	return true
}

// put stores a value in place of a revision, and takes it into the copy.
func (t *table[T]) put(ctx context.Context, key string, value T, after uint64) (uint64, error) {
	data, err := pack(value)
	if err != nil {
		return 0, fmt.Errorf("%s/%s: %w", t.bucket, key, err)
	}
	rev, err := t.store.Put(ctx, t.bucket, key, data, after)
	if err != nil {
		if errors.Is(err, fleetstore.ErrStale) {
			err = errors.Join(err, t.refresh(ctx, key))
		}
		return 0, err
	}
	t.take(key, row[T]{value: value, rev: rev})
	return rev, nil
}

// remove deletes a revision.
func (t *table[T]) remove(ctx context.Context, key string, after uint64) error {
	if err := t.store.Delete(ctx, t.bucket, key, after); err != nil {
		return err
	}
	t.lose(key, after)
	return nil
}

// refresh reads one entry, for when the copy may be behind.
func (t *table[T]) refresh(ctx context.Context, key string) error {
	e, err := t.store.Get(ctx, t.bucket, key)
	if errors.Is(err, fleetstore.ErrNone) {
		return nil // the watch tells when it went
	}
	if err != nil {
		return err
	}
	value, err := unpack[T](e.Value)
	if err != nil {
		return fmt.Errorf("%s/%s: %w", t.bucket, key, err)
	}
	t.take(key, row[T]{value: value, rev: e.Revision})
	return nil
}

func (t *table[T]) watch(ctx context.Context, caught func(), news func(key string)) error {
	// What goes while nobody watches is not told later: of what is here now,
	// whatever the watch has not seen when it has caught up is gone.
	unseen := t.revisions()
	return t.store.Watch(ctx, t.bucket, func(ch fleetstore.Change) error {
		if ch.Caught {
			for key, rev := range unseen {
				if t.lose(key, rev) {
					news(key)
				}
			}
			unseen = nil
			caught()
			return nil
		}
		delete(unseen, ch.Key)
		if !t.behind(ch.Key, ch.Revision) {
			return nil // this server has put it itself, mostly: a large one takes a while to read
		}
		r := row[T]{rev: ch.Revision, gone: ch.Gone}
		if !ch.Gone {
			var err error
			if r.value, err = unpack[T](ch.Value); err != nil {
				// One entry that a newer server wrote must not keep this one from
				// all others. It is left as it is: nothing can be put in its place.
				t.log.Error("controller: an entry of the store cannot be read; it is left alone", "bucket", t.bucket, "key", ch.Key, "err", err)
				return nil
			}
		}
		if t.take(ch.Key, r) {
			news(ch.Key)
		}
		return nil
	})
}

// revisions are those of all that is there.
func (t *table[T]) revisions() map[string]uint64 {
	t.mu.RLock()
	defer t.mu.RUnlock()
	revs := make(map[string]uint64, len(t.rows))
	for key, r := range t.rows {
		if !r.gone {
			revs[key] = r.rev
		}
	}
	return revs
}

// lose notes that a value of a revision, or of one before, is gone.
func (t *table[T]) lose(key string, rev uint64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	r, ok := t.rows[key]
	if !ok || r.gone || r.rev > rev {
		return false
	}
	t.rows[key] = row[T]{rev: r.rev, gone: true}
	t.live--
	t.n++
	return true
}

// edit changes a value by compare-and-swap until it holds. change gets what is
// there (the zero value when nothing is), and may refuse.
func (t *table[T]) edit(ctx context.Context, key string, change func(was T, ok bool) (T, error)) (T, error) {
	const tries = 20
	var err error
	for range tries {
		was, rev, ok := t.get(key)
		next, refusal := change(was, ok)
		if refusal != nil {
			return was, refusal
		}
		if _, err = t.put(ctx, key, next, rev); err == nil {
			return next, nil
		}
		if !errors.Is(err, fleetstore.ErrStale) {
			break
		}
	}
	var none T
	return none, fmt.Errorf("%w: %w", err, shoal.ErrUnavailable)
}

// packFrom is the size from which a value is compressed; maxUnpacked bounds
// what comes out.
const (
	packFrom    = 4 << 10
	maxUnpacked = 256 << 20
)

// pack is JSON, compressed if it is large: the state of a rollout over 10,000
// hosts would not go into a message otherwise.
func pack(value any) ([]byte, error) {
	text, err := json.Marshal(value)
	if err != nil || len(text) < packFrom {
		return text, err
	}
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.BestSpeed)
	if err != nil {
		return nil, err
	}
	_, err = w.Write(text)
	err = errors.Join(err, w.Close())
	return b.Bytes(), err
}

func unpack[T any](data []byte) (T, error) {
	var value T
	if len(data) >= 2 && data[0] == 0x1f && data[1] == 0x8b {
		r, err := gzip.NewReader(bytes.NewReader(data))
		if err != nil {
			return value, err
		}
		if data, err = io.ReadAll(io.LimitReader(r, maxUnpacked)); err != nil {
			return value, err
		}
	}
	return value, json.Unmarshal(data, &value)
}
