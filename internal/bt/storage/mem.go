package storage

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"sync"

	"shoal/internal/bt/bitfield"
	"shoal/internal/bt/metainfo"
)

// Mem is the memory twin of Disk: the same methods on pieces in memory, for
// tests and simulations. Pieces take memory when they are first written. It is
// safe for concurrent use.
type Mem struct {
	info   *metainfo.Info
	hashes *metainfo.Hashes
	space  int64 // bytes that may be stored

	mu     sync.RWMutex
	have   *bitfield.Set
	pieces map[metainfo.Piece][]byte
	used   int64
	freed  chan struct{} // closed when SetSpace makes room
	done   bool
}

// NewMem returns an empty Mem without a limit of space.
func NewMem(info *metainfo.Info, hashes *metainfo.Hashes) *Mem {
	return &Mem{
		info:   info,
		hashes: hashes,
		space:  math.MaxInt64,
		have:   bitfield.New(info.NumPieces()),
		pieces: map[metainfo.Piece][]byte{},
		freed:  make(chan struct{}),
	}
}

// SetSpace bounds the bytes that may be stored, as a full disk does.
func (m *Mem) SetSpace(bytes int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.space = bytes
	close(m.freed)
	m.freed = make(chan struct{})
}

// Preflight tells whether the content fits.
func (m *Mem) Preflight(context.Context) error {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if needed := m.info.Length() - m.used; needed > m.space-m.used {
		return &SpaceError{Dir: "memory", Needed: needed, Free: m.space - m.used}
	}
	return nil
}

// Allocate does nothing: memory is taken as pieces come.
func (m *Mem) Allocate(context.Context) error { return m.alive("allocate") }

func (m *Mem) alive(op string) error {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if m.done {
		return fault(op, "memory", os.ErrClosed)
	}
	return nil
}

// Check hashes what is stored.
func (m *Mem) Check(ctx context.Context, progress func(done, total int64)) (*bitfield.Set, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	checker := m.hashes.NewChecker()
	m.have = bitfield.New(m.info.NumPieces())
	total := int64(len(m.pieces))
	done := int64(0)
	for p, b := range m.pieces {
		if err := context.Cause(ctx); err != nil {
			return nil, err
		}
		checker.Reset(p)
		checker.WriteAt(b[:m.info.PieceData(p)], 0)
		if checker.OK() {
			m.have.Set(int(p))
		}
		if done++; progress != nil {
			progress(done*m.info.PieceLength, total*m.info.PieceLength)
		}
	}
	return m.have.Clone(), nil
}

// Partial is empty: memory does not outlive a process.
func (m *Mem) Partial() []Partial { return nil }

// span walks the parts of a range that lie in one piece each.
func (m *Mem) span(op string, p []byte, off int64, do func(piece metainfo.Piece, at int64, part []byte) error) (int, error) {
	n := int64(len(p))
	if off < 0 || off > m.info.Length()-n {
		return 0, fmt.Errorf("storage: %s of %d bytes at %d is outside of the %d bytes of the torrent", op, n, off, m.info.Length())
	}
	if m.done {
		return 0, fault(op, "memory", os.ErrClosed)
	}
	for done := int64(0); done < n; {
		piece := metainfo.Piece((off + done) / m.info.PieceLength)
		at := off + done - m.info.PieceOffset(piece)
		part := p[done:min(n, done+m.info.PieceSize(piece)-at)]
		if err := do(piece, at, part); err != nil {
			return int(done), err
		}
		done += int64(len(part))
	}
	return len(p), nil
}

// ReadAt is that of Disk.
func (m *Mem) ReadAt(p []byte, off int64) (int, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.span("read", p, off, func(piece metainfo.Piece, at int64, part []byte) error {
		b := m.pieces[piece]
		if b == nil {
			return fault("read", fmt.Sprintf("piece %d", piece), os.ErrNotExist)
		}
		copy(part, b[at:])
		return nil
	})
}

// WriteAt is that of Disk.
func (m *Mem) WriteAt(p []byte, off int64) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.span("write", p, off, func(piece metainfo.Piece, at int64, part []byte) error {
		b := m.pieces[piece]
		if b == nil {
			size := m.info.PieceSize(piece)
			if m.used+size > m.space {
				return fmt.Errorf("storage: write piece %d: %w", piece, ErrNoSpace)
			}
			m.used += size
			b = make([]byte, size)
			m.pieces[piece] = b
		}
		start := m.info.PieceOffset(piece) + at
		done := int64(0)
		for s := range m.info.Segments(start, int64(len(part))) {
			if s.File >= 0 { // padding stays zero
				copy(b[at+done:at+done+s.Length], part[done:])
			}
			done += s.Length
		}
		return nil
	})
}

// Extent is an errors.ErrUnsupported: there is no file. Use ReadAt.
func (m *Mem) Extent(off, n int64) (file *os.File, fileOff, length int64, release func(), err error) {
	return nil, 0, n, func() {}, errors.ErrUnsupported
}

// MarkHave notes that pieces were verified and written as a whole.
func (m *Mem) MarkHave(ps ...metainfo.Piece) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range ps {
		m.have.Set(int(p))
	}
}

// Forget notes that what was written of a piece is not right.
func (m *Mem) Forget(p metainfo.Piece) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.have.Clear(int(p))
}

// Have is a copy of the set of pieces that are there.
func (m *Mem) Have() *bitfield.Set {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.have.Clone()
}

// Release does nothing.
func (m *Mem) Release(metainfo.Piece) {}

// FreeSpace is how many bytes may still be stored.
func (m *Mem) FreeSpace() (int64, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.space - m.used, nil
}

// WaitSpace waits until SetSpace has made room.
func (m *Mem) WaitSpace(ctx context.Context) error {
	for {
		m.mu.RLock()
		room, freed := m.space-m.used >= m.info.PieceLength, m.freed
		m.mu.RUnlock()
		if room {
			return nil
		}
		select {
		case <-freed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// Finish tells whether all is there.
func (m *Mem) Finish(context.Context) error {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if !m.have.All() {
		return fmt.Errorf("storage: not complete: %d of %d pieces are missing", m.have.Len()-m.have.Count(), m.have.Len())
	}
	return nil
}

// Close refuses all further reading and writing. The content stays for Check of
// a test that goes on.
func (m *Mem) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.done = true
	return nil
}
