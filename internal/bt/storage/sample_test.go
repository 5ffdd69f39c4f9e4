package storage

import (
	"testing"

	"shoal/internal/bt/bitfield"
)

func TestPickSample(t *testing.T) {
	tests := []struct {
		pieces      int
		pieceLength int64
		want        int
	}{
		{0, 1 << 20, 0}, {1, 1 << 20, 1}, {5, 1 << 20, 5},
		{1000, 1 << 20, 16}, {1000, 16 << 20, 2}, {1000, 64 << 10, 16},
	}
	for _, tt := range tests {
		todo := bitfield.New(tt.pieces)
		todo.SetAll()
		got := pickSample(todo, tt.pieceLength)
		seen := map[int]bool{}
		for _, p := range got {
			seen[p] = true
		}
		if len(got) != tt.want || len(seen) != tt.want {
			t.Errorf("pickSample(%d pieces of %d) = %v, want %d different ones", tt.pieces, tt.pieceLength, got, tt.want)
		}
		if tt.pieces > 0 && (!seen[0] || !seen[tt.pieces-1]) {
			t.Errorf("pickSample(%d) = %v lacks the first or the last", tt.pieces, got)
		}
	}
}
