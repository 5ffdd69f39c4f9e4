//go:build linux

package interop_test

import (
	"encoding/binary"
	"flag"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

const (
	insideEnv  = "SHOAL_INTEROP_INSIDE"  // set in the copy of the test binary that runs inside the namespaces
	binaryEnv  = "SHOAL_INTEROP_BINARY"  // where that copy finds the shoal binary
	requireEnv = "SHOAL_REQUIRE_INTEROP" // "1": a missing client or namespace is a failure, not a skip

	parallel = 8 // most of a case's time is a stock client waiting for its own timers
)

// shoalBinary is the binary under test, built once by TestMain.
var shoalBinary string

// TestMain runs the tests in namespaces of their own: network (every process gets an address of 10.77.0.0/16 on a
// private loopback, because some stock clients refuse peers on 127.0.0.0/8), mounts (a small tmpfs is a full disk)
// and process ids (when the tests end, however they end, every process that they started ends with them).
func TestMain(m *testing.M) {
	flag.Parse()
	if os.Getenv(insideEnv) == "" {
		os.Exit(outside())
	}
	shoalBinary = os.Getenv(binaryEnv)
	if err := arrangeInside(); err != nil {
		fmt.Fprintln(os.Stderr, "interop: arrange the namespaces:", err)
		os.Exit(1)
	}
	if parallelUnset() {
		if err := flag.Set("test.parallel", strconv.Itoa(parallel)); err != nil {
			fmt.Fprintln(os.Stderr, "interop:", err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

func parallelUnset() bool {
	unset := true
	flag.Visit(func(f *flag.Flag) { unset = unset && f.Name != "test.parallel" })
	return unset
}

// outside builds the binary and runs this very test binary again, inside.
func outside() int {
	dir, err := os.MkdirTemp("", "shoal-interop-")
	if err != nil {
		fmt.Fprintln(os.Stderr, "interop:", err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary, err := buildShoal(dir)
	if err != nil {
		fmt.Fprintln(os.Stderr, "interop:", err)
		return 1
	}
	cmd := exec.Command(os.Args[0], os.Args[1:]...)
	cmd.Env = append(os.Environ(), insideEnv+"=1", binaryEnv+"="+binary, "TMPDIR="+dir)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNET | unix.CLONE_NEWNS | unix.CLONE_NEWPID,
		Pdeathsig:  syscall.SIGKILL,
	}
	if os.Geteuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= unix.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}}
	}
	runtime.LockOSThread() // Pdeathsig is the death of the thread that forked
	if err := cmd.Start(); err != nil {
		return noLab(err)
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT)
	go func() { <-stop; _ = cmd.Process.Kill() }() // with it goes all it started; then the folder can be removed
	if err := cmd.Wait(); err != nil {
		if code := cmd.ProcessState.ExitCode(); code > 0 {
			return code
		}
		return 1
	}
	return 0
}

// buildShoal takes the binary that SHOAL names, or builds one from this checkout.
func buildShoal(dir string) (string, error) {
	if given := os.Getenv("SHOAL"); given != "" {
		return filepath.Abs(given)
	}
	binary := filepath.Join(dir, "shoal")
	cmd := exec.Command("go", "build", "-o", binary, "shoal/cmd/shoal")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build shoal: %w\n%s", err, out)
	}
	return binary, nil
}

// noLab ends the run when there can be no namespaces: a clear skip, or a failure where nothing may be skipped.
func noLab(err error) int {
	fmt.Fprintf(os.Stderr, "interop: SKIP: no namespaces here (%v); run as root, or allow unprivileged user namespaces\n", err)
	if required() {
		return 1
	}
	return 0
}

func required() bool { return os.Getenv(requireEnv) == "1" }

// arrangeInside makes the new namespaces usable: a private mount tree with its own /proc, and a loopback that owns
// the whole of 10.77.0.0/16.
func arrangeInside() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := setAddress(fd, "lo", netip.MustParseAddr("127.0.0.1"), 8); err != nil {
		return err
	}
	return setAddress(fd, "lo:lab", netip.MustParseAddr("10.77.0.1"), 16)
}

// setAddress gives a loopback alias an address and its prefix, and brings it up. On a loopback interface the kernel
// takes the whole prefix as local.
func setAddress(fd int, name string, addr netip.Addr, prefix int) error {
	mask := make([]byte, 4)
	binary.BigEndian.PutUint32(mask, ^uint32(0)<<(32-prefix))
	for _, step := range []struct {
		what  string
		ioctl uint
		fill  func(*unix.Ifreq) error
	}{
		{"address", unix.SIOCSIFADDR, func(r *unix.Ifreq) error { return r.SetInet4Addr(addr.AsSlice()) }},
		{"netmask", unix.SIOCSIFNETMASK, func(r *unix.Ifreq) error { return r.SetInet4Addr(mask) }},
		{"up", unix.SIOCSIFFLAGS, func(r *unix.Ifreq) error { r.SetUint16(unix.IFF_UP | unix.IFF_RUNNING); return nil }},
	} {
		req, err := unix.NewIfreq(name)
		if err != nil {
			return err
		}
		if err := step.fill(req); err != nil {
			return fmt.Errorf("%s %s: %w", name, step.what, err)
		}
		if err := unix.IoctlIfreq(fd, step.ioctl, req); err != nil {
			return fmt.Errorf("%s %s: %w", name, step.what, err)
		}
	}
	return nil
}

// noteSources looks at every source file of the binary, so that `go test` takes them for inputs of these tests and
// does not answer from its cache when only they have changed.
var noteSources = sync.OnceFunc(func() {
	_ = filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err == nil && filepath.Ext(path) == ".go" {
			_, err = os.Stat(path)
		}
		return err // a folder that vanishes meanwhile is no reason to fail
	})
})

var lastHost atomic.Uint32

// newAddr is an address of the lab that no other process has; so every one can use the default ports.
func newAddr() string {
	n := lastHost.Add(1) + 1
	return fmt.Sprintf("10.77.%d.%d", n/250, 1+n%250)
}
