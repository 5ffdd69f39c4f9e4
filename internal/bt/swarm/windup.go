package swarm

// windUp takes what still comes in until nobody works for the torrent any more.
func (s *state) windUp() {
	idle := make(chan struct{})
	go func() {
		s.t.wg.Wait()
		close(idle)
	}()
	for {
		select {
		case e := <-s.t.events:
			s.last(e)
		case <-idle:
			if len(s.t.events) == 0 {
				s.publish()
				close(s.t.done)
				s.t.drop()
				return
			}
		}
	}
}

// last takes from an event what is true though the loop has ended: pieces and
// bytes that came last count.
func (s *state) last(e event) {
	switch e := e.(type) {
	case interface{ discard() }:
		e.discard()
	case closed:
		s.account(e.p)
	case wasted:
		e.apply(s)
	case batch:
		for _, e := range e.events {
			s.last(e)
		}
	case webOver:
		s.sums.webDown += e.out.used
		if e.out.complete {
			s.last(pieceOver{e.a.part, e.out.ok})
		}
	case pieceOver:
		if piece := e.part.piece; e.ok && !s.have.Has(int(piece)) {
			s.left--
			s.have.Set(int(piece))
			s.sums.doneBytes += s.o.Info.PieceData(piece)
		}
	}
}
