package tracker

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"time"

	"shoal/internal/atomicfile"
	"shoal/internal/bt/tracker/ledger"
	"shoal/internal/bt/tracker/peerstore"
)

// stateFile saves a store and a ledger now and then, and brings them back. It owns the file at path and the one
// beside it, or nothing when path is empty.
type stateFile struct {
	path  string
	store *peerstore.Store
	book  *ledger.Book
	log   *slog.Logger

	mu    sync.Mutex // guards what follows, and lets one save happen at a time
	saved peerstore.Revision
	took  time.Duration // the last save

	entered uint64    // version of the ledger that was saved
	at      time.Time // of the last good save
	err     error     // of the last one
}

const (
	saveEvery = 30 * time.Second // while peers come and go
	saveSoon  = time.Second      // after a new swarm or a completed download, which nobody would tell us again
	saveShare = 20               // at most this part of the time goes into saving
	saveCheck = 250 * time.Millisecond
	staleSave = 3 * time.Minute // after this time without a good save the tracker calls itself unhealthy
)

// openState restores the store of a file and checks that the file can be written. A file of something else is
// an error; a damaged one is put aside under the same name and ".damaged", which the log tells.
func openState(path string, o peerstore.Options, now time.Time, log *slog.Logger) (*stateFile, error) {
	s := &stateFile{path: path, log: log, book: &ledger.Book{}}
	s.loadLedger()
	var err error
	if s.store, err = restore(path, o, now); errors.Is(err, peerstore.ErrDamaged) {
		aside := path + ".damaged"
		log.Error("the state file is damaged; it is put aside and the tracker starts with nothing", "file", path, "aside", aside, "err", err)
		if err = os.Rename(path, aside); err == nil {
			s.store = peerstore.New(o)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("state file %s: %w", path, err)
	}
	if err := s.save(); err != nil {
		return nil, err
	}
	return s, nil
}

func restore(path string, o peerstore.Options, now time.Time) (*peerstore.Store, error) {
	if path == "" {
		return peerstore.New(o), nil
	}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return peerstore.New(o), nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil {
		return nil, err
	} else if info.Mode().IsRegular() && info.Size() == 0 {
		return peerstore.New(o), nil // made by hand, to give it an owner
	}
	store, err := peerstore.Restore(f, o, uint32(now.Unix()))
	if errors.Is(err, peerstore.ErrForeign) {
		return nil, fmt.Errorf("%w; it will not be overwritten: name another file, or move it away", err)
	}
	return store, err
}

// ledgerPath is the file of the ledger. It is one of its own since peers can be found again without it.
func (s *stateFile) ledgerPath() string { return s.path + ".ledger" }

// loadLedger reads the ledger. A damaged one is put aside, and what could be read of it counts.
func (s *stateFile) loadLedger() {
	if s.path == "" {
		return
	}
	f, err := os.Open(s.ledgerPath())
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err == nil {
		err = s.book.Load(f)
		f.Close()
	}
	if err != nil {
		aside := s.ledgerPath() + ".damaged"
		s.log.Error("the ledger is damaged; it is put aside", "file", s.ledgerPath(), "aside", aside, "err", errors.Join(err, os.Rename(s.ledgerPath(), aside)))
	}
}

// save writes the state, whatever changed.
func (s *stateFile) save() error {
	if s.path == "" {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	start, revision := time.Now(), s.store.Revision()
	err := atomicfile.WriteFunc(s.path, 0o600, s.store.Save)
	if v := s.book.Version(); err == nil && v != s.entered {
		if err = atomicfile.WriteFunc(s.ledgerPath(), 0o600, s.book.Save); err == nil {
			s.entered = v
		}
	}
	s.took = time.Since(start)
	if err != nil {
		s.err = fmt.Errorf("state of the tracker: %w", err)
		return s.err
	}
	s.saved, s.at, s.err = revision, start, nil
	return nil
}

// run saves until ctx ends; the last save is left to the caller. A save that fails is told and tried again.
func (s *stateFile) run(ctx context.Context) error {
	if s.path == "" {
		return nil
	}
	ticker := time.NewTicker(saveCheck)
	defer ticker.Stop()
	tried := time.Now()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-ticker.C:
			if !s.due(now.Sub(tried)) {
				continue
			}
			if err := s.save(); err != nil {
				s.log.Error("cannot save; the tracker goes on and tries again", "err", err)
			}
			tried = time.Now()
		}
	}
}

// due tells whether it is time to save, so long after the last try.
func (s *stateFile) due(since time.Duration) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.store.Revision()
	if since < s.took*saveShare {
		return false
	}
	switch {
	case s.err != nil:
		return since >= saveEvery/6
	case now.History != s.saved.History:
		return since >= saveSoon
	}
	return since >= saveEvery && now != s.saved
}

// trouble is nil, or why the state is not safe.
func (s *stateFile) trouble() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil && time.Since(s.at) > staleSave {
		return fmt.Errorf("not saved for %s: %w", time.Since(s.at).Round(time.Second), s.err)
	}
	return nil
}

// lastSave tells when the last good save was, and how long the last one took.
func (s *stateFile) lastSave() (at time.Time, took time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.at, s.took
}
