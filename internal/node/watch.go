package node

import (
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"
)

// A watched folder is looked at when the kernel says that something changed,
// after a moment in which the writer finishes, and every so often anyway:
// notifications do not cross network file systems and can be dropped.
const (
	settleTime  = 200 * time.Millisecond
	rescanEvery = 10 * time.Second
)

// stamp tells one state of a file from another.
type stamp struct {
	size int64
	time time.Time
}

// scanMetafiles lists the metafiles in dir, not below it. Names that start
// with a dot are temporary files of whoever writes there.
func scanMetafiles(dir string) (map[string]stamp, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	found := map[string]stamp{}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") || !strings.HasSuffix(e.Name(), ".torrent") {
			continue
		}
		name := filepath.Join(dir, e.Name())
		info, err := os.Stat(name) // follows links: they are a fine way to publish
		if err != nil || !info.Mode().IsRegular() {
			continue // gone again, or not ours
		}
		found[name] = stamp{info.Size(), info.ModTime()}
	}
	return found, nil
}

// changes compares two scans: what to start serving and what to drop. A file
// that changed is in both.
func changes(before, after map[string]stamp) (added, removed []string) {
	for name, now := range after {
		if was, ok := before[name]; !ok || was != now {
			added = append(added, name)
		}
	}
	for name, was := range before {
		if now, ok := after[name]; !ok || was != now {
			removed = append(removed, name)
		}
	}
	return added, removed
}

// watchFolder calls change with every difference in the set of metafiles in
// dir, first with all that are there, until ctx ends. change is never called
// twice at a time.
func watchFolder(ctx context.Context, dir string, log *slog.Logger, change func(added, removed []string)) error {
	var events <-chan fsnotify.Event
	var errs <-chan error
	if w, err := fsnotify.NewWatcher(); err != nil {
		log.Warn("no file notifications; the folder is looked at every few seconds", "dir", dir, "err", err)
	} else {
		defer w.Close()
		if err := w.Add(dir); err != nil {
			return fmt.Errorf("watch %s: %w", dir, asPathError(err, dir))
		}
		events, errs = w.Events, w.Errors
	}
	known := map[string]stamp{}
	look := func() {
		found, err := scanMetafiles(dir)
		if err != nil {
			log.Error("cannot read the watched folder; what it held is still served", "dir", dir, "err", err)
			return
		}
		if added, removed := changes(known, found); len(added)+len(removed) > 0 {
			change(added, removed)
		}
		known = found
	}
	look()
	timer := time.NewTimer(rescanEvery)
	defer timer.Stop()
	soon := false
	for {
		select {
		case <-events:
		case <-errs: // an event was lost
		case <-timer.C:
			look()
			timer.Reset(rescanEvery)
			soon = false
			continue
		case <-ctx.Done():
			return nil
		}
		if !soon { // once: a writer that never rests must not put it off for ever
			timer.Reset(settleTime)
			soon = true
		}
	}
}

// asPathError names the folder in the bare errno that fsnotify gives.
func asPathError(err error, dir string) error {
	if _, statErr := os.Stat(dir); statErr != nil {
		return statErr
	}
	return &fs.PathError{Op: "watch", Path: dir, Err: err}
}
