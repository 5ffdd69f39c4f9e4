package storage

import (
	"context"
	"time"

	"shoal/internal/bt/bitfield"
	"shoal/internal/bt/metainfo"
	"shoal/internal/bt/storage/record"
	"shoal/internal/filelock"
)

// survey is what was found at the start: how all files look, what the record
// says, and what follows from both.
type survey struct {
	facts   []fact
	blocked []*typeError // folders that are none
	trust   *trust
}

func (d *Disk) survey(ctx context.Context) (*survey, error) {
	rec := found{open: d.rec.isOpen()}
	if !rec.open {
		var err error
		if rec, err = d.rec.load(); err != nil {
			return nil, err
		}
	}
	facts, blocked, err := d.scan(ctx)
	if err != nil {
		return nil, err
	}
	return &survey{facts: facts, blocked: blocked, trust: d.newTrust(rec, facts)}, nil
}

// Check finds out which pieces are on disk. What the resume record knows and
// nobody changed since is believed; the rest is hashed on all cores. progress is
// told the bytes hashed so far and in all, one call at a time; it may be nil.
// Once something was written, Check believes nothing and hashes everything.
//
// Files that are in the way are told by a ConflictError (see the package
// comment), and nothing was changed then. With Options.ReadOnly nothing can be
// in the way: what does not fit is not there. Nothing may be written while Check
// runs.
func (d *Disk) Check(ctx context.Context, progress func(done, total int64)) (*bitfield.Set, error) {
	seen, err := d.takeSurvey(ctx)
	if err != nil {
		return nil, err
	}
	if !d.o.ReadOnly {
		if err := d.judgeNames(seen); err != nil {
			return nil, err
		}
	}
	if d.window != nil {
		d.window.lookAround()
	}
	have, todo := seen.trust.sort()
	if d.o.ReadOnly && d.o.Sample {
		if fine, err := d.sample(ctx, seen, todo); err != nil {
			return nil, err
		} else if fine {
			have.SetAll()
			return have, nil
		}
	}
	good := bitfield.New(todo.Len())
	h := hashing{d: d, pieces: todo, progress: progress, result: func(p metainfo.Piece, ok bool, err error) {
		if ok {
			good.Set(int(p))
		}
		if err != nil {
			d.log.Warn("piece cannot be read", "piece", p, "err", err)
		}
	}}
	if err := h.run(ctx); err != nil {
		return nil, err
	}
	if err := d.dropTouched(seen, good); err != nil {
		return nil, err
	}
	for p := good.Next(0); p >= 0; p = good.Next(p + 1) {
		have.Set(p)
	}
	if err := d.judgeContents(seen, have); err != nil {
		return nil, err
	}
	d.adopt(seen, have)
	if seen.trust.rec.open {
		return have, d.rec.compact(0)
	}
	if todo.Count() > 0 {
		d.keep(seen.facts)
	}
	return have, nil
}

// takeSurvey uses what Preflight has seen, once: older looks are the safer ones.
func (d *Disk) takeSurvey(ctx context.Context) (*survey, error) {
	d.mu.Lock()
	seen := d.seen
	d.seen = nil
	d.mu.Unlock()
	if seen != nil {
		return seen, nil
	}
	return d.survey(ctx)
}

// dropTouched takes out what was hashed in files that changed meanwhile.
func (d *Disk) dropTouched(seen *survey, good *bitfield.Set) error {
	p := good.Next(0)
	for i := range d.info.Files {
		first, end := d.info.FilePieces(i)
		if p < int(first) { // else it is still the first of those behind
			p = good.Next(int(first))
		}
		if p < 0 {
			break
		}
		if p >= int(end) || !d.content(i) {
			continue
		}
		now, err := d.look(i)
		if err != nil {
			return err
		}
		if now.record() == seen.facts[i].record() {
			continue
		}
		d.log.Warn("file was changed while it was being checked", "file", d.path(i))
		for ; p >= 0 && p < int(end); p = good.Next(p + 1) {
			good.Clear(p)
		}
		seen.facts[i] = fact{} // not to be recorded either
	}
	return nil
}

// judgeContents decides about files that somebody else left, now that their
// pieces were hashed.
func (d *Disk) judgeContents(seen *survey, have *bitfield.Set) error {
	if d.o.ReadOnly {
		return nil
	}
	var found []Conflict
	for i := range d.info.Files {
		if f := seen.facts[i]; !d.content(i) || !f.regular() || d.is(i, replaced) {
			continue
		}
		good, bad := d.tally(i, have)
		if bad == 0 {
			continue
		}
		v, reason := judgeContent(seen.facts[i], seen.trust.owns(i), good == 0 && d.hollow(i), d.o.Overwrite, good, bad)
		switch v {
		case conflict:
			found = append(found, Conflict{d.path(i), reason})
		case replace:
			d.set(i, replaced)
			first, end := d.info.FilePieces(i)
			for p := int(first); p < int(end); p++ {
				have.Clear(p)
			}
		}
	}
	return d.conflicts(found)
}

// tally counts the pieces of a file that are there and that are not.
func (d *Disk) tally(file int, have *bitfield.Set) (good, bad int) {
	first, end := d.info.FilePieces(file)
	for p := int(first); p < int(end); p++ {
		if have.Has(p) {
			good++
		} else {
			bad++
		}
	}
	return good, bad
}

// hollow tells whether a file holds nothing but a hole.
func (d *Disk) hollow(file int) bool {
	h, err := d.hold(file, false)
	if err != nil {
		return false
	}
	defer h.release()
	f, err := h.val.stat()
	return err == nil && dataAt(h.val.fd, 0, f.size) >= f.size
}

// adopt makes what was found the state from which we go on: all that is there
// now is complete or ours to complete.
func (d *Disk) adopt(seen *survey, have *bitfield.Set) {
	r := d.rec
	r.turn.Lock()
	defer r.turn.Unlock()
	r.mu.Lock()
	defer r.mu.Unlock()
	state := &r.state
	state.Have, state.Written = have.Clone(), d.unfinished(seen, have)
	state.Durable, r.fresh = bitfield.New(have.Len()), nil
	for p := have.Next(0); p >= 0; p = have.Next(p + 1) {
		if rec := &seen.trust.rec; rec.usable && rec.state.Durable.Has(p) {
			state.Durable.Set(p)
		} else {
			r.fresh = append(r.fresh, uint32(p))
		}
	}
	for i, f := range seen.facts {
		if f.regular() {
			d.set(i, there|ours)
			state.Ours.Set(i)
			if len(r.fresh) > 0 {
				d.set(i, dirty) // what an earlier run wrote may not be on disk yet
			}
		}
	}
}

// settleTime is longer than a tick of the clock that stamps files. A file that
// is changed twice within a tick looks the same after both.
const settleTime = 20 * time.Millisecond

// seal writes down how all files look now, when nothing is being written. facts
// are looks that were taken since then; nil: take them.
func (d *Disk) seal(ctx context.Context, facts []fact, since time.Time) (err error) {
	if facts == nil {
		if facts, _, err = d.scan(ctx); err != nil {
			return err
		}
	}
	young := since.Add(-settleTime).UnixNano()
	if newestChange(facts) > young {
		pause := time.NewTimer(settleTime) // not synchronisation: see settleTime
		defer pause.Stop()
		select {
		case <-pause.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		for i, f := range facts {
			if f.changed > young {
				if facts[i], err = d.look(i); err != nil {
					return err
				}
			}
		}
	}
	return d.rec.closeWith(recordFiles(facts))
}

// keep is seal with looks that are known, where failing does no harm.
func (d *Disk) keep(facts []fact) {
	err := d.rec.closeWith(recordFiles(facts))
	if _, held := filelock.HeldBy(err); err != nil && !held {
		d.log.Info("resume record not written; the next start will hash again", "err", err)
	}
}

func recordFiles(facts []fact) []record.File {
	files := make([]record.File, len(facts))
	for i, f := range facts {
		files[i] = f.record()
	}
	return files
}

func newestChange(facts []fact) (newest int64) {
	for _, f := range facts {
		newest = max(newest, f.changed)
	}
	return newest
}
