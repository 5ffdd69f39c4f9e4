package controller

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"

	"shoal"
	"shoal/internal/bt/metainfo"
	"shoal/internal/deploy/fleetstore"
	"shoal/internal/deploy/rollout"
)

const (
	maxPeers = 16  // of an upload
	maxPeer  = 300 // bytes of host:port
)

// Register takes a release in.
func (c *Controller) Register(ctx context.Context, u shoal.Upload) (shoal.Release, error) {
	if err := errors.Join(shoal.CheckApp(u.App), shoal.CheckVersion(u.Version)); err != nil {
		return shoal.Release{}, invalid(err)
	}
	if err := c.enter(ctx, shoal.ToRegister, u.App, ""); err != nil {
		return shoal.Release{}, err
	}
	record, err := c.examine(ctx, u)
	if err != nil {
		return shoal.Release{}, err
	}
	key := record.Name()
	was, _, known := c.releases.get(key)
	switch {
	case !known && len(c.releases.all()) >= maxReleases:
		return shoal.Release{}, fmt.Errorf("%w: the fleet has %d releases, and may not have more", shoal.ErrConflict, maxReleases)
	case known && was.InfoHash != record.InfoHash:
		return shoal.Release{}, taken(key, was)
	}
	if record.Metafile, err = c.store.PutBlob(ctx, u.Metafile); err != nil {
		return shoal.Release{}, err
	}
	if !known {
		e := shoal.AuditEntry{Do: "register", What: key, Text: fmt.Sprintf("content %s, serial %d", record.InfoHash, u.Serial)}
		if err := c.record(ctx, e); err != nil {
			return shoal.Release{}, err
		}
	}
	record, err = c.releases.edit(ctx, key, func(was releaseRecord, ok bool) (releaseRecord, error) {
		if !ok {
			return record, nil
		}
		if was.InfoHash != record.InfoHash {
			return was, taken(key, was)
		}
		// The same content again: a push that was repeated. It may come from
		// another place by now, and with a signature that was missing.
		was.Peers, was.Metafile = record.Peers, record.Metafile
		was.Pending = was.Pending && record.Pending
		if record.Serial >= was.Serial && len(record.Signature) > 0 {
			was.Serial, was.Signature = record.Serial, record.Signature
		}
		return was, nil
	})
	return record.Release, err
}

func taken(name string, was releaseRecord) error {
	return fmt.Errorf("%w: %s is taken by other content (%s, registered by %s): give the new one another version", shoal.ErrConflict, name, was.InfoHash, was.By)
}

func invalid(err error) error { return fmt.Errorf("%w: %w", shoal.ErrInvalid, err) }

// examine checks an upload.
func (c *Controller) examine(ctx context.Context, u shoal.Upload) (releaseRecord, error) {
	switch {
	case len(u.Metafile) > shoal.MaxMetafile:
		return releaseRecord{}, invalid(fmt.Errorf("the metafile has %d bytes, more than %d", len(u.Metafile), shoal.MaxMetafile))
	case len(u.Signature) > shoal.MaxSignature:
		return releaseRecord{}, invalid(fmt.Errorf("the signature has %d bytes, more than %d", len(u.Signature), shoal.MaxSignature))
	case len(u.Peers) > maxPeers:
		return releaseRecord{}, invalid(fmt.Errorf("%d peers, more than %d", len(u.Peers), maxPeers))
	}
	for _, p := range u.Peers {
		if err := checkPeer(p); err != nil {
			return releaseRecord{}, invalid(err)
		}
	}
	m, err := metainfo.Parse(u.Metafile)
	if err != nil {
		return releaseRecord{}, invalid(fmt.Errorf("the metafile: %w", err))
	}
	return releaseRecord{
		Release: shoal.Release{
			App: u.App, Version: u.Version, InfoHash: m.Info.Swarms()[0].String(), Bytes: m.Info.ContentLength(),
			Files: len(m.Info.Files), Serial: u.Serial, By: shoal.PrincipalOf(ctx).Name, Created: time.Now(),
			Pending: u.Pending,
		},
		Signature: u.Signature, Peers: u.Peers,
	}, nil
}

func checkPeer(s string) error {
	host, port, err := net.SplitHostPort(s)
	n, bad := strconv.ParseUint(port, 10, 16)
	if err != nil || bad != nil || host == "" || n == 0 || len(s) > maxPeer {
		return fmt.Errorf("peer %.80q: write it as host:port", s)
	}
	return nil
}

// Releases are those of an app, or all, the newest first.
func (c *Controller) Releases(ctx context.Context, app string) ([]shoal.Release, error) {
	if err := c.enter(ctx, shoal.ToLook, app, ""); err != nil {
		return nil, err
	}
	p := shoal.PrincipalOf(ctx)
	moving := c.bringing()
	var out []shoal.Release
	for _, r := range c.releases.all() {
		if (app == "" || r.App == app) && shoal.Allowed(p, shoal.ToLook, r.App, "") == nil {
			may, asked := moving[r.Name()]
			r.Pending = r.Pending || asked && !may
			out = append(out, r.Release)
		}
	}
	slices.SortStableFunc(out, func(a, b shoal.Release) int { return b.Created.Compare(a.Created) })
	return out, nil
}

// Bundle is a release as an agent needs it.
func (c *Controller) Bundle(ctx context.Context, app, version string) (shoal.Bundle, error) {
	if err := c.enter(ctx, shoal.ToServe, "", ""); err != nil {
		return shoal.Bundle{}, err
	}
	u, err := c.Upload(ctx, app, version)
	return shoal.Bundle{
		App: u.App, Version: u.Version, Metafile: u.Metafile, Serial: u.Serial, Signature: u.Signature, Trackers: slices.Clone(c.o.Trackers),
	}, err
}

// Upload is a release as it was registered, for the source of this server. It
// asks nobody's leave, and waits until the state has been read.
func (c *Controller) Upload(ctx context.Context, app, version string) (shoal.Upload, error) {
	select {
	case <-c.ready:
	case <-ctx.Done():
		return shoal.Upload{}, ctx.Err()
	}
	r, _, ok := c.releases.get(app + "@" + version)
	if !ok {
		return shoal.Upload{}, fmt.Errorf("release %.80s@%.80s: %w", app, version, shoal.ErrNotFound)
	}
	data, err := c.metafile.get(r.Metafile, func() ([]byte, error) { return c.store.Blob(ctx, r.Metafile) })
	if errors.Is(err, fleetstore.ErrNone) {
		err = fmt.Errorf("%w: its metafile is gone from the store: register it again: %w", shoal.ErrNotFound, err)
	}
	if err != nil {
		return shoal.Upload{}, fmt.Errorf("release %s: %w", r.Name(), err)
	}
	return shoal.Upload{App: app, Version: version, Metafile: data, Serial: r.Serial, Signature: r.Signature, Peers: slices.Clone(r.Peers)}, nil
}

// bringing are the releases that rollouts under way bring, and whether one of
// these may move bytes.
func (c *Controller) bringing() map[string]bool {
	out := map[string]bool{}
	for _, r := range c.rollouts.all() {
		if name := r.State.Rollout.Name(); !r.stands() {
			out[name] = out[name] || r.Told || r.State.Phase != rollout.Queued
		}
	}
	return out
}

// lift lets servers take copies of what a rollout brings, for good.
func (c *Controller) lift(ctx context.Context, name string) error {
	if r, _, ok := c.releases.get(name); !ok || !r.Pending {
		return nil
	}
	_, err := c.releases.edit(ctx, name, func(was releaseRecord, ok bool) (releaseRecord, error) {
		if !ok {
			return was, fmt.Errorf("release %s: %w", name, shoal.ErrNotFound)
		}
		was.Pending = false
		return was, nil
	})
	return err
}

// Wanted is what rollouts under way bring (app@version), the newest first. It,
// Changes and Stopped are for the source of this server, which asks often: they
// ask nobody's leave, and do not wait for the state to be read.
func (c *Controller) Wanted() (names []string) {
	for _, r := range slices.Backward(c.rollouts.all()) {
		if !r.stands() {
			names = append(names, r.State.Rollout.Name())
		}
	}
	return names
}

// Changes is a number that rises when Wanted or Releases may have changed.
func (c *Controller) Changes() uint64 { return c.rollouts.changes() + c.releases.changes() }

// Known is how many hosts the fleet has.
func (c *Controller) Known() int { return c.hosts.table.size() }

// Stopped tells whether all transfers of the fleet are.
func (c *Controller) Stopped() bool { return c.stopped() }

// metafiles remembers those that were asked for last: a whole fleet asks for
// the same one at once.
type metafiles struct {
	mu    sync.Mutex
	cache map[string][]byte
	size  int
}

const metafileCache = shoal.MaxMetafile // bytes in all

// get reads under the lock: whoever else wants the same one waits for it.
func (m *metafiles) get(name string, read func() ([]byte, error)) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if data, ok := m.cache[name]; ok {
		return data, nil
	}
	data, err := read()
	if err != nil {
		return nil, err
	}
	if m.size+len(data) > metafileCache || m.cache == nil {
		m.cache, m.size = map[string][]byte{}, 0
	}
	m.cache[name] = data
	m.size += len(data)
	return data, nil
}
