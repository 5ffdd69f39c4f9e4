package node

import (
	"context"
	"sync"
)

// gate lets torrents take part, or not.
type gate struct {
	mu      sync.Mutex
	paused  bool
	changed chan struct{} // closed at the next change
}

func newGate() *gate { return &gate{changed: make(chan struct{})} }

// pause closes the gate, or opens it.
func (g *gate) pause(paused bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.paused == paused {
		return
	}
	g.paused = paused
	close(g.changed)
	g.changed = make(chan struct{})
}

func (g *gate) isPaused() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.paused
}

// until waits until the gate is paused or not; false when ctx ended first.
func (g *gate) until(ctx context.Context, paused bool) bool {
	for {
		g.mu.Lock()
		is, changed := g.paused, g.changed
		g.mu.Unlock()
		if is == paused {
			return true
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return false
		}
	}
}
