package fleet

import (
	"bytes"
	"crypto/sha1"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"sync"

	"shoal/internal/bt/bitfield"
	"shoal/internal/bt/metainfo"
)

// release is a v1 torrent of random bytes that all hosts share.
type release struct {
	info    *metainfo.Info
	hashes  *metainfo.Hashes
	content []byte
	fail    func(error)
}

func newRelease(pieces, pieceLength int, seed uint64) (*release, error) {
	content := make([]byte, pieces*pieceLength)
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	_, _ = rand.NewChaCha8(key).Read(content) // never fails
	var sums []byte
	for off := 0; off < len(content); off += pieceLength {
		sum := sha1.Sum(content[off : off+pieceLength])
		sums = append(sums, sum[:]...)
	}
	raw := fmt.Appendf(nil, "d6:lengthi%de4:name1:x12:piece lengthi%de6:pieces%d:%se", len(content), pieceLength, len(sums), sums)
	info, err := metainfo.ParseInfo(raw)
	if err != nil {
		return nil, err
	}
	hashes, err := metainfo.NewHashes(info, nil)
	if err != nil {
		return nil, err
	}
	return &release{info: info, hashes: hashes, content: content}, nil
}

// store is a host's disk: it knows which pieces it holds, and takes their
// bytes from the release.
type store struct {
	release *release
	mu      sync.Mutex
	have    *bitfield.Set
	wrong   []bool // by byte: what is written there is not the release; nil: nowhere
}

func newStore(r *release, full bool) *store {
	s := &store{release: r, have: bitfield.New(r.info.NumPieces())}
	if full {
		s.have.SetAll()
	}
	return s
}

var errContent = errors.New("what a host has verified is not the release")

// ReadAt implements swarm.Store.
func (s *store) ReadAt(p []byte, off int64) (int, error) {
	return copy(p, s.release.content[off:]), nil
}

// WriteAt implements swarm.Store. Junk may be written, for what is written is
// not verified yet.
func (s *store) WriteAt(p []byte, off int64) (int, error) {
	wrong := !bytes.Equal(p, s.release.content[off:off+int64(len(p))])
	s.mu.Lock()
	defer s.mu.Unlock()
	if wrong && s.wrong == nil {
		s.wrong = make([]bool, len(s.release.content))
	}
	if s.wrong != nil {
		for i := range p {
			s.wrong[int(off)+i] = p[i] != s.release.content[int(off)+i]
		}
	}
	return len(p), nil
}

// Extent implements swarm.Store; connections of a simulated network do not
// ask for it.
func (s *store) Extent(_, n int64) (*os.File, int64, int64, func(), error) {
	return nil, 0, n, nil, errors.ErrUnsupported
}

// MarkHave implements swarm.Store.
func (s *store) MarkHave(ps ...metainfo.Piece) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range ps {
		s.have.Set(int(p))
		if n := int(s.release.info.PieceLength); s.wrong != nil && slices.Contains(s.wrong[int(p)*n:(int(p)+1)*n], true) {
			s.release.fail(errContent)
		}
	}
}

// verified is what the host holds, as it would find it after a restart.
func (s *store) verified() *bitfield.Set {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.have.Clone()
}

func (s *store) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.have.Count()
}

// bytes is how much of the content it holds.
func (s *store) bytes() int64 { return int64(s.count()) * s.release.info.PieceLength }
