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

// inMemory tells whether fd lies in a file system that has no disk.
func inMemory(fd int) bool {
	var st unix.Statfs_t
	err := retry(func() error { return unix.Fstatfs(fd, &st) })
	return err == nil && (st.Type == unix.TMPFS_MAGIC || st.Type == unix.RAMFS_MAGIC)
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
