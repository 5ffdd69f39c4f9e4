package node

import (
	"context"
	"sync"
)

// gate lets torrents take part, or not.
type gate struct {
	above   *gate // paused whenever that one is; nil: none
	mu      sync.Mutex
	paused  bool
	changed chan struct{} // closed at the next change
}

func newGate(above *gate) *gate { return &gate{above: above, changed: make(chan struct{})} }

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
	is, _ := g.look()
	return is
}

// look tells whether it is paused, and what is closed when it itself changes.
func (g *gate) look() (is bool, changed <-chan struct{}) {
	g.mu.Lock()
	is, changed = g.paused, g.changed
	g.mu.Unlock()
	return is || g.above != nil && g.above.isPaused(), changed
}

// until waits until the gate is paused or not; false when ctx ended first.
func (g *gate) until(ctx context.Context, paused bool) bool {
	for {
		var above, top <-chan struct{} // nil, which never comes, where there is none
		if g.above != nil {
			_, above = g.above.look()
			if g.above.above != nil {
				_, top = g.above.above.look()
			}
		}
		is, changed := g.look() // last, so that no change is missed
		if is == paused {
			return true
		}
		select {
		case <-changed:
		case <-above:
		case <-top:
		case <-ctx.Done():
			return false
		}
	}
}
