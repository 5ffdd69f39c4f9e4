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

// Seed serves until ctx ends. Files that cannot be read end it at once; after
// that it goes on as long as there is something to serve or a folder to watch.
func Seed(ctx context.Context, o SeedOptions) error {
	metas := make([]*metainfo.Metafile, len(o.Files))
	for n, name := range o.Files {
		d, err := Load(ctx, name, o.Content.AllowOutsideLinks)
		if err != nil {
			return err
		}
		if d.Meta == nil {
			return &MetafileError{name, errors.New("a magnet link has no content to serve; use get --seed")}
		}
		metas[n] = d.Meta
	}
	p, err := open(ctx, o.Options)
	if err != nil {
		return err
	}
	return p.with(ctx, func(ctx context.Context) error {
		var wg sync.WaitGroup
		errs := make([]error, len(metas)+1)
		for n, meta := range metas {
			wg.Go(func() { errs[n] = p.seedOne(ctx, meta, o.Content) })
		}
		if o.Watch != "" {
			wg.Go(func() { errs[len(metas)] = p.seedFolder(ctx, o.Watch, o.Content) })
		}
		wg.Wait()
		return errors.Join(errs...)
	})
}

// seedOne serves one metafile's content until ctx ends.
func (p *process) seedOne(ctx context.Context, meta *metainfo.Metafile, o ContentOptions) error {
	s := p.newShare(meta, o)
	s.readOnly, s.stay = true, true
	err := s.run(ctx)
	if ctx.Err() != nil {
		return nil
	}
	if err != nil {
		p.Log.Error("cannot be served", "name", s.name(), "err", err)
		s.report(Failed, err)
	}
	return err
}

// seedFolder serves the metafiles in a folder as they come and go.
func (p *process) seedFolder(ctx context.Context, dir string, o ContentOptions) error {
	f := &folder{p: p, o: o, log: p.Log.With("watch", dir), running: map[string]func(){}}
	defer f.stopAll()
	return watchFolder(ctx, dir, f.log, func(added, removed []string) {
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
	p       *process
	o       ContentOptions
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
	d, err := Load(ctx, name, f.o.AllowOutsideLinks)
	if err != nil {
		// Half written, perhaps: it is looked at again when it changes.
		f.log.Error("not served", "file", name, "err", err)
		return
	}
	for ctx.Err() == nil {
		if f.p.seedOne(ctx, d.Meta, f.o) == nil {
			f.p.Report(Event{Kind: Dropped, Name: d.Meta.Info.Name})
			return
		}
		select {
		case <-time.After(retryEvery):
		case <-ctx.Done():
		}
	}
}
