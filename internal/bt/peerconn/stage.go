package peerconn

import "runtime"

// stageDepth is how many buffers may wait between the two goroutines.
const stageDepth = 2

// stage hands full buffers to their sinks on a second core while the reader
// fills the next. It is only used while the socket has more to give than one
// core can hash and write: else it would cost wake-ups and win nothing.
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
	last     bool // of its block
	err      error
}

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
		k.err = k.sink.Write((*k.buf)[k.from:k.to])
		s.done <- k
	}
}

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
