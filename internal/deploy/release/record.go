package release

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"shoal/internal/atomicfile"
)

// Release is what the store knows about one version.
type Release struct {
	Version string `json:"version"`
	State   State  `json:"state"`
	// ID is the SHA-256 of the metafile's info dictionary in hex: the info-hash
	// of BEP 52, and for v1 metafiles a stronger one than theirs.
	ID    string `json:"id"`
	Bytes int64  `json:"bytes"` // of its files
	Files int    `json:"files"`
	// Order of events: clocks may jump, so the store counts. 0 is never.
	Added     uint64 `json:"added"`     // when it came
	Activated uint64 `json:"activated"` // when it last became the current one
	// Times by the host's clock, for people; nothing is decided by them.
	StagedAt    time.Time `json:"staged_at,omitzero"`
	ActivatedAt time.Time `json:"activated_at,omitzero"`
	ScrubbedAt  time.Time `json:"scrubbed_at,omitzero"`
	// Left is when it ceased to be the current one.
	Left *Moment `json:"left,omitempty"`
}

// record is the content of state.json.
type record struct {
	Format   int       `json:"format"`
	Next     uint64    `json:"next"`              // number of the next event
	Current  string    `json:"current,omitempty"` // as it was; the link tells the truth
	Switch   *change   `json:"switch,omitempty"`  // was begun; whether it was done, the link tells
	Releases []Release `json:"releases"`

	rebuilt bool // the one on disk was damaged
}

// change is a switch of the link and what becomes of the release it leaves.
type change struct {
	From    string `json:"from,omitempty"`
	To      string `json:"to"`
	Verdict State  `json:"verdict"`
}

const (
	recordFormat = 1
	// Bounds of a record that is read. A host keeps a handful of releases.
	maxRecord   = 8 << 20
	maxReleases = 10_000
)

func newRecord() *record { return &record{Format: recordFormat, Next: 1} }

// parseRecord reads state.json. What it accepts is consistent in itself.
func parseRecord(b []byte) (*record, error) {
	r := &record{}
	if err := json.Unmarshal(b, r); err != nil {
		return nil, err
	}
	switch {
	case r.Format != recordFormat:
		return nil, fmt.Errorf("format %d, this shoal knows %d", r.Format, recordFormat)
	case len(r.Releases) > maxReleases:
		return nil, fmt.Errorf("%d releases are more than the limit of %d", len(r.Releases), maxReleases)
	case r.Next == 0 || r.Next > 1<<62:
		return nil, fmt.Errorf("next is %d", r.Next)
	}
	for i := range r.Releases {
		if err := r.check(i); err != nil {
			return nil, err
		}
	}
	if r.Switch != nil && (checkVersion(r.Switch.To) != nil || !verdict(r.Switch.Verdict)) {
		return nil, errors.New("the switch that it tells of is none")
	}
	return r, nil
}

func (r *record) check(i int) error {
	e := &r.Releases[i]
	if err := checkVersion(e.Version); err != nil {
		return err
	}
	known := []State{Staging, Staged, Active, Good, Failed}
	switch {
	case !slices.Contains(known, e.State):
		return fmt.Errorf("%s has the unknown state %q", e.Version, e.State)
	case r.index(e.Version) != i:
		return fmt.Errorf("%s is there twice", e.Version)
	case e.Added >= r.Next || e.Activated >= r.Next:
		return fmt.Errorf("%s is newer than the record", e.Version)
	case e.Bytes < 0 || e.Files < 0 || len(e.ID) > 64:
		return fmt.Errorf("%s: numbers out of range", e.Version)
	}
	return nil
}

// verdict tells whether a state can be given to a release that is left.
func verdict(s State) bool {
	return s == Good || s == Failed || s == Staged
}

func (r *record) index(version string) int {
	return slices.IndexFunc(r.Releases, func(e Release) bool { return e.Version == version })
}

// find is the release of that version, nil if there is none.
func (r *record) find(version string) *Release {
	if i := r.index(version); i >= 0 {
		return &r.Releases[i]
	}
	return nil
}

// like finds a release whose name differs by case alone: on some file systems
// that is the same folder.
func (r *record) like(version string) *Release {
	i := slices.IndexFunc(r.Releases, func(e Release) bool {
		return e.Version != version && strings.EqualFold(e.Version, version)
	})
	if i < 0 {
		return nil
	}
	return &r.Releases[i]
}

func (r *record) drop(version string) {
	r.Releases = slices.DeleteFunc(r.Releases, func(e Release) bool { return e.Version == version })
}

// tick numbers an event.
func (r *record) tick() uint64 {
	n := r.Next
	r.Next++
	return n
}

const (
	hidden     = ".shoal"
	stateFile  = hidden + "/state.json"
	lockFile   = hidden + "/lock"
	versionDir = hidden + "/versions"
	releaseDir = "releases"
	linkName   = "current"
)

// readRecord reads state.json below an app's folder; nil if there is none yet.
func readRecord(root *os.Root) (*record, error) {
	f, err := root.Open(stateFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxRecord+1))
	if err != nil {
		return nil, err
	}
	if len(b) > maxRecord {
		return nil, &damaged{fmt.Errorf("it is bigger than %d bytes", maxRecord)}
	}
	r, err := parseRecord(b)
	if err != nil {
		return nil, &damaged{err}
	}
	return r, nil
}

// damaged says that state.json is there and readable, but is no record.
type damaged struct{ error }

func (d *damaged) Unwrap() error { return d.error }

// write replaces state.json.
func (r *record) write(root *os.Root) error {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	err = atomicfile.WriteRoot(root, stateFile, append(b, '\n'), 0o600)
	if !errors.Is(err, syscall.ENOSPC) && !errors.Is(err, syscall.EDQUOT) {
		return err
	}
	if root.Remove(ballastFile) != nil {
		return err
	}
	return atomicfile.WriteRoot(root, stateFile, append(b, '\n'), 0o600)
}

// ballastFile keeps a little space that is given up when the disk is full: to
// roll back needs space for the state, and a full disk is a reason to roll back.
const (
	ballastFile = hidden + "/ballast"
	ballastSize = 256 << 10 // a record of a thousand releases
)

// loadBallast takes the ballast in again, if there is space.
func loadBallast(root *os.Root) {
	if st, err := root.Lstat(ballastFile); err == nil && st.Size() == ballastSize {
		return
	}
	b := make([]byte, ballastSize)
	_, _ = rand.Read(b) // never fails; what compresses would take no space
	_ = root.WriteFile(ballastFile, b, 0o600)
}
