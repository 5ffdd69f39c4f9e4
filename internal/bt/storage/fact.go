package storage

import (
	"io/fs"

	"golang.org/x/sys/unix"

	"shoal/internal/bt/storage/record"
)

// fact is what a stat told about one entry. The zero fact: there is none.
type fact struct {
	there             bool
	kind              fs.FileMode // type and mode bits
	size, allocated   int64       // bytes
	device            uint64
	inode, links      uint64
	modified, changed int64  // ns since 1970
	text              string // of a symbolic link
}

// regular tells whether it is a file with content.
func (f fact) regular() bool { return f.there && f.kind.IsRegular() }

// record is what the resume record keeps of it.
func (f fact) record() record.File {
	if !f.regular() {
		return record.File{}
	}
	return record.File{Size: f.size, Modified: f.modified, Changed: f.changed, Inode: f.inode, Links: f.links}
}

// statFd looks at an open file.
func statFd(fd int) (fact, error) {
	var st unix.Stat_t
	if err := retry(func() error { return unix.Fstat(fd, &st) }); err != nil {
		return fact{}, err
	}
	return newFact(&st), nil
}

// statAt looks at an entry of an open folder without following a link.
func statAt(folder int, name string) (fact, error) {
	var st unix.Stat_t
	if err := retry(func() error { return unix.Fstatat(folder, name, &st, unix.AT_SYMLINK_NOFOLLOW) }); err != nil {
		return fact{}, err
	}
	return newFact(&st), nil
}

// newFact reads a stat. The widths of its fields differ between systems.
func newFact(st *unix.Stat_t) fact {
	return fact{
		there:     true,
		kind:      fileMode(uint32(st.Mode)&0o7777) | fileType(uint32(st.Mode)),
		size:      st.Size,
		allocated: st.Blocks * 512,
		device:    uint64(st.Dev),
		inode:     uint64(st.Ino),
		links:     uint64(st.Nlink),
		modified:  st.Mtim.Nano(),
		changed:   st.Ctim.Nano(),
	}
}

func fileType(mode uint32) fs.FileMode {
	switch mode & unix.S_IFMT {
	case unix.S_IFREG:
		return 0
	case unix.S_IFDIR:
		return fs.ModeDir
	case unix.S_IFLNK:
		return fs.ModeSymlink
	case unix.S_IFIFO:
		return fs.ModeNamedPipe
	case unix.S_IFSOCK:
		return fs.ModeSocket
	case unix.S_IFCHR:
		return fs.ModeDevice | fs.ModeCharDevice
	case unix.S_IFBLK:
		return fs.ModeDevice
	}
	return fs.ModeIrregular
}

// modeBits are what a mode of a torrent consists of.
const modeBits = fs.ModePerm | fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky

// fileMode turns unix permission bits (07777) into those of package fs.
func fileMode(bits uint32) fs.FileMode {
	m := fs.FileMode(bits & 0o777)
	if bits&0o4000 != 0 {
		m |= fs.ModeSetuid
	}
	if bits&0o2000 != 0 {
		m |= fs.ModeSetgid
	}
	if bits&0o1000 != 0 {
		m |= fs.ModeSticky
	}
	return m
}

// unixBits turns a mode of package fs into unix permission bits.
func unixBits(m fs.FileMode) uint32 {
	bits := uint32(m.Perm())
	if m&fs.ModeSetuid != 0 {
		bits |= 0o4000
	}
	if m&fs.ModeSetgid != 0 {
		bits |= 0o2000
	}
	if m&fs.ModeSticky != 0 {
		bits |= 0o1000
	}
	return bits
}
