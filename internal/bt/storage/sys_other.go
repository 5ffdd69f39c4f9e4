//go:build unix && !linux

package storage

import (
	"errors"
	"io/fs"
	"math"
	"os"
	"syscall"
)

// The portable fallbacks: correct, but with neither preallocation nor advice to
// the page cache. bsd.go has what those systems offer on top.

func reserve(*os.File, int64, int64) error { return errors.ErrUnsupported }

func volume(f *os.File) (volumeInfo, error) {
	free, ok := freeSpace(f)
	if !ok {
		free = math.MaxInt64
	}
	return volumeInfo{free: free}, nil
}

func dataAt(_ *os.File, off, _ int64) int64 { return off }

func syncVolume(*os.File) error { return errors.ErrUnsupported }

func syncData(f *os.File) error { return f.Sync() }

// bootID is unknown here, so that only synced pieces are trusted after a crash.
func bootID() (id [16]byte) { return id }

func statFact(st fs.FileInfo) (f fact) {
	f.kind, f.size = st.Mode(), st.Size()
	f.modified, f.changed = st.ModTime().UnixNano(), st.ModTime().UnixNano()
	if s, ok := st.Sys().(*syscall.Stat_t); ok {
		f.device = uint64(s.Dev)
		f.allocated, f.inode, f.links = int64(s.Blocks)*512, uint64(s.Ino), uint64(s.Nlink)
		f.changed = changeTime(s)
	}
	return f
}

func readUncached(*os.File, []byte, int64) (int, error) { return 0, errors.ErrUnsupported }

func startWriteback(*os.File, int64, int64) {}

func dropPages(*os.File, int64, int64) {}

func cached(*os.File, int64, int64) bool { return false }

func willRead(*os.File, int64, int64) {}
