package killpoint

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// execVar tells a process that it is to filter itself and become this program.
const execVar = "SHOAL_KILLPOINT_EXEC"

// socketFd is where the filtered process finds its end of the socket pair.
const socketFd = 3

// Step is one system call that changes the folder.
type Step struct {
	Call string // "renameat", "fsync", ...
	Path string // below the folder; "old -> new" for a rename
}

func (s Step) String() string { return s.Call + " " + s.Path }

// At kills at the k-th step.
func At(k int) func(int, Step) bool { return func(n int, _ Step) bool { return n == k } }

// Result is how a run ended.
type Result struct {
	Steps  []Step // in the order of their beginning; the last one was not done if Killed
	Killed bool
	Err    error // of cmd.Wait
}

// Run runs cmd and asks before each of its steps in dir (an absolute path without
// links), counted from 1, whether to kill it with SIGKILL instead; meanwhile the
// thread that is about to take the step stands still. The test binary that calls
// Run must call Enter at the very beginning of TestMain.
func Run(ctx context.Context, cmd *exec.Cmd, dir string, kill func(n int, s Step) bool) (Result, error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return Result{}, fmt.Errorf("socket pair: %w", err)
	}
	ours, theirs := os.NewFile(uintptr(pair[0]), "ours"), os.NewFile(uintptr(pair[1]), "theirs")
	defer ours.Close()
	self, err := os.Executable()
	if err != nil {
		return Result{}, errors.Join(err, theirs.Close())
	}
	if cmd.Env == nil {
		cmd.Env = os.Environ()
	}
	cmd.Env = append(cmd.Env, execVar+"="+cmd.Path)
	cmd.Path, cmd.ExtraFiles = self, []*os.File{theirs}
	err = cmd.Start()
	if closeErr := theirs.Close(); err != nil || closeErr != nil {
		return Result{}, errors.Join(err, closeErr)
	}
	stop := context.AfterFunc(ctx, func() { _ = cmd.Process.Kill() }) // it may have ended
	defer stop()
	listener, err := receive(int(ours.Fd()))
	if err != nil {
		_ = cmd.Process.Kill() // the first error is the one to tell
		return Result{}, errors.Join(fmt.Errorf("the process did not start: %w", err), cmd.Wait())
	}
	defer unix.Close(listener)
	w := &watch{listener: listener, dir: dir, kill: kill, cmd: cmd}
	var wg sync.WaitGroup
	wg.Go(w.loop)
	err = cmd.Wait()
	wg.Wait()
	return Result{w.steps, w.killed, err}, w.err
}

// Enter turns this process into the one that Run is to watch, if it was started
// by Run. Else it does nothing.
func Enter() {
	program := os.Getenv(execVar)
	if program == "" {
		return
	}
	if err := enter(program); err != nil {
		fmt.Fprintf(os.Stderr, "killpoint: %v\n", err)
		os.Exit(125)
	}
}

func enter(program string) error {
	runtime.LockOSThread() // the filter is this thread's, and exec keeps this thread
	if err := os.Unsetenv(execVar); err != nil {
		return err
	}
	listener, err := filter()
	if err != nil {
		return fmt.Errorf("seccomp: %w", err)
	}
	if err := unix.Sendmsg(socketFd, []byte{0}, unix.UnixRights(listener), nil, 0); err != nil {
		return fmt.Errorf("send the listener: %w", err)
	}
	unix.CloseOnExec(socketFd)
	return unix.Exec(program, os.Args, os.Environ())
}

// receive gets the listener from the process.
func receive(socket int) (int, error) {
	b, oob := make([]byte, 1), make([]byte, unix.CmsgSpace(4))
	n, m, _, _, err := unix.Recvmsg(socket, b, oob, unix.MSG_CMSG_CLOEXEC)
	if err != nil || n == 0 {
		return -1, errors.Join(err, errors.New("no listener came"))
	}
	messages, err := unix.ParseSocketControlMessage(oob[:m])
	if err != nil || len(messages) != 1 {
		return -1, errors.Join(err, errors.New("no listener came"))
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		return -1, errors.Join(err, errors.New("no listener came"))
	}
	return fds[0], nil
}

// notification is struct seccomp_notif.
type notification struct {
	id    uint64
	pid   uint32
	flags uint32
	call  struct {
		nr, arch uint32
		ip       uint64
		args     [6]uint64
	}
}

// answer is struct seccomp_notif_resp.
type answer struct {
	id    uint64
	val   int64
	errno int32
	flags uint32
}

// watch answers the process's questions.
type watch struct {
	listener int
	dir      string
	kill     func(int, Step) bool
	cmd      *exec.Cmd
	steps    []Step
	killed   bool
	err      error
}

const pollEvery = 100 * time.Millisecond

func (w *watch) loop() {
	defer func() { _ = w.cmd.Process.Kill() }() // or it would wait for an answer; mostly it has ended
	for !w.killed {
		ready := []unix.PollFd{{Fd: int32(w.listener), Events: unix.POLLIN}}
		_, err := unix.Poll(ready, int(pollEvery.Milliseconds()))
		if err != nil && !errors.Is(err, unix.EINTR) {
			w.err = fmt.Errorf("poll: %w", err)
			return
		}
		switch {
		case ready[0].Revents&unix.POLLIN != 0:
			w.one()
		case ready[0].Revents != 0: // nobody is under the filter any more
			return
		}
	}
}

// one lets one call happen, or kills the process instead.
func (w *watch) one() {
	var n notification
	if err := ioctl(w.listener, unix.SECCOMP_IOCTL_NOTIF_RECV, unsafe.Pointer(&n)); err != nil {
		return // the caller was killed meanwhile
	}
	if s, ok := w.step(&n); ok {
		w.steps = append(w.steps, s)
		if w.kill(len(w.steps), s) {
			w.killed = true
			w.err = w.cmd.Process.Kill()
			return
		}
	}
	a := answer{id: n.id, flags: unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE}
	_ = ioctl(w.listener, unix.SECCOMP_IOCTL_NOTIF_SEND, unsafe.Pointer(&a)) // fails if the caller is gone
}

func ioctl(fd int, request uint, arg unsafe.Pointer) error {
	for {
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), uintptr(request), uintptr(arg))
		if errno == unix.EINTR {
			continue
		}
		if errno != 0 {
			return errno
		}
		return nil
	}
}

// step tells whether a call changes the folder.
func (w *watch) step(n *notification) (Step, bool) {
	c := calls()[uintptr(n.call.nr)]
	if c.flags >= 0 && n.call.args[c.flags]&(unix.O_CREAT|unix.O_TRUNC) == 0 {
		return Step{}, false
	}
	var paths []string
	inside := false
	for _, p := range c.paths {
		path := n.path(p)
		rest, ok := strings.CutPrefix(path, w.dir+"/")
		if inside = inside || ok || path == w.dir; ok {
			path = rest
		}
		paths = append(paths, path)
	}
	return Step{c.name, strings.Join(paths, " -> ")}, inside
}

// path reads one path argument of the calling thread.
func (n *notification) path(p pathArg) string {
	proc := fmt.Sprintf("/proc/%d", n.pid)
	dir := ""
	switch fd := int32(n.call.args[max(p.fd, 0)]); {
	case p.fd < 0:
	case fd == unix.AT_FDCWD:
		dir, _ = os.Readlink(proc + "/cwd") // "" matches no folder
	default:
		dir, _ = os.Readlink(fmt.Sprintf("%s/fd/%d", proc, fd))
	}
	if p.name < 0 {
		return dir
	}
	name := readString(proc+"/mem", int64(n.call.args[p.name]))
	if filepath.IsAbs(name) {
		return filepath.Clean(name)
	}
	return filepath.Join(dir, name)
}

func readString(mem string, at int64) string {
	f, err := os.Open(mem)
	if err != nil {
		return ""
	}
	defer f.Close()
	b := make([]byte, unix.PathMax)
	n, _ := f.ReadAt(b, at) // may end at the end of a mapping
	s, _, _ := strings.Cut(string(b[:n]), "\x00")
	return s
}
