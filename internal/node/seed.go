package node

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"shoal/internal/bt/metainfo"
)

// retryEvery is how often content that could not be served is tried again
// while its metafile stays in the watched folder: the content may still be on
// its way there.
const retryEvery = 30 * time.Second

// SeedOptions say what to serve.
type SeedOptions struct {
	Options
	Files   []string // metafiles
	Watch   string   // folder whose metafiles are served while they are there
	Content ContentOptions
}

// Seed serves content that is there already.
type Seed struct {
	SeedOptions
	checking sync.Map // of *share: whose content is not checked yet
}

// NewSeed only keeps the options: whatever is wrong with them, Run tells.
func NewSeed(o SeedOptions) *Seed {
	s := &Seed{SeedOptions: o}
	tell := o.Report
	s.Report = func(e Event) {
		if e.Kind == Serving || e.Kind == Failed {
			s.checking.Delete(e.share)
		}
		if tell != nil {
			tell(e)
		}
	}
	return s
}

// Status sums up what is still being checked; its state is "" when nothing is.
// It may be asked at any time, from any goroutine.
func (s *Seed) Status() Status {
	sum := Status{Peers: -1}
	s.checking.Range(func(key, _ any) bool {
		st := key.(*share).status()
		sum.State = st.State
		sum.Done += st.Done
		sum.Total += st.Total
		return true
	})
	return sum
}

// Run serves until ctx ends. Files that cannot be read end it at once; after
// that it goes on as long as there is something to serve or a folder to watch.
func (s *Seed) Run(ctx context.Context) error {
	metas := make([]*metainfo.Metafile, len(s.Files))
	for n, name := range s.Files {
		d, err := Load(ctx, name, s.Content.AllowOutsideLinks)
		if err != nil {
			return err
		}
		if d.Meta == nil {
			return &MetafileError{name, errors.New("a magnet link has no content to serve; use get --seed")}
		}
		metas[n] = d.Meta
	}
	p, err := open(ctx, s.Options)
	if err != nil {
		return err
	}
	return p.with(ctx, func(ctx context.Context) error {
		var wg sync.WaitGroup
		errs := make([]error, len(metas)+1)
		for n, meta := range metas {
			wg.Go(func() { errs[n] = s.one(ctx, p, meta) })
		}
		if s.Watch != "" {
			wg.Go(func() { errs[len(metas)] = s.folder(ctx, p) })
		}
		wg.Wait()
		return errors.Join(errs...)
	})
}

// one serves one metafile's content until ctx ends.
func (s *Seed) one(ctx context.Context, p *process, meta *metainfo.Metafile) error {
	sh := p.newShare(meta, s.Content)
	sh.readOnly, sh.stay = true, true
	s.checking.Store(sh, nil)
	defer s.checking.Delete(sh)
	err := sh.run(ctx)
	if ctx.Err() != nil {
		return nil
	}
	if err != nil {
		if s.Watch != "" || len(s.Files) > 1 { // the others go on, so it is not the last word
			p.Log.Error("cannot be served", "name", sh.name(), "err", err)
		}
		sh.report(Failed, err)
	}
	return err
}

// folder serves the metafiles in a folder as they come and go.
func (s *Seed) folder(ctx context.Context, p *process) error {
	f := &folder{seed: s, p: p, log: p.Log.With("watch", s.Watch), running: map[string]func(){}}
	defer f.stopAll()
	return watchFolder(ctx, s.Watch, f.log, func(added, removed []string) {
		for _, name := range removed {
			f.stop(name)
		}
		for _, name := range added {
			f.start(ctx, name)
		}
	})
}

// folder is the set of shares of a watched folder. Only the watcher's own
// goroutine calls it.
type folder struct {
	seed    *Seed
	p       *process
	log     *slog.Logger
	running map[string]func() // by file name: stops the share and waits for it
}

func (f *folder) start(ctx context.Context, name string) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		f.keep(ctx, name)
	}()
	f.running[name] = func() { cancel(); <-done }
}

func (f *folder) stop(name string) {
	if stop := f.running[name]; stop != nil {
		stop()
		delete(f.running, name)
	}
}

func (f *folder) stopAll() {
	for name := range f.running {
		f.stop(name)
	}
}

// keep serves one metafile of the folder until its file goes or changes.
func (f *folder) keep(ctx context.Context, name string) {
	d, err := Load(ctx, name, f.seed.Content.AllowOutsideLinks)
	if err != nil {
		// Half written, perhaps: it is looked at again when it changes.
		f.log.Error("not served", "file", name, "err", err)
		return
	}
	for ctx.Err() == nil {
		if f.seed.one(ctx, f.p, d.Meta) == nil {
			f.p.Report(Event{Kind: Dropped, Name: d.Meta.Info.Name})
			return
		}
		select {
		case <-time.After(retryEvery):
		case <-ctx.Done():
		}
	}
}
