package swarm

import (
	"testing"
	"time"
)

// An offer that came to nothing is made again after all others, the oldest first.
func TestSourcePutBack(t *testing.T) {
	src, p := newSource(4, 1, 1), &peer{}
	var first []uint32
	for range 3 {
		piece, ok := src.next(p, time.Time{})
		if !ok {
			t.Fatal("no piece is left")
		}
		first = append(first, piece)
	}
	src.mark(first[1]) // seen elsewhere
	for _, piece := range first {
		src.putBack(piece)
	}
	var then []uint32
	for piece, ok := src.next(p, time.Time{}); ok; piece, ok = src.next(p, time.Time{}) {
		then = append(then, piece)
	}
	if len(then) != 3 || then[1] != first[0] || then[2] != first[2] {
		t.Errorf("offered %v, put back, then %v", first, then)
	}
	if src.left != 3 {
		t.Errorf("%d pieces are not out, want 3", src.left)
	}
}
