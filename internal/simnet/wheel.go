package simnet

import (
	"container/heap"
	"math/bits"
	"time"
)

// event is something that is due at a time since the network's start: a
// host's uplink has sent its segment, or a segment has come to its next line
// or to the end of its path.
type event struct {
	at   time.Duration
	host *Host
	seg  *segment
}

// wheel holds events by the tick they are due at, tick t being the first
// multiple of step that is not before them. The order inside a tick is the
// order of adding.
type wheel struct {
	step time.Duration
	tick int64 // being handled; earlier ones are empty
	ring [][]event
	used []uint64 // bit set: the ring's slot has events
	far  farEvents
	seq  uint64 // of events added to far
}

const wheelSlots = 1 << 12 // a multiple of 64

func newWheel(step time.Duration) *wheel {
	return &wheel{step: step, ring: make([][]event, wheelSlots), used: make([]uint64, wheelSlots/64)}
}

// tickOf is the tick at which something due at t is handled.
func (w *wheel) tickOf(t time.Duration) int64 { return int64((t + w.step - 1) / w.step) }

// add takes an event in. One that is due before the current tick joins it.
func (w *wheel) add(e event) {
	tick := max(w.tickOf(e.at), w.tick)
	if tick >= w.tick+wheelSlots {
		w.seq++
		heap.Push(&w.far, farEvent{e, tick, w.seq})
		return
	}
	slot := tick % wheelSlots
	w.ring[slot] = append(w.ring[slot], e)
	w.used[slot/64] |= 1 << (slot % 64)
}

// next returns the first tick that has events, if there is one.
func (w *wheel) next() (tick int64, ok bool) {
	first := w.tick % wheelSlots
	word, mask := first/64, ^uint64(0)<<(first%64)
	for i := range int64(len(w.used)) + 1 {
		at := (word + i) % int64(len(w.used))
		if used := w.used[at] & mask; used != 0 {
			slot := at*64 + int64(bits.TrailingZeros64(used))
			return w.tick + (slot-first+wheelSlots)%wheelSlots, true
		}
		mask = ^uint64(0)
	}
	if len(w.far) > 0 {
		return w.far[0].tick, true
	}
	return 0, false
}

// run handles all events up to and including tick; handle may add more.
func (w *wheel) run(tick int64, handle func(event)) {
	for {
		t, ok := w.next()
		if !ok || t > tick {
			w.advance(tick)
			return
		}
		w.advance(t)
		slot := t % wheelSlots
		for i := 0; i < len(w.ring[slot]); i++ {
			handle(w.ring[slot][i])
		}
		clear(w.ring[slot])
		w.ring[slot] = w.ring[slot][:0]
		w.used[slot/64] &^= 1 << (slot % 64)
	}
}

// advance makes tick the current one and takes in what is no longer far.
func (w *wheel) advance(tick int64) {
	w.tick = max(w.tick, tick)
	for len(w.far) > 0 && w.far[0].tick < w.tick+wheelSlots {
		w.add(heap.Pop(&w.far).(farEvent).event)
	}
}

// farEvent is an event that does not fit into the ring yet.
type farEvent struct {
	event
	tick int64
	seq  uint64 // keeps the order of adding inside a tick
}

type farEvents []farEvent

func (f farEvents) Len() int { return len(f) }
func (f farEvents) Less(i, j int) bool {
	if f[i].tick != f[j].tick {
		return f[i].tick < f[j].tick
	}
	return f[i].seq < f[j].seq
}
func (f farEvents) Swap(i, j int) { f[i], f[j] = f[j], f[i] }
func (f *farEvents) Push(x any)   { *f = append(*f, x.(farEvent)) }
func (f *farEvents) Pop() any {
	old := *f
	e := old[len(old)-1]
	*f = old[:len(old)-1]
	return e
}
