package release

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"shoal/internal/atomicfile"
	"shoal/internal/filelock"
)

// Options are a Store's choices.
type Options struct {
	// LockWait is how long a change waits for another one (0: 10 s).
	LockWait time.Duration
	Log      *slog.Logger // nil is silent
}

const defaultLockWait = 10 * time.Second

// Store is the releases of all apps below one root. It is safe for concurrent
// use, also by several processes.
type Store struct {
	dir  string
	root *os.Root
	o    Options
}

// Open opens the root, which must be there: one that is missing is more likely
// a disk that is not mounted than a host without releases.
func Open(dir string, o Options) (*Store, error) {
	o.LockWait = cmp.Or(o.LockWait, defaultLockWait)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(abs)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, refuse(ErrNotFound, "make it first, or mount the disk that should be there", "the root %s does not exist", abs)
	}
	if info, err2 := os.Stat(abs); err != nil && err2 == nil && !info.IsDir() {
		return nil, refuse(ErrRefused, "name the folder that holds a folder for each app", "the root %s is no folder", abs)
	}
	if err != nil {
		return nil, err
	}
	return &Store{abs, root, o}, nil
}

// Close gives the root back. Apps that were opened stay usable.
func (s *Store) Close() error { return s.root.Close() }

// Apps lists the apps below the root, sorted.
func (s *Store) Apps() ([]string, error) {
	entries, err := fs.ReadDir(s.root.FS(), ".")
	if err != nil {
		return nil, err
	}
	apps := []string{}
	for _, e := range entries {
		if checkApp(e.Name()) != nil {
			continue
		}
		if st, err := s.root.Stat(filepath.Join(e.Name(), hidden)); err == nil && st.IsDir() {
			apps = append(apps, e.Name())
		}
	}
	return apps, nil
}

// App opens an app that has releases here.
func (s *Store) App(name string) (*App, error) {
	if err := checkApp(name); err != nil {
		return nil, err
	}
	if _, err := s.root.Stat(filepath.Join(name, hidden)); errors.Is(err, fs.ErrNotExist) {
		return nil, refuse(ErrNotFound, "`shoal release list` shows the apps", "there is no app %s in %s", name, s.dir)
	} else if err != nil {
		return nil, err
	}
	return s.open(name)
}

// NewApp opens an app, and makes its folders where they are missing.
func (s *Store) NewApp(name string) (*App, error) {
	if err := checkApp(name); err != nil {
		return nil, err
	}
	if err := s.unlike(name); err != nil {
		return nil, err
	}
	for _, dir := range []struct {
		name string
		perm fs.FileMode
	}{{name, 0o755}, {filepath.Join(name, releaseDir), 0o755}, {filepath.Join(name, hidden), 0o700}, {filepath.Join(name, versionDir), 0o700}} {
		if err := s.root.Mkdir(dir.name, dir.perm); errors.Is(err, fs.ErrExist) {
			continue
		} else if err != nil {
			return nil, &opError{s.dir, "make the folder " + dir.name, err}
		}
		if err := atomicfile.SyncDir(s.root, filepath.Dir(dir.name)); err != nil {
			return nil, &opError{s.dir, "sync", err}
		}
	}
	return s.open(name)
}

// unlike refuses an app whose name differs from another one's by case alone: on
// some file systems they would be one folder.
func (s *Store) unlike(name string) error {
	apps, err := s.Apps()
	if err != nil {
		return err
	}
	for _, other := range apps {
		if other != name && strings.EqualFold(other, name) {
			return refuse(ErrRefused, "choose a name that differs by more than case",
				"the app %s differs from %s by case alone, which some file systems cannot tell apart", name, other)
		}
	}
	return nil
}

func (s *Store) open(name string) (*App, error) {
	root, err := s.root.OpenRoot(name)
	if err != nil {
		return nil, err
	}
	return &App{name: name, dir: filepath.Join(s.dir, name), root: root, o: s.o}, nil
}

// App is the releases of one app.
type App struct {
	name string
	dir  string
	root *os.Root
	o    Options
}

// Name is the app's name.
func (a *App) Name() string { return a.name }

// Close gives the app's folder back.
func (a *App) Close() error { return a.root.Close() }

// Listing is how an app looks at one moment.
type Listing struct {
	App      string    `json:"app"`
	Dir      string    `json:"dir"`
	Current  string    `json:"current"`          // version, "" if there is none
	Previous string    `json:"previous"`         // version that a rollback goes to, "" if there is none
	Target   string    `json:"target,omitempty"` // of a link that names no release of ours
	Releases []Release `json:"releases"`         // in the order in which they came
}

// Find is the release of that version, nil if there is none.
func (l *Listing) Find(version string) *Release {
	i := slices.IndexFunc(l.Releases, func(r Release) bool { return r.Version == version })
	if i < 0 {
		return nil
	}
	return &l.Releases[i]
}

// List tells what is there. It changes nothing and waits for nobody.
func (a *App) List() (Listing, error) {
	r, s, err := a.read()
	if err != nil {
		return Listing{}, err
	}
	r.settle(s, time.Now(), thisMoment())
	return a.listing(r, s), nil
}

func (a *App) listing(r *record, s seen) Listing {
	l := Listing{App: a.name, Dir: a.dir, Current: r.Current, Previous: r.previous(), Releases: slices.Clone(r.Releases)}
	if r.Current == "" {
		l.Target = s.target
	}
	slices.SortFunc(l.Releases, func(x, y Release) int { return cmp.Compare(x.Added, y.Added) })
	return l
}

// read reads the record and looks at the disk. A record that is damaged is made
// anew of what the disk tells.
func (a *App) read() (*record, seen, error) {
	r, err := readRecord(a.root)
	if err == nil && r == nil {
		r = newRecord()
	}
	var bad *damaged
	if err != nil && !errors.As(err, &bad) {
		return nil, seen{}, a.fault("read the state", err)
	}
	s, err := a.look()
	if err != nil {
		return nil, seen{}, err
	}
	if bad != nil {
		a.o.Log.Error("state.json is damaged; which releases were good is not known any more", "app", a.name, "err", bad)
		r = a.rebuild(s)
	}
	return r, s, nil
}

// look reads the link and the names of the folders.
func (a *App) look() (s seen, err error) {
	s.target, err = a.root.Readlink(linkName)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		if st, statErr := a.root.Lstat(linkName); statErr != nil || st.Mode()&fs.ModeSymlink != 0 {
			return s, a.fault("read the link", err)
		}
		s.target = "(not a link)" // which a switch will refuse to replace
	}
	entries, err := fs.ReadDir(a.root.FS(), releaseDir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return s, a.fault("list the releases", err)
	}
	for _, e := range entries {
		if e.IsDir() && checkVersion(e.Name()) == nil {
			s.whole = append(s.whole, e.Name())
		}
	}
	return s, nil
}

// edit changes the state of the app while nobody else does. The record that
// change gets is in line with the disk; it is written if change asks for that
// by returning no error, and whenever it had to be put right.
func (a *App) edit(ctx context.Context, change func(*record, seen) error) error {
	l, err := takeLock(ctx, a.root, lockFile, os.O_RDWR|os.O_CREATE, a.o.LockWait)
	if by, ok := filelock.HeldBy(err); ok {
		return refuse(ErrBusy, "wait until it has ended", "%s is being changed by %s", a.name, by)
	}
	if err != nil {
		return a.fault("lock", err)
	}
	defer l.release()
	r, s, err := a.read()
	if err != nil {
		return err
	}
	if r.rebuilt {
		if err := a.setAside(); err != nil {
			return err
		}
	}
	if r.settle(s, time.Now(), thisMoment()) || r.rebuilt {
		a.o.Log.Debug("put the state in line with the disk", "app", a.name)
		if err := a.save(r); err != nil {
			return err
		}
	}
	return change(r, s)
}

func (a *App) save(r *record) error { return a.fault("write the state", r.write(a.root)) }

// fault names the app in an error of the system.
func (a *App) fault(doing string, err error) error {
	if err == nil {
		return nil
	}
	return &opError{a.dir, doing, err}
}

// opError is what the system refused.
type opError struct {
	dir, doing string
	err        error
}

func (e *opError) Error() string { return e.dir + ": " + e.doing + ": " + e.err.Error() }

// Unwrap is the cause.
func (e *opError) Unwrap() error { return e.err }
