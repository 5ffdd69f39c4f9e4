package node

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"shoal/internal/bt/bitfield"
	"shoal/internal/bt/metainfo"
	"shoal/internal/bt/storage"
	"shoal/internal/bt/swarm"
)

// ContentOptions say where content lies and how it is treated.
type ContentOptions struct {
	Dir               string   // holds the content under the metafile's name
	As                string   // another name for it there; "": the metafile's
	Select            []string // globs; none: everything
	Peers             []string // HOST:PORT, beside those from trackers
	Overwrite         bool
	AllowOutsideLinks bool
	Cache             storage.CachePolicy
	FullCheck         bool   // seed: hash everything before serving, not only a sample
	ResumeDir         string // for resume records; "": beside the content, which a seed only reads
}

// IncompleteError says that content which should be served is not all there.
type IncompleteError struct {
	Path        string
	Have, Total int // pieces
}

func (e *IncompleteError) Error() string {
	return fmt.Sprintf("%s cannot be served: %d of %d pieces are there and intact", e.Path, e.Have, e.Total)
}

// Hint is what the operator can do.
func (e *IncompleteError) Hint() string {
	return "`shoal verify` names the files; `shoal get --seed` fetches what is missing and serves"
}

// share is one torrent that this process takes part in, from the check of what
// lies on disk to the goodbye at the tracker. run owns it; the atomic fields
// are what others may look at meanwhile.
type share struct {
	p        *process
	o        ContentOptions
	meta     *metainfo.Metafile
	pick     func(file int) bool // in place of globs; nil: by those
	readOnly bool                // seed: content must be there, nothing is written
	stay     bool                // go on serving after completion
	command  string
	gate     *gate // lets it take part, or not
	log      *slog.Logger

	finishing sync.Mutex // held from completion until the command has ended: no pause may break it off

	state    atomic.Pointer[string]
	checked  atomic.Int64
	cramped  atomic.Bool // waits for room on the disk
	complete atomic.Bool
	torrent  atomic.Pointer[tenure]
}

// tenure is one stay in the swarm, with what was moved in those before it.
type tenure struct {
	*swarm.Torrent
	down, up, wasted int64
}

// after is a stay in the swarm that follows t.
func (t *tenure) after(engine *swarm.Torrent) *tenure {
	if t == nil {
		return &tenure{Torrent: engine}
	}
	v := t.Stats()
	return &tenure{engine, t.down + v.Downloaded, t.up + v.Uploaded, t.wasted + v.Wasted}
}

// newShare binds a metafile to this process. Nothing happens before run.
func (p *process) newShare(meta *metainfo.Metafile, o ContentOptions) *share {
	return &share{p: p, o: o, meta: meta, gate: p.gate, log: p.Log.With("name", meta.Info.Name)}
}

func (s *share) name() string { return s.meta.Info.Name }

func (s *share) path() string {
	p := filepath.Join(s.o.Dir, cmp.Or(s.o.As, s.name()))
	if abs, err := filepath.Abs(p); err == nil {
		return abs
	}
	return p
}

// infoHash is the name people know the torrent by.
func (s *share) infoHash() string {
	if s.meta.Info.HasV1() {
		return hex.EncodeToString(s.meta.Info.HashV1[:])
	}
	return hex.EncodeToString(s.meta.Info.HashV2[:])
}

func (s *share) enter(state string) { s.state.Store(&state) }

func (s *share) report(kind Kind, err error) {
	e := Event{Kind: kind, Name: s.name(), Path: s.path(), Addr: s.p.in.addrPort(), InfoHash: s.infoHash(), Status: s.status(), Err: err, share: s}
	if kind == Complete {
		e.Moved = s.moved()
	}
	s.p.Report(e)
}

// status may be asked at any time, from any goroutine.
func (s *share) status() Status {
	st := Status{State: "starting", Total: s.meta.Info.ContentLength(), Complete: s.complete.Load(), Peers: -1}
	if name := s.state.Load(); name != nil {
		st.State = *name
	}
	t := s.torrent.Load()
	if t == nil {
		st.Done = s.checked.Load()
		return st
	}
	v := t.Stats()
	if v.BytesWant > 0 { // the engine has looked around
		st.Done, st.Total = v.BytesDone, v.BytesWant
	}
	if st.State == fetching && v.State != "" {
		st.State = v.State
	}
	st.Peers = v.Peers
	st.Downloaded, st.Uploaded, st.Wasted = t.down+v.Downloaded, t.up+v.Uploaded, t.wasted+v.Wasted
	return st
}

// run takes part until ctx ends or, unless it is to stay, the content is
// complete. It returns nil only if the content is complete.
func (s *share) run(ctx context.Context) error {
	s.p.shares.Store(s, nil)
	defer s.p.leave(s)
	info := s.meta.Info
	defer s.p.makeRoom(s.meta)()
	hashes, err := metainfo.NewHashes(info, s.meta.Layers)
	if err != nil {
		return &MetafileError{s.name(), err}
	}
	picked := s.pick
	if picked == nil {
		if picked, err = selection(info, s.o.Select); err != nil {
			return err
		}
	}
	disk, err := storage.Open(s.o.Dir, info, hashes, storage.Options{
		As: s.o.As, Cache: s.o.Cache, Overwrite: s.o.Overwrite, AllowOutsideLinks: s.o.AllowOutsideLinks,
		Select: picked, ReadOnly: s.readOnly, Sample: !s.o.FullCheck, ResumeDir: s.o.ResumeDir, Log: s.log,
	})
	if err != nil {
		return err
	}
	err = s.serve(ctx, disk, hashes, wanted(info, picked))
	if closeErr := disk.Close(); err == nil {
		err = closeErr
	}
	if err == nil && !s.complete.Load() {
		err = context.Cause(ctx)
	}
	return err
}

// serve checks what is there and goes on from it.
func (s *share) serve(ctx context.Context, disk *storage.Disk, hashes *metainfo.Hashes, want *bitfield.Set) error {
	s.enter("checking")
	start := time.Now()
	have, err := s.check(ctx, disk)
	if err != nil {
		return err
	}
	s.log.Debug("checked", "have", have.Count(), "pieces", have.Len(), "took", time.Since(start))
	complete := have.Missing(want, 0) < 0
	if s.readOnly && !complete {
		return &IncompleteError{s.path(), have.Count(), have.Len()}
	}
	if complete && !s.stay {
		return s.finish(ctx, disk)
	}
	for {
		m, err := s.join(disk, hashes, have, want)
		if err != nil {
			return err
		}
		if err := m.run(ctx, complete); !errors.Is(err, errPaused) {
			return err
		}
		s.enter(paused)
		s.log.Info("paused")
		if !s.gate.until(ctx, false) {
			return nil
		}
		s.log.Info("resumed")
		have = m.engine.Have()
		complete = have.Missing(want, 0) < 0
	}
}

// check finds out what is there, and refuses what could never work before the
// first byte is fetched.
func (s *share) check(ctx context.Context, disk *storage.Disk) (*bitfield.Set, error) {
	if !s.readOnly {
		if err := disk.Preflight(ctx); err != nil {
			return nil, err
		}
	}
	return disk.Check(ctx, func(done, _ int64) { s.checked.Store(done) })
}

// finish makes complete content what it was at its source, and tells everyone.
func (s *share) finish(ctx context.Context, disk *storage.Disk) error {
	s.finishing.Lock()
	defer s.finishing.Unlock()
	if !s.readOnly {
		s.enter("finishing")
		if err := s.whenRoom(ctx, disk, disk.Finish); err != nil {
			return err
		}
	}
	s.enter("seeding")
	s.complete.Store(true)
	s.report(Complete, nil)
	if s.command == "" {
		return nil
	}
	h := hook{Command: s.command, Name: s.name(), Path: s.path(), InfoHash: s.infoHash(), Forward: s.p.Background}
	err := h.run(ctx)
	if err != nil && s.stay {
		s.log.Error("goes on serving", "err", err)
		return nil
	}
	return err
}

// whenRoom does work that needs space on the disk, and waits for space as often
// as there is none: an operator can make room without starting anything anew.
func (s *share) whenRoom(ctx context.Context, disk *storage.Disk, work func(context.Context) error) error {
	for {
		err := work(ctx)
		if !errors.Is(err, storage.ErrNoSpace) {
			return err
		}
		s.log.Warn("waits until there is room on the disk", "err", err)
		s.cramped.Store(true)
		err = disk.WaitSpace(ctx)
		s.cramped.Store(false)
		if err != nil {
			return err
		}
	}
}

// fetching is the state in which the engine knows better what is going on.
const fetching = "downloading"

// paused is the state of a share that has left its swarm for a while.
const paused = "paused"

// errDone ends a membership whose work is done, errPaused one that goes on later.
var (
	errDone   = errors.New("complete")
	errPaused = errors.New("paused")
)
