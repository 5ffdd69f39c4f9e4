package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"shoal"
	"shoal/internal/bt/metainfo/build"
	"shoal/internal/front/api"
	"shoal/internal/trust"
)

// together is how many hosts join at the same time.
const together = 32

// load is one run.
type load struct {
	options
	anchor trust.Anchor
	admin  *api.Client
	out    io.Writer
	hosts  []*host
	kept   *kept
	again  atomic.Int64  // calls that had to be made again
	turns  chan struct{} // to connect
}

func (l *load) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	l.turns = make(chan struct{}, together)
	begin, before := time.Now(), l.taken()
	if err := l.join(ctx); err != nil {
		return err
	}
	for _, h := range l.hosts {
		wg.Go(func() { l.watch(ctx, h) })
		defer h.client.Close()
	}
	if err := l.await(ctx, func(h *host) bool { return h.watching.Load() }); err != nil {
		return err
	}
	joined := l.taken()
	fmt.Fprintf(l.out, "%d hosts joined and watch after %v; %d calls had to be made again; the server took %.1f s of CPU for it\n",
		len(l.hosts), time.Since(begin).Round(time.Second/10), l.again.Load(), joined.cpu-before.cpu)
	if err := l.await(ctx, func(*host) bool { return l.told() }); err != nil {
		return err
	}
	calm, again := l.taken(), l.again.Load()
	if err := sleep(ctx, l.quiet); err != nil {
		return err
	}
	idle := l.taken()
	fmt.Fprintf(l.out, "memory of the server: %.0f MB, %.0f MB of it for the hosts, %.1f KB each\n", idle.memory/1e6, (idle.memory-before.memory)/1e6, (idle.memory-before.memory)/1e3/float64(len(l.hosts)))
	fmt.Fprintf(l.out, "while nothing happens: %.2f %% of a core\n", 100*(idle.cpu-calm.cpu)/l.quiet.Seconds())
	for i := range l.pushes {
		if err := l.push(ctx, fmt.Sprintf("%d.%d", time.Now().Unix(), i+1)); err != nil {
			return err
		}
	}
	err := l.stop(ctx)
	fmt.Fprintf(l.out, "%d calls had to be made again since they had joined\n", l.again.Load()-again)
	return err
}

// told tells whether the orders to measure may be given.
func (l *load) told() bool {
	if l.after == "" {
		return true
	}
	_, err := os.Stat(l.after)
	return err == nil
}

// join makes hosts of the fleet.
func (l *load) join(ctx context.Context) error {
	var err error
	if l.kept, err = openKept(l.keep); err != nil {
		return err
	}
	key, err := l.kept.key()
	if err != nil {
		return err
	}
	l.hosts = make([]*host, l.options.hosts)
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(together)
	for i := range l.hosts {
		g.Go(func() (err error) {
			l.hosts[i], err = l.newHost(ctx, fmt.Sprintf("load-%05d", i), key)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return l.kept.save()
}

// await waits until something holds of all hosts.
func (l *load) await(ctx context.Context, holds func(*host) bool) error {
	for slices.ContainsFunc(l.hosts, func(h *host) bool { return !holds(h) }) {
		if err := sleep(ctx, 10*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// push orders all hosts to stage and then to switch, and measures both: from the
// push, and from when the first host knew.
func (l *load) push(ctx context.Context, version string) error {
	r, err := l.wish(ctx, version)
	if err != nil {
		return err
	}
	before, begin := l.taken(), time.Now()
	for _, h := range l.hosts {
		h.wants(version)
	}
	p, err := l.admin.Push(ctx, r)
	if err != nil {
		return err
	}
	staged := func(h *host) int64 { return h.staged.Load() }
	if err := l.await(ctx, func(h *host) bool { return staged(h) != 0 }); err != nil {
		return err
	}
	l.tell(fmt.Sprintf("push of version %s: order to stage", version), begin, staged)
	if err := l.until(ctx, p.Rollout, "ready", "switching", "done"); err != nil {
		return err
	}
	fmt.Fprintf(l.out, "  all reports of it counted after %v\n", time.Since(begin).Round(time.Millisecond))
	live := func(h *host) int64 { return h.live.Load() }
	if err := l.await(ctx, func(h *host) bool { return live(h) != 0 }); err != nil {
		return err
	}
	l.tell("  order to switch", l.first(live), live)
	if err := l.until(ctx, p.Rollout, "done"); err != nil {
		return err
	}
	fmt.Fprintf(l.out, "  all reports of it counted, and done, after %v; %.1f s of CPU of the server\n", time.Since(begin).Round(time.Millisecond), l.taken().cpu-before.cpu)
	return nil
}

// until waits until a rollout is in one of some phases.
func (l *load) until(ctx context.Context, r shoal.Rollout, phases ...string) error {
	for {
		list, err := l.admin.Rollouts(ctx, shoal.RolloutQuery{App: r.App, Over: true})
		if err != nil {
			return err
		}
		if slices.ContainsFunc(list, func(p shoal.Progress) bool { return p.Rollout.ID == r.ID && slices.Contains(phases, p.Phase) }) {
			return nil
		}
		if err := sleep(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
}

// stop measures the brakes.
func (l *load) stop(ctx context.Context) error {
	before, begin := l.taken(), time.Now()
	if err := l.admin.Stop(ctx, "load"); err != nil {
		return err
	}
	stopped := func(h *host) int64 { return h.stopped.Load() }
	if err := l.await(ctx, func(h *host) bool { return stopped(h) != 0 }); err != nil {
		return err
	}
	l.tell("stop-all", begin, stopped)
	fmt.Fprintf(l.out, "  %.1f s of CPU of the server\n", l.taken().cpu-before.cpu)
	return l.admin.Start(ctx)
}

// first is when the first host knew.
func (l *load) first(at func(*host) int64) time.Time {
	return time.Unix(0, at(slices.MinFunc(l.hosts, func(a, b *host) int { return cmp.Compare(at(a), at(b)) })))
}

// tell prints when hosts knew, from the moment begin.
func (l *load) tell(what string, begin time.Time, at func(*host) int64) {
	var took []time.Duration
	for _, h := range l.hosts {
		took = append(took, time.Unix(0, at(h)).Sub(begin))
	}
	slices.Sort(took)
	pick := func(share float64) time.Duration {
		return took[int(share*float64(len(took)-1))].Round(time.Millisecond)
	}
	fmt.Fprintf(l.out, "%s: the first host knows after %v, half of them after %v, 99 %% after %v, all after %v\n", what, pick(0), pick(0.5), pick(0.99), pick(1))
}

// wish registers a release of a few bytes that nobody fetches.
func (l *load) wish(ctx context.Context, version string) (r shoal.Rollout, err error) {
	dir, err := os.MkdirTemp("", "fleetload-*")
	if err != nil {
		return r, err
	}
	defer os.RemoveAll(dir)
	if err := os.WriteFile(filepath.Join(dir, "version"), []byte(version), 0o644); err != nil {
		return r, err
	}
	meta, err := build.Build(ctx, dir, build.Options{Name: "load", Private: true})
	if err != nil {
		return r, err
	}
	if _, err := l.admin.Register(ctx, shoal.Upload{App: "load", Version: version, Metafile: meta.Encode(), Serial: uint64(time.Now().Unix())}); err != nil {
		return r, err
	}
	r = shoal.Rollout{App: "load", Version: version}
	if r.To, err = shoal.ParseSelector(shoal.All); err == nil {
		r.Waves, err = shoal.ParseWaves("100%", shoal.Wave{})
	}
	return r, err
}
