package swarm

// located occurs when Options.Places has learned something that matters before
// the next look at it: peers are told where we are in the first message.
type located struct{}

func (located) apply(s *state) {
	s.locateAll()
	s.review() // ways may have become known
}

// Located tells the torrent that Options.Places knows more. It looks by itself
// once a second.
func (t *Torrent) Located() { t.post(located{}) }
