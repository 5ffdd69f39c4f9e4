package simnet

import (
	"os"
	"sync"
	"time"
)

var errTimeout error = os.ErrDeadlineExceeded

// gate is where readers or writers of a flow wait, until they are woken or a
// deadline passes. All methods are called with the flow's mutex held.
//
// Deadlines are set with nearly every read and write and hardly ever reached,
// so moving one later is only a store: the timer finds out when it fires.
type gate struct {
	cond     sync.Cond
	waiters  int
	deadline time.Time // zero: none
	timer    *time.Timer
	fires    time.Time // when the timer does; zero: it does not run
}

func (g *gate) init(mu *sync.Mutex) { g.cond.L = mu }

func (g *gate) wait() {
	if !g.deadline.IsZero() && (g.fires.IsZero() || g.deadline.Before(g.fires)) {
		g.arm()
	}
	g.waiters++
	g.cond.Wait()
	g.waiters--
}

func (g *gate) arm() {
	g.fires = g.deadline
	d := time.Until(g.deadline)
	if g.timer == nil {
		g.timer = time.AfterFunc(d, g.fired)
	} else {
		g.timer.Reset(d)
	}
}

func (g *gate) fired() {
	g.cond.L.Lock()
	defer g.cond.L.Unlock()
	g.fires = time.Time{}
	g.wake() // who finds the deadline moved waits again, and arms the timer
}

func (g *gate) wake() {
	if g.waiters > 0 {
		g.cond.Broadcast()
	}
}

// stop wakes everyone for good.
func (g *gate) stop() {
	if g.timer != nil {
		g.timer.Stop()
	}
	g.wake()
}

func (g *gate) set(t time.Time) {
	g.deadline = t
	g.wake()
}

func (g *gate) expired() bool { return !g.deadline.IsZero() && !time.Now().Before(g.deadline) }
