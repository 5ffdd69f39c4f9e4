package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"shoal"
	"shoal/internal/deploy/release"
	"shoal/internal/filelock"
)

// Options are what an agent is made of.
type Options struct {
	Config   Config
	Hooks    Hooks    // nil: Commands
	Verifier Verifier // nil: nobody has to sign
	Software string   // version of shoal
	Log      *slog.Logger
	// Alive is called at least every second while all is well. May be nil.
	Alive func()
	Pace  Pace
}

// Pace is how often things are done. The zero value is what a fleet wants.
type Pace struct {
	Tick    time.Duration // looks at the disk for what other hands did; default 1 s
	Quiet   time.Duration // between reports while nothing happens, when asking for orders is sign of life enough; default 5 min
	Busy    time.Duration // between reports while bytes move; default 3 s
	Retry   time.Duration // before the second try of what failed, doubled up to a hundredfold; default 3 s
	Sweep   time.Duration // between two gc; default 10 min
	Reports time.Duration // at least between two reports; default 100 ms
}

func (p *Pace) setDefaults() {
	p.Tick = cmp.Or(p.Tick, time.Second)
	p.Quiet = cmp.Or(p.Quiet, 5*time.Minute)
	p.Busy = cmp.Or(p.Busy, 3*time.Second)
	p.Retry = cmp.Or(p.Retry, 3*time.Second)
	p.Sweep = cmp.Or(p.Sweep, 10*time.Minute)
	p.Reports = cmp.Or(p.Reports, 100*time.Millisecond)
}

// Agent is made by New and works while Run does.
type Agent struct {
	o     Options
	store *release.Store
	root  *os.Root
	lock  *os.File
	rec   *record
}

// New takes the root for this process and reads the record: what is wrong with
// them is an error here. An agent that is not run must be closed.
func New(o Options) (_ *Agent, err error) {
	if err := o.Config.Check(); err != nil {
		return nil, err
	}
	o.Pace.setDefaults()
	if o.Hooks == nil {
		o.Hooks = Commands{}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	a := &Agent{o: o}
	defer func() {
		if err != nil {
			a.Close()
			if causeOf(err) == shoal.CauseNoAccess {
				err = fmt.Errorf("the root %s is not this agent's to use (it runs as user %d): %w", o.Config.Root, os.Geteuid(), err)
			}
		}
	}()
	if a.store, err = release.Open(o.Config.Root, release.Options{Log: o.Log}); err != nil {
		return nil, err
	}
	if a.root, err = os.OpenRoot(o.Config.Root); err != nil {
		return nil, err
	}
	if err := a.root.Mkdir(hidden, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	if err := a.take(); err != nil {
		return nil, err
	}
	var setAside error
	if a.rec, setAside, err = readRecord(a.root); err != nil {
		return nil, err
	}
	if setAside != nil {
		o.Log.Error("starts without its record", "err", setAside)
	}
	for app, of := range o.Config.Apps {
		for key, h := range of.hooks() {
			if len(h.Command) == 0 {
				continue
			}
			if _, err := exec.LookPath(h.Command[0]); err != nil {
				o.Log.Warn("a hook cannot be run as things are: no release of the app will go live here", "app", app, "hook", key, "err", err)
			}
		}
	}
	// Also tells whether the disk can be written to; a full one can be again.
	if err := a.rec.write(a.root); err != nil && !errors.Is(err, unix.ENOSPC) && !errors.Is(err, unix.EDQUOT) {
		return nil, err
	}
	return a, nil
}

// take locks the root for the life of the process.
func (a *Agent) take() error {
	f, err := a.root.OpenFile(lockFile, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	a.lock = f
	return filelock.Take(f)
}

// Instance is the random name that this root's agent has, kept on disk.
func (a *Agent) Instance() string { return a.rec.Instance }

// Close gives the root back.
func (a *Agent) Close() {
	if a.lock != nil {
		_ = filelock.Close(a.lock) // nothing was written
	}
	if a.root != nil {
		_ = a.root.Close() // nothing was written through it
	}
	if a.store != nil {
		_ = a.store.Close() // the same
	}
}

// Run works until ctx ends: s says what is wanted, f moves the bytes. It returns nil then; other errors are of the disk,
// where going on makes no sense.
func (a *Agent) Run(ctx context.Context, s shoal.Station, f Fetcher) error {
	defer a.Close()
	ctx, cancel := context.WithCancel(ctx)
	l := newLoop(ctx, a, s, f)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	t := &talk{o: &a.o, station: s, instance: a.rec.Instance, events: l.events, reports: make(chan shoal.Report, 1), again: make(chan error, 1)}
	l.reports = t.reports
	wg.Go(func() { t.listen(ctx) })
	wg.Go(func() { t.tell(ctx) })
	return l.run(ctx)
}
