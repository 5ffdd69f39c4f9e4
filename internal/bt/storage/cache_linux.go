package storage

import (
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// readUncached is handle.readAt that leaves no page behind which was not there
// before. It is an errors.ErrUnsupported on kernels (before 6.14) and file
// systems that cannot.
func readUncached(fd int, p []byte, off int64) (int, error) {
	done := 0
	for done < len(p) {
		n, err := unix.Preadv2(fd, [][]byte{p[done:]}, off+int64(done), unix.RWF_DONTCACHE)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EINVAL):
			return done, errors.ErrUnsupported
		case err != nil:
			return done, err
		case n == 0:
			return done, io.EOF
		}
		done += n
	}
	return done, nil
}

// startWriteback begins to write the dirty pages of a range to disk.
func startWriteback(fd int, off, n int64) {
	// Advice: where it fails, the next step waits longer.
	_ = unix.SyncFileRange(fd, off, n, unix.SYNC_FILE_RANGE_WRITE)
}

// dropPages writes what is dirty in a range and takes the range out of the page
// cache, with the folios that stand out of it.
func dropPages(fd int, off, n int64) {
	const all = unix.SYNC_FILE_RANGE_WAIT_BEFORE | unix.SYNC_FILE_RANGE_WRITE | unix.SYNC_FILE_RANGE_WAIT_AFTER
	// Advice both: a failing disk shows when the data is synced.
	_ = unix.SyncFileRange(fd, off, n, all)
	from, to := off&^(foliosUpTo-1), (off+n+foliosUpTo-1)&^(foliosUpTo-1)
	_ = unix.Fadvise(fd, from, to-from, unix.FADV_DONTNEED)
}

// cached tells whether all of a range is in the page cache. false if unknown.
func cached(fd int, off, n int64) bool {
	var st unix.Cachestat_t
	r := unix.CachestatRange{Off: uint64(off), Len: uint64(n)}
	if err := unix.Cachestat(uint(fd), &r, &st, 0); err != nil {
		return false
	}
	page := uint64(os.Getpagesize())
	first, last := uint64(off)/page, uint64(off+n-1)/page
	return st.Cache >= last-first+1
}

// noReadAhead has the kernel bring in what is asked for and no more: what it
// adds to random pieces is as much as 8 MiB, and nobody's to drop.
func noReadAhead(fd int) {
	_ = unix.Fadvise(fd, 0, 0, unix.FADV_RANDOM) // advice
}

// willRead tells the kernel that a range will be read soon.
func willRead(fd int, off, n int64) {
	_ = unix.Fadvise(fd, off, n, unix.FADV_WILLNEED) // advice
}
