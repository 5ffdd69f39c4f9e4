package rate

import (
	"context"
	"sync/atomic"
)

// Path is the chain of buckets that holds for one connection. It can be
// exchanged while bytes flow: where a peer is may become known late. Who waits
// already waits by the old chain. A nil Path is unlimited.
type Path struct {
	chain atomic.Pointer[Chain]
}

// NewPath returns a path along c.
func NewPath(c Chain) *Path {
	p := &Path{}
	p.Set(c)
	return p
}

// Set lets c hold from the next Wait on.
func (p *Path) Set(c Chain) { p.chain.Store(&c) }

func (p *Path) get() Chain {
	if p == nil {
		return nil
	}
	if c := p.chain.Load(); c != nil {
		return *c
	}
	return nil
}

// Wait is Chain's.
func (p *Path) Wait(ctx context.Context, n int) error { return p.get().Wait(ctx, n) }

// Limited is Chain's.
func (p *Path) Limited() bool { return p.get().Limited() }

// Rate is Chain's.
func (p *Path) Rate() int64 { return p.get().Rate() }

// Chunk is Chain's.
func (p *Path) Chunk(limit int) int { return p.get().Chunk(limit) }
