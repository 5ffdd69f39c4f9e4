package storage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"time"

	"shoal/internal/bt/bitfield"
	"shoal/internal/bt/metainfo"
	"shoal/internal/bt/storage/record"
	"shoal/internal/filelock"
)

const (
	// compactAt is the size of a journal from which it is folded into a snapshot.
	compactAt = 4 << 20
	// compactPoll is how often the size is looked at.
	compactPoll = 5 * time.Second
	// syncSingly is up to how many changed files are synced one by one. Beyond
	// that the whole volume is, which may also carry other people's data.
	syncSingly = 64
)

// syncLoop makes written data durable every SyncEvery, so that a power loss
// costs little re-hashing, and keeps the journal short. It ends with ctx.
func (d *Disk) syncLoop(ctx context.Context) {
	sync := time.NewTicker(d.o.SyncEvery)
	defer sync.Stop()
	compact := time.NewTicker(compactPoll)
	defer compact.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-sync.C:
			if err := d.checkpoint(ctx); err != nil && ctx.Err() == nil {
				d.log.Warn("content could not be made durable; a power loss would cost more hashing", "err", err)
			}
		case <-compact.C:
			if err := d.rec.compact(compactAt); err != nil {
				d.log.Warn("resume record could not be compacted", "err", err)
			}
		}
	}
}

// came notes that pieces are there.
func (r *resume) came(pieces []metainfo.Piece) {
	r.mu.Lock()
	defer r.mu.Unlock()
	entries := make([]record.Entry, len(pieces))
	for i, p := range pieces {
		entries[i] = record.Entry{Kind: record.Have, A: uint32(p), B: 1}
		r.fresh = append(r.fresh, uint32(p))
	}
	r.note(entries...)
}

// checkpoint makes what was written so far durable and says so in the record.
func (d *Disk) checkpoint(ctx context.Context) error {
	r := d.rec
	r.turn.Lock()
	defer r.turn.Unlock()
	r.mu.Lock()
	n, fresh := r.n, len(r.fresh)
	open := r.f != nil
	r.mu.Unlock()
	if !open || fresh == 0 {
		return nil
	}
	if err := d.syncChanged(ctx); err != nil {
		d.distrust(err)
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range r.fresh[:fresh] {
		if r.state.Have.Has(int(p)) {
			r.state.Durable.Set(int(p))
		}
	}
	r.fresh = append([]uint32(nil), r.fresh[fresh:]...)
	r.note(record.DurableUpTo(n))
	return nil
}

// errNotStored is in the chain of the error of a sync.
var errNotStored = errors.New("the disk failed to store what was written")

// notStored marks the error of a sync call, if it is one.
func notStored(err error) error {
	if err == nil || errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	return fmt.Errorf("%w: %w", errNotStored, err)
}

// distrust takes back all pieces that are not durable if a sync has failed. The
// kernel has then thrown away what it could not write, and tells so only once:
// later reads may return what was on the disk before.
func (d *Disk) distrust(err error) {
	if !errors.Is(err, errNotStored) {
		return
	}
	r := d.rec
	r.mu.Lock()
	defer r.mu.Unlock()
	lost := 0
	for p := r.state.Have.Next(0); p >= 0; p = r.state.Have.Next(p + 1) {
		if !r.state.Durable.Has(p) {
			r.note(record.Entry{Kind: record.Lost, A: uint32(p), B: 1})
			lost++
		}
	}
	r.fresh = nil
	d.log.Error("written content is taken for lost", "pieces", lost, "dir", d.tree.dir, "err", err)
}

// syncChanged syncs the files that were written since the last time.
func (d *Disk) syncChanged(ctx context.Context) error {
	var changed []int
	for i := range d.states {
		if d.is(i, dirty) {
			d.clear(i, dirty)
			changed = append(changed, i)
		}
	}
	err := errors.ErrUnsupported
	if len(changed) > syncSingly {
		err = d.syncVolume()
	}
	if errors.Is(err, errors.ErrUnsupported) {
		err = d.syncEach(ctx, changed)
	}
	if err != nil {
		for _, i := range changed {
			d.set(i, dirty)
		}
	}
	return err
}

func (d *Disk) syncEach(ctx context.Context, files []int) error {
	for _, i := range files {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		h, err := d.hold(i, false)
		if errors.Is(err, fs.ErrNotExist) {
			continue // Finish will tell
		}
		if err != nil {
			return err
		}
		err = notStored(syncData(h.val.fd))
		h.release()
		if err != nil {
			return fault("sync", d.path(i), err)
		}
	}
	return nil
}

// compact folds a journal of at least that many bytes into a new snapshot while
// others go on appending.
func (r *resume) compact(atLeast int64) error {
	r.turn.Lock()
	defer r.turn.Unlock()
	r.mu.Lock()
	if r.f == nil || int64(r.n)*record.EntrySize < atLeast {
		r.mu.Unlock()
		return nil
	}
	salt := r.salt + 1 + rand.Uint64N(1<<62)
	b := r.shape.AppendSnapshot(nil, &r.state, salt)
	r.tail = append(make([]record.Entry, 0, 64), r.state.Written.Entries()...)
	r.mu.Unlock()

	f, err := r.temp(b)

	r.mu.Lock()
	defer r.mu.Unlock()
	tail := r.tail
	r.tail = nil
	if err != nil {
		return fault("write", r.path(), err)
	}
	// The stamp makes the new record newer than every write before.
	tail = append(tail, record.Entry{Kind: record.Stamp})
	journal := make([]byte, 0, len(tail)*record.EntrySize)
	for i, e := range tail {
		journal = record.AppendEntry(journal, e, uint64(i), salt)
	}
	if _, err = f.WriteAt(journal, int64(len(b))); err == nil {
		err = r.root.Rename(r.name+tempSuffix, r.name)
	}
	if err != nil {
		return errors.Join(fault("replace", r.path(), err), filelock.Close(f), r.root.Remove(r.name+tempSuffix))
	}
	_ = filelock.Close(r.f) // no longer the record
	r.f, r.end, r.n, r.salt = f, int64(len(b)+len(journal)), uint64(len(tail)), salt
	return nil
}

// have is a copy of the pieces that are there.
func (r *resume) have() *bitfield.Set {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.state.Have.Clone()
}
