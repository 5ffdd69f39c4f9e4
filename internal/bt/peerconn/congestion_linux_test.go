package peerconn

import (
	"errors"
	"net"
	"testing"

	"golang.org/x/sys/unix"
)

// below reaches a connection's socket, and skips the test where the system does
// not let us choose its congestion control.
func below(t *testing.T, set string) *socket {
	t.Helper()
	a, b := tcpPair(t)
	t.Cleanup(func() { a.Close(); b.Close() })
	raw, err := a.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	s := &socket{raw: raw}
	err = s.control(func(fd int) error {
		for _, name := range []string{longChoice, nearChoice, set} {
			if err := unix.SetsockoptString(fd, unix.IPPROTO_TCP, unix.TCP_CONGESTION, name); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Skipf("this system does not let us choose: %v", err)
	}
	return s
}

func (s *socket) wantCongestion(t *testing.T, want string) {
	t.Helper()
	err := s.control(func(fd int) error {
		got, err := congestion(fd)
		if err == nil && got != want {
			err = errors.New(got)
		}
		return err
	})
	if err != nil {
		t.Errorf("congestion control is %v, want %s", err, want)
	}
}

// TestControl: BBR gives way to cubic before a socket connects, and any other
// choice stands.
func TestControl(t *testing.T) {
	for set, want := range map[string]string{longChoice: nearChoice, "reno": "reno"} {
		s := below(t, set)
		if err := Control("", "", s.raw); err != nil {
			t.Error(err)
		}
		s.wantCongestion(t, want)
	}
}

// TestSuitPath: a near peer keeps cubic; to a far one goes what the system has
// chosen, and what was not ours stays.
func TestSuitPath(t *testing.T) {
	fresh, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fresh)
	far, err := congestion(fresh)
	if err != nil {
		t.Fatal(err)
	}
	if far != longChoice {
		far = nearChoice
	}
	for _, tt := range []struct {
		set  string
		rtt  uint32
		want string
	}{
		{nearChoice, 1, nearChoice},
		{nearChoice, nearPath, nearChoice},
		{nearChoice, nearPath + 1, far},
		{nearChoice, 0, far},
		{"reno", nearPath + 1, "reno"},
	} {
		s := below(t, tt.set)
		if err := s.suitPath(tt.rtt); err != nil {
			t.Error(err)
		}
		s.wantCongestion(t, tt.want)
	}
}
