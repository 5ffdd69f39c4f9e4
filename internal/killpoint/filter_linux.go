package killpoint

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// call is a system call that may change a folder: where its arguments are.
type call struct {
	name  string
	paths []pathArg
	flags int // argument with open flags, of which only some change anything; -1: none
}

// pathArg is the indexes of a descriptor and of a name relative to it; -1: none.
type pathArg struct{ fd, name int }

// calls is every system call that changes files, folders or what of them is
// durable. Go and the C library use no others on Linux today.
func calls() map[uintptr]call {
	at, fd := []pathArg{{0, 1}}, []pathArg{{0, -1}}
	two := []pathArg{{0, 1}, {2, 3}}
	return map[uintptr]call{
		unix.SYS_OPENAT:          {"openat", at, 2},
		unix.SYS_MKDIRAT:         {"mkdirat", at, -1},
		unix.SYS_UNLINKAT:        {"unlinkat", at, -1},
		unix.SYS_RENAMEAT:        {"renameat", two, -1},
		unix.SYS_RENAMEAT2:       {"renameat", two, -1},
		unix.SYS_LINKAT:          {"linkat", two, -1},
		unix.SYS_SYMLINKAT:       {"symlinkat", []pathArg{{1, 2}}, -1},
		unix.SYS_FCHMODAT:        {"fchmodat", at, -1},
		unix.SYS_FCHMODAT2:       {"fchmodat", at, -1},
		unix.SYS_FCHOWNAT:        {"fchownat", at, -1},
		unix.SYS_UTIMENSAT:       {"utimensat", at, -1},
		unix.SYS_TRUNCATE:        {"truncate", []pathArg{{-1, 0}}, -1},
		unix.SYS_FCHMOD:          {"fchmod", fd, -1},
		unix.SYS_FCHOWN:          {"fchown", fd, -1},
		unix.SYS_FTRUNCATE:       {"ftruncate", fd, -1},
		unix.SYS_FALLOCATE:       {"fallocate", fd, -1},
		unix.SYS_WRITE:           {"write", fd, -1},
		unix.SYS_WRITEV:          {"writev", fd, -1},
		unix.SYS_PWRITE64:        {"pwrite", fd, -1},
		unix.SYS_PWRITEV:         {"pwritev", fd, -1},
		unix.SYS_PWRITEV2:        {"pwritev", fd, -1},
		unix.SYS_COPY_FILE_RANGE: {"copy_file_range", []pathArg{{2, -1}}, -1},
		unix.SYS_SENDFILE:        {"sendfile", fd, -1},
		unix.SYS_SPLICE:          {"splice", []pathArg{{2, -1}}, -1},
		unix.SYS_FSYNC:           {"fsync", fd, -1},
		unix.SYS_FDATASYNC:       {"fdatasync", fd, -1},
		unix.SYS_SYNCFS:          {"syncfs", fd, -1},
	}
}

// filter puts this thread under a filter that asks about every such call, and
// returns where the questions arrive.
func filter() (listener int, err error) {
	const (
		load   = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
		equal  = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
		result = unix.BPF_RET | unix.BPF_K
	)
	program := []unix.SockFilter{{Code: load, K: 0}} // seccomp_data.nr
	for nr := range calls() {
		program = append(program,
			unix.SockFilter{Code: equal, Jf: 1, K: uint32(nr)},
			unix.SockFilter{Code: result, K: unix.SECCOMP_RET_USER_NOTIF})
	}
	program = append(program, unix.SockFilter{Code: result, K: unix.SECCOMP_RET_ALLOW})
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return -1, err
	}
	prog := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	fd, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER,
		unix.SECCOMP_FILTER_FLAG_NEW_LISTENER, uintptr(unsafe.Pointer(&prog)))
	if errno != 0 {
		return -1, errno
	}
	return int(fd), nil
}
