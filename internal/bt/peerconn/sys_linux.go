package peerconn

import (
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// socket is a TCP connection as the kernel sees it: for the calls that package
// net does not have.
type socket struct {
	raw syscall.RawConn
}

// newSocket returns nil if c cannot be reached.
func newSocket(c *net.TCPConn) *socket {
	raw, err := c.SyscallConn()
	if err != nil {
		return nil
	}
	s := &socket{raw: raw}
	_ = s.setWriteLow(minAhead) // failing costs speed only
	return s
}

// setReadLow makes the kernel report the socket as readable only when n bytes
// have come.
func (s *socket) setReadLow(n int) error { return s.set(unix.SOL_SOCKET, unix.SO_RCVLOWAT, n) }

// setWriteLow makes the kernel take no more when n bytes are unsent.
func (s *socket) setWriteLow(n int) error {
	return s.set(unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, n)
}

// setPace limits how fast packets leave, in bytes a second; 0 ends that, as
// does more than an int32 holds.
func (s *socket) setPace(rate int64) error {
	if rate <= 0 || rate > math.MaxInt32 {
		rate = -1
	}
	return s.set(unix.SOL_SOCKET, unix.SO_MAX_PACING_RATE, int(rate))
}

func (s *socket) set(level, opt, n int) error {
	return s.control(func(fd int) error { return unix.SetsockoptInt(fd, level, opt, n) })
}

func (s *socket) control(do func(fd int) error) (err error) {
	if outer := s.raw.Control(func(fd uintptr) { err = do(int(fd)) }); outer != nil {
		return outer
	}
	return err
}

// RTT returns the smoothed round-trip time that the kernel measured, in
// microseconds, 0 if it is not known.
func (c *Conn) RTT() (micros uint32) {
	if c.kernel == nil {
		return 0
	}
	_ = c.kernel.control(func(fd int) error {
		info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
		if err == nil {
			micros = info.Rtt
			if info.Min_rtt != 0 && info.Min_rtt < micros {
				micros = info.Min_rtt
			}
		}
		return err
	})
	return micros
}

// queued is how many bytes the kernel holds for us.
func (s *socket) queued() (n int) {
	_ = s.control(func(fd int) (err error) {
		n, err = unix.IoctlGetInt(fd, unix.SIOCINQ)
		return err
	})
	return n
}

// tryRead reads what is there, and nothing if that is nothing.
func (s *socket) tryRead(p []byte) (n int, err error) {
	outer := s.raw.Read(func(fd uintptr) bool {
		for {
			n, err = unix.Read(int(fd), p)
			if err != unix.EINTR {
				return true
			}
		}
	})
	switch {
	case outer != nil:
		return 0, outer
	case err == unix.EAGAIN:
		return 0, nil
	case err != nil:
		return 0, os.NewSyscallError("read", err)
	case n == 0:
		return 0, io.EOF
	}
	return n, nil
}

// sendMore writes p, after which more follows at once.
func (s *socket) sendMore(p []byte) error { return s.send(p, unix.MSG_MORE) }

// sendTrain writes p so that the kernel puts nothing else behind it in a packet.
func (s *socket) sendTrain(p []byte) error { return s.send(p, unix.MSG_EOR) }

func (s *socket) send(p []byte, flags int) error {
	var sendErr error
	err := s.raw.Write(func(fd uintptr) bool {
		for len(p) > 0 {
			n, err := unix.SendmsgN(int(fd), p, nil, nil, flags|unix.MSG_NOSIGNAL)
			switch {
			case err == unix.EINTR:
			case err == unix.EAGAIN:
				return false
			case err != nil:
				sendErr = os.NewSyscallError("sendmsg", err)
				return true
			default:
				p = p[n:]
			}
		}
		return true
	})
	if err != nil {
		return err
	}
	return sendErr
}

// sendFile sends n bytes of f from off. The offset is explicit because many
// connections share the descriptor (net.TCPConn.ReadFrom would move its
// position).
func (s *socket) sendFile(f *os.File, off, n int64) error {
	src, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var sent int64
	var waitErr, sendErr error
	err = src.Control(func(in uintptr) {
		waitErr = s.raw.Write(func(out uintptr) (done bool) {
			done, sendErr = sendStroke(int(out), int(in), off, n, &sent)
			return done
		})
	})
	if err := errors.Join(err, waitErr, sendErr); err != nil {
		return fmt.Errorf("sendfile %s at %d: %w", f.Name(), off+sent, err)
	}
	return nil
}

// sendStroke goes on with one stroke until it is through or the socket is full.
func sendStroke(out, in int, off, n int64, sent *int64) (done bool, err error) {
	for *sent < n {
		at := off + *sent
		k, err := unix.Sendfile(out, in, &at, int(n-*sent))
		switch {
		case err == unix.EINTR:
		case err == unix.EAGAIN:
			return false, nil
		case err != nil:
			return true, os.NewSyscallError("sendfile", err)
		case k == 0:
			return true, io.ErrUnexpectedEOF // the file has become shorter
		default:
			*sent += int64(k)
		}
	}
	return true, nil
}
