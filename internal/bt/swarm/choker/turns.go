package choker

import (
	"cmp"
	"slices"
	"time"
)

// Turn is what the choker knows of a shoal peer.
type Turn struct {
	Wants  bool      // it says that it would fetch now, and lacks something that we have
	Busy   bool      // it has an unused licence, or is being served
	Ending bool      // it is busy with the last piece of its licence
	Slow   bool      // it is busy, and takes so long that it must not cost the others their slots
	Has    int       // pieces that it has
	Last   time.Time // when it got its last licence; zero: never
	Way    uint64    // by which it is reached
}

// Turns tells who gets a licence to begin a few pieces: few peers at a time, so
// that each is served at full speed, for a piece that goes out k ways at once
// takes k times as long to be passed on; and for few pieces, so that what a
// peer asks for is chosen when it can be sent and not before. Who is busy with
// its last piece makes room for the next already: its request shall be here
// when the uplink is free.
//
// Of slots, no more than perWay are for those who are reached by one way. The
// results are indices of ts, those who were served least recently first;
// crowded tells that there are more who wait than slots for them.
func Turns(ts []Turn, slots, perWay, most int) (give []int, crowded bool) {
	var waiting []int
	quick, all := 0, 0
	ways := map[uint64]int{} // quick ones
	for i, t := range ts {
		if t.Busy {
			all++
			if !t.Slow && !t.Ending {
				quick++
				ways[t.Way]++
			}
		}
		if t.Wants && (!t.Busy || t.Ending) {
			waiting = append(waiting, i)
		}
	}
	slices.SortStableFunc(waiting, func(i, j int) int { return compareTurns(ts[i], ts[j]) })
	crowded = quick+len(waiting) > slots
	for _, i := range waiting {
		way := ts[i].Way
		if ways[way] >= perWay {
			crowded = true
		} else if quick < slots && all < most {
			give = append(give, i)
			quick, all = quick+1, all+1
			ways[way]++
		}
	}
	return give, crowded
}

// compareTurns puts first who is not served now, then who was served least
// recently.
func compareTurns(a, b Turn) int {
	if a.Ending != b.Ending {
		if b.Ending {
			return -1
		}
		return 1
	}
	return cmp.Or(a.Last.Compare(b.Last), cmp.Compare(a.Has, b.Has))
}
