// Package fleetstore keeps what a fleet has to remember: entries in buckets that
// are replaced by compare-and-swap and can be watched, a journal that takes each
// record once, and blobs that are named by their content.
//
// There are two engines behind one Store: NATS JetStream, embedded in the
// process or a cluster of its own (Open), and a twin in memory (NewMemory). The
// suite in storetest holds both to what this page says. The package knows
// nothing of releases, rollouts or hosts.
package fleetstore

import (
	"context"
	"errors"
	"fmt"
)

// Errors that callers tell apart. Everything else that goes wrong has
// shoal.ErrUnavailable in its chain: the engine could not be reached, or did not
// answer in time, and nobody knows whether the change was made.
var (
	ErrNone  = errors.New("the store has no such entry")
	ErrStale = errors.New("somebody else has changed the entry")
	ErrTaken = errors.New("the journal has this record already")
	ErrSize  = errors.New("more than the store takes in one entry")
)

// Bounds on what goes in.
const (
	MaxKey    = 300       // bytes of a key or of a record's name
	MaxRecord = 512 << 10 // bytes of a record
	MaxBlob   = 256 << 20 // bytes
	// MaxEntry is what every engine takes in an entry. One with a larger limit
	// on messages, such as the embedded one, takes more.
	MaxEntry = 1<<20 - 4<<10 // bytes
)

// Bucket is a set of entries by their keys. Buckets are made when they are
// opened, so there is a fixed list of them.
type Bucket string

// The buckets.
const (
	Fleet    Bucket = "fleet"    // single facts: the lease, the brake, the freezes
	Hosts    Bucket = "hosts"    // by name
	Gone     Bucket = "gone"     // hosts that were told to go, by name
	Releases Bucket = "releases" // by app@version
	Rollouts Bucket = "rollouts" // by number
	Notices  Bucket = "notices"  // that were not delivered yet, by their ID
	Tokens   Bucket = "tokens"   // by ID
	Pulses   Bucket = "pulses"   // what each server has heard lately, by server
	Trust    Bucket = "trust"    // the certificate authority of the fleet
)

// Buckets are all of them.
func Buckets() []Bucket {
	return []Bucket{Fleet, Hosts, Gone, Releases, Rollouts, Notices, Tokens, Pulses, Trust}
}

// Entry is a value under a key.
type Entry struct {
	Key   string
	Value []byte // not to be changed
	// Revision rises with every change in the bucket and is never used again.
	Revision uint64
}

// Change is what a watch sees: an entry as it is now, or that it is Gone, or
// that the watch has Caught up: all that was there when it began has been told.
type Change struct {
	Entry
	Gone   bool
	Caught bool
}

// Record is an entry of the journal.
type Record struct {
	Seq  uint64 // rises; there may be gaps
	Name string
	Data []byte // not to be changed
}

// Any is the revision that Put and Delete take for: whatever is there.
const Any = ^uint64(0)

// Store is an engine.
type Store interface {
	Entries
	Journal
	Blobs
	// Close ends the engine. Watches end, calls after it fail.
	Close() error
}

// Entries are replaced whole, and only by somebody who knows what is there.
type Entries interface {
	// Get is one entry, at least as new as any that this Store put; ErrNone.
	Get(ctx context.Context, b Bucket, key string) (Entry, error)
	// Put stores a value in place of the revision after, 0 meaning that no entry
	// is there, and gives its revision; ErrStale if something else is there,
	// ErrSize if it is too large.
	Put(ctx context.Context, b Bucket, key string, value []byte, after uint64) (uint64, error)
	// Delete removes an entry of the revision after; ErrStale. One that is not
	// there is no error with Any.
	Delete(ctx context.Context, b Bucket, key string, after uint64) error
	// List is all entries of a bucket by key.
	List(ctx context.Context, b Bucket) ([]Entry, error)
	// Watch calls see with every entry of the bucket, then that it has caught
	// up, then with each change, until ctx ends or see gives an error, which it
	// returns. Of changes that follow each other quickly only the newest has to
	// be told. After a loss of connection it goes on by itself; after another
	// error call it again.
	Watch(ctx context.Context, b Bucket, see func(Change) error) error
}

// Journal is a log that nobody changes.
type Journal interface {
	// Append adds a record under a name that none has: ErrTaken and the record
	// that is there otherwise. So whoever repeats itself writes once.
	Append(ctx context.Context, name string, data []byte) (Record, error)
	// Read gives at most limit records with a number greater than after, in order.
	Read(ctx context.Context, after uint64, limit int) ([]Record, error)
}

// Blobs are values of any size, named by their SHA-256 in hex.
type Blobs interface {
	PutBlob(ctx context.Context, data []byte) (name string, err error)
	Blob(ctx context.Context, name string) ([]byte, error) // ErrNone
	DeleteBlob(ctx context.Context, name string) error
}

func checkKey(key string) error {
	if key == "" || len(key) > MaxKey {
		return fmt.Errorf("store: a key of %d bytes, it may have 1 to %d", len(key), MaxKey)
	}
	return nil
}

func checkRecord(name string, data []byte) error {
	if len(data) > MaxRecord {
		return fmt.Errorf("record %.80q of %d bytes, more than %d: %w", name, len(data), MaxRecord, ErrSize)
	}
	return checkKey(name)
}
