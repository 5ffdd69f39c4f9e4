package swarm

import (
	"os"

	"shoal/internal/bt/metainfo"
)

// askable is how many bytes of a piece a peer may ask for. In a v2-only
// torrent clients disagree on whether the last piece is padded to its full
// length; libtorrent asks for whole blocks there, and gets zeros.
func (o *Options) askable(p metainfo.Piece) int64 {
	if !o.Info.HasV1() {
		return o.Info.PieceLength
	}
	return o.Info.PieceSize(p)
}

// padded is a Store with zeros behind its end.
type padded struct {
	Store
	length int64 // of the store
}

// ReadAt implements peerconn.Source.
func (s padded) ReadAt(p []byte, off int64) (int, error) {
	n := int(max(0, min(int64(len(p)), s.length-off)))
	clear(p[n:])
	if n == 0 {
		return len(p), nil
	}
	if done, err := s.Store.ReadAt(p[:n], off); err != nil {
		return done, err
	}
	return len(p), nil
}

// Extent implements peerconn.Source.
func (s padded) Extent(off, n int64) (f *os.File, fileOff, length int64, release func(), err error) {
	if off >= s.length {
		return nil, 0, n, func() {}, nil
	}
	return s.Store.Extent(off, min(n, s.length-off))
}
