package peerconn

import (
	"sync"
	"sync/atomic"
)

// BulkSize is the size of the large buffers, in bytes. A quarter of a MiB is
// big enough that a system call costs nothing beside the copy, and small
// enough that the bytes are still in the L2 cache when they are hashed and
// written.
const BulkSize = 256 << 10

// Budget bounds the memory of all bulk buffers in the process. The zero
// value is not usable; see NewBudget.
type Budget struct {
	// Small is the size in bytes of the buffer that each connection has beside
	// those; 0: 32 KiB, which a stock block and its header fit into. Where tens of
	// thousands of connections live in one process it may be less.
	Small int

	limit  int64
	used   atomic.Int64
	pool   sync.Pool
	blocks sync.Pool // of stockBlock bytes each, for what is sent
}

// NewBudget returns a budget of limit bytes (at least one buffer).
func NewBudget(limit int64) *Budget {
	return &Budget{limit: max(limit, BulkSize), pool: buffersOf(BulkSize), blocks: buffersOf(stockBlock)}
}

func buffersOf(size int) sync.Pool {
	return sync.Pool{New: func() any {
		b := make([]byte, size)
		return &b
	}}
}

// TryGet returns a buffer of BulkSize bytes, or nil when the budget is spent:
// the caller then goes on with its small buffer, which slows the sender down
// through TCP's window instead of growing the process.
func (b *Budget) TryGet() *[]byte {
	if b.used.Add(BulkSize) > b.limit {
		b.used.Add(-BulkSize)
		return nil
	}
	return b.pool.Get().(*[]byte)
}

// Put gives a buffer back.
func (b *Budget) Put(buf *[]byte) {
	b.used.Add(-BulkSize)
	b.pool.Put(buf)
}

// Used returns the bytes that are out.
func (b *Budget) Used() int64 { return b.used.Load() }
