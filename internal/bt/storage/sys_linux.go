package storage

import (
	"encoding/hex"
	"errors"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// reserve allocates the n bytes at off, which may lie behind the end of the
// file. It is an errors.ErrUnsupported where the file system cannot.
func reserve(fd int, off, n int64) error {
	err := retry(func() error { return unix.Fallocate(fd, 0, off, n) })
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EINVAL) {
		return errors.ErrUnsupported
	}
	return err
}

// volume is what is known about the file system that holds fd.
func volume(fd int) (v volumeInfo, err error) {
	var st unix.Statfs_t
	if err := retry(func() error { return unix.Fstatfs(fd, &st) }); err != nil {
		return v, err
	}
	return volumeInfo{
		free:   int64(min(st.Bavail, 1<<62/uint64(max(st.Bsize, 1)))) * st.Bsize,
		memory: st.Type == unix.TMPFS_MAGIC || st.Type == unix.RAMFS_MAGIC,
	}, nil
}

// dataAt is the first offset >= off that is not in a hole; the file's end if
// only a hole follows; off itself where holes cannot be seen. It moves the file
// position, which nobody uses.
func dataAt(fd int, off, size int64) int64 {
	at, err := unix.Seek(fd, off, unix.SEEK_DATA)
	switch {
	case errors.Is(err, unix.ENXIO):
		return size
	case err != nil:
		return off
	}
	return at
}

// dataBytes is how many of the first size bytes are not in holes; of a file with
// very many of them a part is counted.
func dataBytes(fd int, size int64) (sum int64) {
	const most = 10_000
	off := int64(0)
	for range most {
		from := dataAt(fd, off, size)
		if from >= size {
			break
		}
		to, err := unix.Seek(fd, from, unix.SEEK_HOLE)
		if err != nil || to <= from {
			break
		}
		sum, off = sum+min(to, size)-from, to
	}
	return sum
}

// syncVolume makes everything that was written to the file system of fd durable.
func syncVolume(fd int) error {
	return retry(func() error { return unix.Syncfs(fd) })
}

// syncData makes the bytes of fd and its size durable, but not its times.
func syncData(fd int) error {
	return retry(func() error { return unix.Fdatasync(fd) })
}

// lock takes the file for this process until it is closed or the process ends.
func lock(fd int) error {
	err := retry(func() error { return unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB) })
	switch {
	case errors.Is(err, unix.EWOULDBLOCK):
		return ErrBusy
	case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.ENOLCK), errors.Is(err, unix.ENOSYS):
		return nil // a file system without locks: do without
	}
	return err
}

// unlock gives a lock back. Closing alone would leave it with a child that was
// forked meanwhile, until that one runs its program.
func unlock(fd int) { _ = retry(func() error { return unix.Flock(fd, unix.LOCK_UN) }) } // cannot fail on a lock that we hold

// mountID names the mount that fd lies in; no other has that number until the
// next boot (before Linux 6.8: while it exists). 0: unknown.
func mountID(fd int) uint64 {
	var st unix.Statx_t
	for _, mask := range []int{unix.STATX_MNT_ID_UNIQUE, unix.STATX_MNT_ID} {
		err := retry(func() error { return unix.Statx(fd, "", unix.AT_EMPTY_PATH, mask, &st) })
		if err == nil && st.Mask&uint32(mask) != 0 {
			return st.Mnt_id
		}
	}
	return 0
}

// bootID names the running kernel's boot. Zero: unknown.
func bootID() (id [16]byte) {
	text, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return id
	}
	b, err := hex.DecodeString(strings.ReplaceAll(strings.TrimSpace(string(text)), "-", ""))
	if err == nil {
		copy(id[:], b)
	}
	return id
}
