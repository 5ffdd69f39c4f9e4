package peerconn

import "runtime"

// stageDepth is how many buffers may wait between the two goroutines.
const stageDepth = 2

// stage hands full buffers to their sinks on a second core while the reader
// fills the next. When it falls behind, the reader hashes the next piece itself.
// It is only used while the socket has more to give than one core can hash and
// write: else it would cost wake-ups and win nothing.
//
// All of it belongs to the reader but the loop in work.
type stage struct {
	todo   chan stroke
	done   chan stroke
	ended  chan struct{}
	out    int   // strokes that are not settled
	failed error // the first error of a sink
}

// stroke is one buffer on its way to its sink.
type stroke struct {
	sink     Sink
	buf      *[]byte
	from, to int
	last     bool         // of its block
	write    func() error // nil: its sink has not taken it yet
	err      error
}

func (k *stroke) bytes() []byte { return (*k.buf)[k.from:k.to] }

// start begins the second goroutine, unless there is only one core.
func (s *stage) start() bool {
	if s.todo != nil {
		return true
	}
	if runtime.GOMAXPROCS(0) < 2 {
		return false
	}
	s.todo = make(chan stroke, stageDepth)
	s.done = make(chan stroke, stageDepth+2) // never full: at most that many are out
	s.ended = make(chan struct{})
	go s.work()
	return true
}

func (s *stage) work() {
	defer close(s.ended)
	for k := range s.todo {
		if k.write == nil {
			k.write = k.sink.Take(k.bytes())
		}
		k.err = k.write()
		s.done <- k
	}
}

// busy tells whether the second goroutine has more to do than it can.
func (s *stage) busy() bool { return s.todo != nil && len(s.todo) == cap(s.todo) }

// hand gives a buffer away.
func (s *stage) hand(k stroke) {
	s.todo <- k
	s.out++
}

// settle tells sinks whose blocks are through so, puts buffers back, and
// returns the first error. With wait it waits for one stroke at least.
func (s *stage) settle(b *Budget, wait bool) error {
	for s.out > 0 {
		var k stroke
		if wait {
			k = <-s.done
			wait = false
		} else {
			select {
			case k = <-s.done:
			default:
				return s.failed
			}
		}
		s.out--
		b.Put(k.buf)
		if s.failed == nil {
			s.failed = k.err
		}
		switch {
		case !k.last:
		case s.failed != nil:
			k.sink.Abort()
		default:
			s.failed = k.sink.Done()
		}
	}
	return s.failed
}

// drain settles everything.
func (s *stage) drain(b *Budget) error {
	for s.out > 0 {
		_ = s.settle(b, true) // returned below
	}
	return s.failed
}

// stop ends the second goroutine after what it was given.
func (s *stage) stop(b *Budget) {
	if s.todo == nil {
		return
	}
	_ = s.drain(b) // the reader has ended for a reason already
	close(s.todo)
	<-s.ended
}

// discard swallows blocks that nobody asked for (any more).
type discard struct{}

func (discard) Take([]byte) func() error { return func() error { return nil } }
func (discard) Done() error              { return nil }
func (discard) Abort()                   {}
