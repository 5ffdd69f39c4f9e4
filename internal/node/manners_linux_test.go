package node

import (
	"context"
	"log/slog"
	"net"
	"runtime"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// TestMark: both ends of a connection send with the mark, over both families.
func TestMark(t *testing.T) {
	const le = 1
	for _, host := range []string{"127.0.0.1:0", "[::1]:0", ":0"} {
		l, err := listen(t.Context(), host, le, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Logf("%s: %v", host, err) // no IPv6 here
			continue
		}
		d := net.Dialer{Control: dialMark(le)}
		out, err := d.DialContext(context.Background(), "tcp", l.Addr().String())
		must(t, err)
		in, err := l.take(l.Listener)
		must(t, err)
		for name, c := range map[string]net.Conn{"dialled": out, "accepted": in} {
			if got := tosOf(t, c); got != le<<2 {
				t.Errorf("%s, %s: type of service %#x, want %#x", host, name, got, le<<2)
			}
			c.Close()
		}
		l.Close()
	}
}

func tosOf(t *testing.T, c net.Conn) (tos int) {
	t.Helper()
	raw, err := c.(syscall.Conn).SyscallConn()
	must(t, err)
	level, option := unix.IPPROTO_IP, unix.IP_TOS
	if c.RemoteAddr().(*net.TCPAddr).IP.To4() == nil {
		level, option = unix.IPPROTO_IPV6, unix.IPV6_TCLASS
	}
	must(t, raw.Control(func(fd uintptr) { tos, err = unix.GetsockoptInt(int(fd), level, option) }))
	must(t, err)
	return tos
}

// TestStepBack steps back with one thread, which ends with its goroutine.
func TestStepBack(t *testing.T) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlocks: the thread must not serve others
		tid := unix.Gettid()
		if err := stepBack(tid); err != nil {
			t.Error(err)
			return
		}
		attr, err := unix.SchedGetAttr(tid, 0)
		if err != nil || attr.Policy != unix.SCHED_IDLE {
			t.Errorf("policy %+v, %v", attr, err)
		}
		prio, _, errno := unix.Syscall(unix.SYS_IOPRIO_GET, ioprioWhoProcess, uintptr(tid), 0)
		if errno != 0 || prio != ioprioIdle {
			t.Errorf("I/O class %#x, %v", prio, errno)
		}
		if err := stepForward(tid); err == nil { // else this is no privileged user
			if attr, err = unix.SchedGetAttr(tid, 0); err != nil || attr.Policy != unix.SCHED_NORMAL {
				t.Errorf("policy after it: %+v, %v", attr, err)
			}
		}
	}()
	<-done
}
