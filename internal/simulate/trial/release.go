package trial

import (
	"bytes"
	"crypto/sha1"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"

	"shoal/internal/bt/bitfield"
	"shoal/internal/bt/metainfo"
)

// release is a v1 torrent of random bytes that all hosts share.
type release struct {
	info    *metainfo.Info
	hashes  *metainfo.Hashes
	content []byte
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
	return &release{info, hashes, content}, err
}

// store is a host's disk: it knows which pieces it holds, and takes their bytes
// from the release. It is a swarm.Store.
type store struct {
	release *release
	mu      sync.Mutex
	have    *bitfield.Set
	n       int // in have
}

func newStore(r *release) *store {
	return &store{release: r, have: bitfield.New(r.info.NumPieces())}
}

var errContent = errors.New("what was written is not the release")

func (s *store) ReadAt(p []byte, off int64) (int, error) {
	return copy(p, s.release.content[off:]), nil
}

func (s *store) WriteAt(p []byte, off int64) (int, error) {
	if !bytes.Equal(p, s.release.content[off:off+int64(len(p))]) {
		return 0, errContent
	}
	return len(p), nil
}

// Extent is not asked for by connections of a simulated network.
func (s *store) Extent(_, n int64) (*os.File, int64, int64, func(), error) {
	return nil, 0, n, nil, errors.ErrUnsupported
}

func (s *store) MarkHave(p metainfo.Piece) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.have.Has(int(p)) {
		s.have.Set(int(p))
		s.n++
	}
}

func (s *store) verified() *bitfield.Set {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.n = s.have.Count()
	return s.have.Clone()
}

func (s *store) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.n
}

func (s *store) complete() bool { return s.count() == s.have.Len() }
