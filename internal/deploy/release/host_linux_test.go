package release_test

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"shoal/internal/bt/storage"
	"shoal/internal/deploy/release"
)

// TestFullDisk fills the disk to its last byte: staging ends with a clear error
// and goes on once there is room, and a rollback works all the time.
func TestFullDisk(t *testing.T) {
	h := host{t.TempDir(), newDepot(t, "1", "2", "3")}
	if err := syscall.Mount("none", h.dir, "tmpfs", 0, "size=2m,mode=755"); err != nil {
		t.Skipf("a tiny file system needs root: %v", err)
	}
	t.Cleanup(func() { must(t, syscall.Unmount(h.dir, 0)) })
	a, err := h.open()
	must(t, err)
	defer a.Close()
	for _, v := range []string{"1", "2"} {
		must(t, h.stage(t.Context(), a, v))
		activate(t, a, v)
	}
	hog := filepath.Join(h.dir, "hog")
	fill(t, hog)
	if err := h.stage(t.Context(), a, "3"); !errors.Is(err, storage.ErrNoSpace) && !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("staging on a full disk: %v", err)
	}
	expectCurrent(t, h, "2")
	if _, err := a.Rollback(t.Context()); err != nil {
		t.Errorf("rollback on a full disk: %v", err)
	}
	expectCurrent(t, h, "1")
	expectStart(t, a, "1:good* 2:failed")
	must(t, os.Remove(hog))
	must(t, h.stage(t.Context(), a, "3"))
	activate(t, a, "3")
	expectCurrent(t, h, "3")
}

// fill takes all space that is left, to the last byte.
func fill(t *testing.T, name string) {
	t.Helper()
	f, err := os.Create(name)
	must(t, err)
	for size := 1 << 16; size > 0; size /= 2 {
		for err = nil; err == nil; {
			_, err = f.Write(make([]byte, size))
		}
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	must(t, f.Close())
}

func expectCurrent(t *testing.T, h host, want string) {
	t.Helper()
	if got := h.check(t); got != want {
		t.Errorf("current is %q, want %q", got, want)
	}
}

func expectStart(t *testing.T, a *release.App, want string) {
	t.Helper()
	l, err := a.List()
	must(t, err)
	if !strings.HasPrefix(states(l), want) {
		t.Errorf("%s, want %s", states(l), want)
	}
}

const (
	holdVar  = "SHOAL_RELEASE_TEST_HOLD"
	otherVar = "SHOAL_RELEASE_TEST_OTHER"
)

// TestRoleHold holds a lock until its stdin ends.
func TestRoleHold(t *testing.T) {
	name := os.Getenv(holdVar)
	if name == "" {
		t.Skip("this is a process of TestTwoProcesses")
	}
	f, err := os.Open(name)
	must(t, err, syscall.Flock(int(f.Fd()), syscall.LOCK_EX))
	fmt.Println("\nheld")
	_, _ = bufio.NewReader(os.Stdin).ReadByte() // it ends by being closed
}

// hold starts a process that holds a lock, and returns what ends it.
func hold(t *testing.T, name string) (pid int, end func()) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestRoleHold$", "-test.count=1")
	cmd.Env = append(os.Environ(), holdVar+"="+name)
	in, err := cmd.StdinPipe()
	must(t, err)
	out, err := cmd.StdoutPipe()
	must(t, err, cmd.Start())
	lines := bufio.NewScanner(out)
	for lines.Scan() && lines.Text() != "held" {
	}
	return cmd.Process.Pid, func() {
		must(t, in.Close())
		for lines.Scan() {
		}
		must(t, cmd.Wait())
	}
}

func TestTwoProcesses(t *testing.T) {
	h := newHost(t, newDepot(t, "1", "2"))
	s, err := release.Open(h.dir, release.Options{LockWait: 1})
	must(t, err)
	defer s.Close()
	a, err := s.NewApp("web")
	must(t, err)
	defer a.Close()
	must(t, h.stage(t.Context(), a, "1"))

	pid, end := hold(t, filepath.Join(h.dir, "web/.shoal/lock"))
	_, err = a.Activate(t.Context(), "1", release.Good, false)
	if !errors.Is(err, release.ErrBusy) || !strings.Contains(err.Error(), fmt.Sprintf("process %d", pid)) {
		t.Errorf("switched while %d held the lock: %v", pid, err)
	}
	expect(t, a, "1:staged", "") // looking needs no lock
	end()
	activate(t, a, "1")

	// A release that somebody stages is theirs; everything else goes on.
	staging := filepath.Join(h.dir, "web/releases/.2.staging")
	must(t, os.Mkdir(staging, 0o755))
	pid, end = hold(t, staging)
	if err := h.stage(t.Context(), a, "2"); !errors.Is(err, release.ErrBusy) || !strings.Contains(err.Error(), fmt.Sprintf("process %d", pid)) {
		t.Errorf("staged what %d stages: %v", pid, err)
	}
	must(t, h.stageAs(t.Context(), a, "2", "2b"))
	activate(t, a, "2b")
	_, err = a.Rollback(t.Context())
	must(t, err)
	end()
	must(t, h.stage(t.Context(), a, "2"))

	// What somebody works on is not removed.
	pid, end = hold(t, filepath.Join(h.dir, "web/releases/2b"))
	swept, err := a.GC(t.Context(), release.Policy{Keep: 1}, false)
	if err != nil || len(swept.Removed) != 0 || len(swept.Busy) != 1 {
		t.Errorf("swept %+v, %v", swept, err)
	}
	if _, err := a.Remove(t.Context(), "2b"); !errors.Is(err, release.ErrBusy) || !strings.Contains(err.Error(), fmt.Sprintf("process %d", pid)) {
		t.Errorf("removed what %d holds: %v", pid, err)
	}
	end()
	_, err = a.Remove(t.Context(), "2b")
	must(t, err)
	h.check(t)
}

// TestRoleOther is a user who is not root.
func TestRoleOther(t *testing.T) {
	dir := os.Getenv(otherVar)
	if dir == "" {
		t.Skip("this is a process of TestPermission")
	}
	h := host{dir, depot{os.Getenv(depotVar)}}
	_, err := h.open()
	fmt.Printf("\nopen: %v, permission %v\n", err, errors.Is(err, fs.ErrPermission))
	mine := host{filepath.Join(dir, "mine"), h.depot}
	a, err := mine.open()
	must(t, err)
	defer a.Close()
	for _, v := range []string{"1", "2"} { // with a folder of mode 0555 in it
		must(t, mine.stage(t.Context(), a, v))
		activate(t, a, v)
	}
	_, err = a.Rollback(t.Context())
	must(t, err)
	_, err = a.Remove(t.Context(), "2")
	must(t, err)
	expectCurrent(t, mine, "1")
	if left := mine.hiddenNames(t); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

// TestPermission runs as a user who may write to no more than a part of the
// root.
func TestPermission(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root to become another user")
	}
	const nobody = 65534
	d := newDepot(t, "1", "2")
	h := newHost(t, d)
	mine := filepath.Join(h.dir, "mine")
	must(t, os.Mkdir(mine, 0o755), os.Chown(mine, nobody, nobody))
	for dir := h.dir; dir != "/"; dir = filepath.Dir(dir) {
		must(t, os.Chmod(dir, 0o755|fileModeOf(t, dir)))
	}
	for dir := d.dir; dir != "/"; dir = filepath.Dir(dir) {
		must(t, os.Chmod(dir, 0o755|fileModeOf(t, dir)))
	}
	self := filepath.Join(h.dir, "self") // where nobody may run it
	bin, err := os.ReadFile(os.Args[0])
	must(t, err, os.WriteFile(self, bin, 0o755))
	cmd := exec.Command(self, "-test.run=^TestRoleOther$", "-test.count=1", "-test.v")
	cmd.Dir = mine
	cmd.Env = append(os.Environ(), otherVar+"="+h.dir, depotVar+"="+d.dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "permission true") || !strings.Contains(string(out), "--- PASS: TestRoleOther") {
		t.Errorf("%v\n%s", err, out)
	}
}

func fileModeOf(t *testing.T, name string) fs.FileMode {
	t.Helper()
	st, err := os.Stat(name)
	must(t, err)
	return st.Mode()
}
