package peerstore

import (
	"bytes"
	"hash/maphash"
)

// index finds slots of a table by a hash: open addressing with linear probing over slot numbers. It holds no
// keys and no pointers, so a million peers cost eight bytes each and the garbage collector looks at none. The
// hash is seeded at random, so that nobody can choose addresses or ids that collide.
type index struct {
	cells []uint32 // slot+1; 0: free. Length is a power of two
	n     int
}

// hasher gives the hash of what stands in a slot.
type hasher func(slot int) uint64

func (x *index) mask() uint64 { return uint64(len(x.cells) - 1) }

// find returns the first slot on the chain of h that is equal by same; -1 when there is none.
func (x *index) find(h uint64, same func(slot int) bool) int {
	if x.n == 0 {
		return -1
	}
	for i := h & x.mask(); x.cells[i] != 0; i = (i + 1) & x.mask() {
		if slot := int(x.cells[i] - 1); same(slot) {
			return slot
		}
	}
	return -1
}

// add puts in a slot that is not there yet.
func (x *index) add(slot int, hash hasher) {
	if (x.n+1)*4 > len(x.cells)*3 {
		x.resize(max(8, len(x.cells)*2), hash)
	}
	x.place(slot, hash(slot))
	x.n++
}

func (x *index) place(slot int, h uint64) {
	i := h & x.mask()
	for x.cells[i] != 0 {
		i = (i + 1) & x.mask()
	}
	x.cells[i] = uint32(slot + 1)
}

func (x *index) resize(size int, hash hasher) {
	old := x.cells
	x.cells = make([]uint32, size)
	for _, c := range old {
		if c != 0 {
			x.place(int(c-1), hash(int(c-1)))
		}
	}
}

// shrink gives memory back after many peers left.
func (x *index) shrink(hash hasher) {
	if x.n == 0 {
		x.cells = nil
		return
	}
	size := 8
	for x.n*2 > size {
		size *= 2
	}
	if size*4 <= len(x.cells) {
		x.resize(size, hash)
	}
}

// cell is where a slot that is in the index stands.
func (x *index) cell(slot int, h uint64) uint64 {
	i := h & x.mask()
	for x.cells[i] != uint32(slot+1) {
		i = (i + 1) & x.mask()
	}
	return i
}

// remove takes out a slot that is in the index, and closes the gap in its chain: whatever stands behind it and
// would not be found any more moves forward.
func (x *index) remove(slot int, hash hasher) {
	gap := x.cell(slot, hash(slot))
	for i := (gap + 1) & x.mask(); x.cells[i] != 0; i = (i + 1) & x.mask() {
		home := hash(int(x.cells[i]-1)) & x.mask()
		if (i-home)&x.mask() >= (i-gap)&x.mask() {
			x.cells[gap], gap = x.cells[i], i
		}
	}
	x.cells[gap] = 0
	x.n--
}

// hashEnd and hashID are the hashers of the two indexes; sameEnd and sameID compare.
func (t *table) hashEnd(slot int) uint64 { return maphash.Bytes(t.seed, t.end(slot)) }
func (t *table) hashID(slot int) uint64  { return maphash.Bytes(t.seed, t.meta[slot].id[:]) }

// byEnd finds the slot of an endpoint in compact form, -1 when there is none.
func (t *table) findEnd(end []byte) int {
	return t.byEnd.find(maphash.Bytes(t.seed, end), func(s int) bool { return bytes.Equal(t.end(s), end) })
}

// findID finds the slot that owns a peer id, -1 when there is none.
func (t *table) findID(id *[20]byte) int {
	return t.byID.find(maphash.Bytes(t.seed, id[:]), func(s int) bool { return t.meta[s].id == *id })
}
