//go:build linux

package interop_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	deadline = 60 * time.Second // the longest that one swarm may take; a loaded machine runs eight at once
	poll     = 20 * time.Millisecond
)

// process is one running program with a log of its own, in a process group of its own.
type process struct {
	name string
	log  string
	cmd  *exec.Cmd
	done chan struct{} // closed when the process has been waited for
}

// start runs a program until the test ends. home becomes its working directory and $HOME, so that no configuration of
// the machine leaks in. Its log is shown if the test fails.
func start(t *testing.T, name, home string, args ...string) *process {
	t.Helper()
	return startAttr(t, name, home, &syscall.SysProcAttr{}, args...)
}

func startAttr(t *testing.T, name, home string, attr *syscall.SysProcAttr, args ...string) *process {
	t.Helper()
	noteSources()
	log, err := os.Create(filepath.Join(t.TempDir(), name+".log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = home, log, log
	cmd.Env = append(os.Environ(), "HOME="+home, "LC_ALL=C", "TERM=xterm")
	cmd.SysProcAttr = attr
	cmd.SysProcAttr.Setpgid = true
	if err := cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", name, err)
	}
	p := &process{name: name, log: log.Name(), cmd: cmd, done: make(chan struct{})}
	go func() { defer close(p.done); _ = cmd.Wait() }() // how it ended is read from ProcessState
	t.Cleanup(func() {
		p.stop()
		if t.Failed() || os.Getenv("SHOAL_INTEROP_LOGS") != "" {
			t.Logf("--- %s: %s\n%s", name, strings.Join(args, " "), p.tail(8<<10))
		}
	})
	return p
}

// stop ends the group politely, then firmly.
func (p *process) stop() {
	for _, step := range []struct {
		sig  syscall.Signal
		wait time.Duration
	}{{syscall.SIGTERM, 5 * time.Second}, {syscall.SIGKILL, 10 * time.Second}} {
		_ = syscall.Kill(-p.cmd.Process.Pid, step.sig) // ESRCH: it has already ended
		if p.ended(step.wait) {
			_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) // what it left behind
			return
		}
	}
}

// kill is a crash: SIGKILL, at once.
func (p *process) kill() {
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	<-p.done
}

func (p *process) ended(within time.Duration) bool {
	select {
	case <-p.done:
		return true
	case <-time.After(within):
		return false
	}
}

// exit waits for the process to end by itself and gives its exit code; -1 for a signal.
func (p *process) exit(t *testing.T, within time.Duration) int {
	t.Helper()
	waitForWithin(t, within, p.name+" ends", func() bool { return p.ended(0) })
	return p.cmd.ProcessState.ExitCode()
}

func (p *process) running() bool { return !p.ended(0) }

func (p *process) output() string {
	b, err := os.ReadFile(p.log)
	if err != nil {
		return fmt.Sprint("(no log: ", err, ")")
	}
	return string(b)
}

func (p *process) tail(n int) string {
	out := p.output()
	return out[max(0, len(out)-n):]
}

// waitFor polls until ok, and fails the test when the deadline passes or a process that must live has died.
func waitFor(t *testing.T, what string, ok func() bool, alive ...*process) {
	t.Helper()
	waitForWithin(t, deadline, what, ok, alive...)
}

// waitForWithin counts polls instead of reading a clock, so that time in which the machine is too busy to let the test
// run, or stops it altogether, does not count.
func waitForWithin(t *testing.T, within time.Duration, what string, ok func() bool, alive ...*process) {
	t.Helper()
	for polls := within / poll; ; polls-- {
		if ok() {
			return
		}
		for _, p := range alive {
			if !p.running() && !ok() {
				t.Fatalf("%s ended (%v) before: %s", p.name, p.cmd.ProcessState, what)
			}
		}
		if polls <= 0 {
			t.Fatalf("not within %v: %s", within, what)
		}
		time.Sleep(poll)
	}
}

// run is a command that must succeed; it gives standard output.
func run(t *testing.T, args ...string) []byte {
	t.Helper()
	out, stderr, code := try(t, args...)
	if code != 0 {
		t.Fatalf("%s: exit code %d\n%s%s", strings.Join(args, " "), code, out, stderr)
	}
	return out
}

// try is a command that may fail: its output and its exit code.
func try(t *testing.T, args ...string) (stdout, stderr []byte, code int) {
	t.Helper()
	noteSources()
	cmd := exec.CommandContext(t.Context(), args[0], args[1:]...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatalf("%s: %v", args[0], err)
	}
	return out.Bytes(), errs.Bytes(), cmd.ProcessState.ExitCode()
}

// need skips the test when a program is not installed, or fails it where nothing may be skipped.
func need(t *testing.T, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if p == pythonLibtorrent {
			if !hasLibtorrent() {
				missing(t, "python3-libtorrent is not installed")
			}
			continue
		}
		if _, err := exec.LookPath(p); err != nil {
			if p == newer(filepath.Base(p)) {
				missing(t, p+" is not there (.ci/newer-clients fetches it)")
			}
			missing(t, p+" is not installed")
		}
	}
}

func missing(t *testing.T, what string) {
	t.Helper()
	if required() {
		t.Fatalf("%s, and %s=1 forbids to skip", what, requireEnv)
	}
	t.Skip(what)
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func writeFile(t *testing.T, path, text string, mode os.FileMode) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	return path
}
