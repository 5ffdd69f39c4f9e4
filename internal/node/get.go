package node

import (
	"context"
	"errors"
	"net/netip"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"shoal/internal/bt/metainfo"
	"shoal/internal/bt/peertls"
)

// GetOptions say what to fetch, and what to do then.
type GetOptions struct {
	Options
	Source     string // file, http(s) URL or magnet link
	Content    ContentOptions
	Seed       bool   // go on serving
	OnComplete string // command for sh; "": none
}

// Get fetches one release.
type Get struct {
	GetOptions
	share atomic.Pointer[share]
}

// NewGet only keeps the options: whatever is wrong with them, Run tells.
func NewGet(o GetOptions) *Get { return &Get{GetOptions: o} }

// Status may be asked at any time, from any goroutine.
func (g *Get) Status() Status {
	if s := g.share.Load(); s != nil {
		return s.status()
	}
	return Status{State: "metadata", Peers: -1}
}

// Run returns nil once every wanted byte is verified and on disk or, with
// Seed, when ctx ends after that.
func (g *Get) Run(ctx context.Context) error {
	d, err := Load(ctx, g.Source, g.Content.AllowOutsideLinks)
	if err != nil {
		return err
	}
	p, err := open(ctx, g.Options)
	if err != nil {
		return err
	}
	return p.with(ctx, func(ctx context.Context) error {
		meta, content := d.Meta, g.Content
		if meta == nil {
			content.Peers = append(content.Peers[:len(content.Peers):len(content.Peers)], d.Magnet.Peers...)
			if len(content.Peers)+len(d.Magnet.Trackers) == 0 {
				return errors.New("the magnet link names no tracker and no peer to ask: give one with --peer HOST:PORT")
			}
			var met []netip.AddrPort
			meta, met, err = p.fetchMetadata(ctx, d.Magnet, content)
			if err != nil {
				return err
			}
			for _, a := range met {
				content.Peers = append(content.Peers, a.String())
			}
		}
		for _, w := range meta.Warnings {
			p.Log.Warn("odd metafile", "warning", w)
		}
		if len(content.Peers)+len(meta.Announce)+len(meta.WebSeeds) == 0 {
			p.Log.Warn("no tracker, no web seed and no --peer: waits until somebody connects", "name", meta.Info.Name, "listen", p.in.addrPort())
		}
		return g.fetch(ctx, p, meta, content)
	})
}

func (g *Get) fetch(ctx context.Context, p *process, meta *metainfo.Metafile, content ContentOptions) error {
	s := p.newShare(meta, content)
	s.stay, s.command = g.Seed, g.OnComplete
	g.share.Store(s)
	return s.run(ctx)
}

// with runs work while the listening socket is served, and returns when both
// have ended.
func (p *process) with(ctx context.Context, work func(context.Context) error) error {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	accepting, stop := context.WithCancel(ctx)
	defer stop()
	var g errgroup.Group
	g.Go(func() error { return p.in.accept(accepting) })
	g.Go(func() error {
		p.limits.run(accepting, p.account, p.Log)
		return nil
	})
	if guard, ok := p.Secure.(*peertls.Guard); ok {
		g.Go(func() error {
			recheck(accepting, guard)
			return nil
		})
	}
	g.Go(func() error {
		fitProcessors(accepting)
		return nil
	})
	if p.Yield {
		g.Go(func() error {
			p.govern(accepting)
			return nil
		})
	}
	g.Go(func() error {
		err := p.control(accepting, end)
		if err != nil {
			end(err) // it was asked for by name: going on without it is no answer
		}
		return err
	})
	err := work(ctx)
	stop()
	if acceptErr := g.Wait(); err == nil {
		err = acceptErr
	}
	return err
}
