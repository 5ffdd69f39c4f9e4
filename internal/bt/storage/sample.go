package storage

import (
	"context"
	"math/rand/v2"

	"shoal/internal/bt/bitfield"
	"shoal/internal/bt/metainfo"
)

// Bounds of a sample: enough to notice that a folder holds another release, and
// over in a tenth of a second.
const (
	samplePieces = 16
	sampleBytes  = 32 << 20
)

// sample decides whether content may be served before all of it was hashed: all
// files must have their lengths, and a random few of the pieces in todo, always
// with the first and the last, must match. Whoever fetches verifies every piece
// anyway.
func (d *Disk) sample(ctx context.Context, seen *survey, todo *bitfield.Set) (bool, error) {
	for i := range d.info.Files {
		if f := seen.facts[i]; d.content(i) && (!f.regular() || f.size != d.length(i)) {
			return false, nil
		}
	}
	some := bitfield.New(todo.Len())
	for _, p := range pickSample(todo, d.info.PieceLength) {
		some.Set(p)
	}
	bad := 0
	h := hashing{d: d, pieces: some, result: func(_ metainfo.Piece, ok bool, _ error) {
		if !ok {
			bad++
		}
	}}
	err := h.run(ctx)
	return err == nil && bad == 0, err
}

// pickSample returns pieces of todo: the first, the last, and random ones.
func pickSample(todo *bitfield.Set, pieceLength int64) []int {
	var all []int
	for p := todo.Next(0); p >= 0; p = todo.Next(p + 1) {
		all = append(all, p)
	}
	n := int(max(2, min(samplePieces, sampleBytes/pieceLength)))
	if len(all) <= n {
		return all
	}
	some := []int{all[0], all[len(all)-1]}
	for _, i := range rand.Perm(len(all) - 2)[:n-2] {
		some = append(some, all[i+1])
	}
	return some
}
