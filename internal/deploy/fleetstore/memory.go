package fleetstore

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"sync"

	"shoal"
)

// memory is the twin: a store for tests, which forgets everything at the end.
type memory struct {
	mu      sync.Mutex
	closed  bool
	news    chan struct{} // closed and made anew at each change
	last    uint64        // revision
	buckets map[Bucket]map[string]held
	journal []Record
	names   map[string]int // index into journal
	blobs   map[string][]byte
}

// held is an entry, or that it was removed, which watchers have to learn.
type held struct {
	Entry
	gone bool
}

// NewMemory makes an empty store in memory.
func NewMemory() Store {
	m := &memory{
		news: make(chan struct{}), buckets: map[Bucket]map[string]held{},
		names: map[string]int{}, blobs: map[string][]byte{},
	}
	for _, b := range Buckets() {
		m.buckets[b] = map[string]held{}
	}
	return m
}

// enter locks the store, unless the call must not go on.
func (m *memory) enter(ctx context.Context) error {
	m.mu.Lock()
	err := ctx.Err()
	if m.closed {
		err = fmt.Errorf("store: it is closed: %w", shoal.ErrUnavailable)
	}
	if err != nil {
		m.mu.Unlock()
	}
	return err
}

func (m *memory) tell() {
	close(m.news)
	m.news = make(chan struct{})
}

func (m *memory) Get(ctx context.Context, b Bucket, key string) (Entry, error) {
	if err := m.enter(ctx); err != nil {
		return Entry{}, err
	}
	defer m.mu.Unlock()
	e, ok := m.buckets[b][key]
	if !ok || e.gone {
		return Entry{}, fmt.Errorf("%s/%.80s: %w", b, key, ErrNone)
	}
	return e.Entry, nil
}

// stale tells that another revision is there than somebody thinks.
func (m *memory) stale(b Bucket, key string, after uint64) error {
	e, ok := m.buckets[b][key]
	is := e.Revision
	if !ok || e.gone {
		is = 0
	}
	if after != Any && after != is {
		return fmt.Errorf("%s/%.80s: %w", b, key, ErrStale)
	}
	return nil
}

func (m *memory) Put(ctx context.Context, b Bucket, key string, value []byte, after uint64) (uint64, error) {
	if err := checkKey(key); err != nil {
		return 0, err
	}
	if len(value) > MaxEntry {
		return 0, fmt.Errorf("%s/%.80s of %d bytes: %w", b, key, len(value), ErrSize)
	}
	if err := m.enter(ctx); err != nil {
		return 0, err
	}
	defer m.mu.Unlock()
	if err := m.stale(b, key, after); err != nil {
		return 0, err
	}
	m.last++
	m.buckets[b][key] = held{Entry: Entry{key, slices.Clone(value), m.last}}
	m.tell()
	return m.last, nil
}

func (m *memory) Delete(ctx context.Context, b Bucket, key string, after uint64) error {
	if err := m.enter(ctx); err != nil {
		return err
	}
	defer m.mu.Unlock()
	if err := m.stale(b, key, after); err != nil {
		return err
	}
	if e, ok := m.buckets[b][key]; !ok || e.gone {
		return nil
	}
	m.last++
	m.buckets[b][key] = held{Entry: Entry{Key: key, Revision: m.last}, gone: true}
	m.tell()
	return nil
}

func (m *memory) List(ctx context.Context, b Bucket) ([]Entry, error) {
	if err := m.enter(ctx); err != nil {
		return nil, err
	}
	defer m.mu.Unlock()
	var list []Entry
	for _, e := range m.buckets[b] {
		if !e.gone {
			list = append(list, e.Entry)
		}
	}
	slices.SortFunc(list, func(a, b Entry) int { return cmp.Compare(a.Key, b.Key) })
	return list, nil
}

func (m *memory) Watch(ctx context.Context, b Bucket, see func(Change) error) error {
	var seen uint64
	for caught := false; ; {
		if err := m.enter(ctx); err != nil {
			return err
		}
		news := m.news
		fresh := slices.SortedFunc(maps.Values(m.buckets[b]), func(a, b held) int { return cmp.Compare(a.Revision, b.Revision) })
		m.mu.Unlock()
		for _, e := range fresh {
			if e.Revision <= seen || e.gone && !caught {
				continue
			}
			seen = e.Revision
			if err := see(Change{Entry: e.Entry, Gone: e.gone}); err != nil {
				return err
			}
		}
		if !caught {
			caught = true
			if err := see(Change{Caught: true}); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-news:
		}
	}
}

func (m *memory) Append(ctx context.Context, name string, data []byte) (Record, error) {
	if err := checkRecord(name, data); err != nil {
		return Record{}, err
	}
	if err := m.enter(ctx); err != nil {
		return Record{}, err
	}
	defer m.mu.Unlock()
	if i, ok := m.names[name]; ok {
		return m.journal[i], fmt.Errorf("record %.80q: %w", name, ErrTaken)
	}
	m.names[name] = len(m.journal)
	r := Record{uint64(len(m.journal)) + 1, name, slices.Clone(data)}
	m.journal = append(m.journal, r)
	return r, nil
}

func (m *memory) Read(ctx context.Context, after uint64, limit int) ([]Record, error) {
	if err := m.enter(ctx); err != nil {
		return nil, err
	}
	defer m.mu.Unlock()
	from := min(after, uint64(len(m.journal)))
	rest := m.journal[from:]
	return slices.Clone(rest[:min(len(rest), max(0, limit))]), nil
}

// nameOf is the name of a blob.
func nameOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

func (m *memory) PutBlob(ctx context.Context, data []byte) (string, error) {
	if len(data) > MaxBlob {
		return "", fmt.Errorf("a blob of %d bytes, more than %d: %w", len(data), MaxBlob, ErrSize)
	}
	if err := m.enter(ctx); err != nil {
		return "", err
	}
	defer m.mu.Unlock()
	name := nameOf(data)
	m.blobs[name] = slices.Clone(data)
	return name, nil
}

func (m *memory) Blob(ctx context.Context, name string) ([]byte, error) {
	if err := m.enter(ctx); err != nil {
		return nil, err
	}
	defer m.mu.Unlock()
	data, ok := m.blobs[name]
	if !ok {
		return nil, fmt.Errorf("blob %.80s: %w", name, ErrNone)
	}
	return data, nil
}

func (m *memory) DeleteBlob(ctx context.Context, name string) error {
	if err := m.enter(ctx); err != nil {
		return err
	}
	defer m.mu.Unlock()
	delete(m.blobs, name)
	return nil
}

func (m *memory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.closed {
		m.closed = true
		m.tell()
	}
	return nil
}
