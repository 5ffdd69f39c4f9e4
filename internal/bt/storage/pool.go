package storage

import (
	"io"
	"sync"
)

// pool keeps at most limit opened things, each under a key, and closes those
// that were used longest ago and by nobody now. An entry is opened once even if
// many ask for it at the same time, and never under the lock.
type pool[V io.Closer] struct {
	limit int

	mu     sync.Mutex
	slots  map[int32]*slot[V]
	newest slot[V] // head of the ring of all slots in order of use
	closed bool
}

// slot is one entry of a pool. Its value is valid while the slot is held.
type slot[V io.Closer] struct {
	val  V
	pool *pool[V]

	key        int32
	refs       int
	gone       bool          // no longer in the map: closed by the last holder
	err        error         // why opening failed
	ready      chan struct{} // closed when val or err is set
	prev, next *slot[V]
}

func newPool[V io.Closer](limit int) *pool[V] {
	p := &pool[V]{limit: limit, slots: make(map[int32]*slot[V])}
	p.newest.prev, p.newest.next = &p.newest, &p.newest
	return p
}

// get returns the entry of key and opens it with open if it is not there.
// Whoever gets a slot must release it.
func (p *pool[V]) get(key int32, open func() (V, error)) (*slot[V], error) {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil, errClosed
	}
	if s := p.slots[key]; s != nil {
		s.refs++
		s.unlink()
		p.link(s)
		p.mu.Unlock()
		<-s.ready
		if s.err != nil {
			err := s.err
			s.release()
			return nil, err
		}
		return s, nil
	}
	s := &slot[V]{pool: p, key: key, refs: 1, ready: make(chan struct{})}
	p.slots[key] = s
	p.link(s)
	old := p.spare()
	p.mu.Unlock()
	if old != nil {
		_ = old.val.Close() // written data is not lost by a failing close; Finish syncs
	}
	s.val, s.err = open()
	close(s.ready)
	if s.err != nil {
		err := s.err
		p.forget(s)
		s.release()
		return nil, err
	}
	return s, nil
}

// spare takes out the least recently used idle slot if there are too many.
// The caller holds mu and closes it.
func (p *pool[V]) spare() *slot[V] {
	if len(p.slots) <= p.limit {
		return nil
	}
	for s := p.newest.prev; s != &p.newest; s = s.prev {
		if s.refs == 0 {
			p.remove(s)
			return s
		}
	}
	return nil // all in use; the number of callers bounds the excess
}

// forget takes a slot out, so that the next get opens anew. Its holders keep it.
func (p *pool[V]) forget(s *slot[V]) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !s.gone {
		p.remove(s)
	}
}

// drop forgets the entry of key, and closes it once nobody holds it.
func (p *pool[V]) drop(key int32) {
	p.mu.Lock()
	s := p.slots[key]
	if s != nil {
		s.refs++
		p.remove(s)
	}
	p.mu.Unlock()
	if s != nil {
		<-s.ready
		s.release()
	}
}

// remove takes s from the map and the ring. The caller holds mu.
func (p *pool[V]) remove(s *slot[V]) {
	delete(p.slots, s.key)
	s.unlink()
	s.gone = true
}

func (p *pool[V]) link(s *slot[V]) {
	s.prev, s.next = &p.newest, p.newest.next
	s.prev.next, s.next.prev = s, s
}

func (s *slot[V]) unlink() {
	s.prev.next, s.next.prev = s.next, s.prev
}

// release gives a slot back.
func (s *slot[V]) release() {
	p := s.pool
	p.mu.Lock()
	s.refs--
	if s.refs == 0 && !s.gone && len(p.slots) > p.limit {
		p.remove(s) // more were in use at a time than may stay
	}
	last := s.refs == 0 && s.gone && s.err == nil
	p.mu.Unlock()
	if last {
		_ = s.val.Close() // see get
	}
}

// close closes what is idle now and the rest when it is released.
func (p *pool[V]) close() {
	p.mu.Lock()
	p.closed = true
	keys := make([]int32, 0, len(p.slots))
	for key := range p.slots {
		keys = append(keys, key)
	}
	p.mu.Unlock()
	for _, key := range keys {
		p.drop(key)
	}
}
