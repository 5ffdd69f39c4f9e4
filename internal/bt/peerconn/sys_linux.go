package peerconn

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

const haveSendfile = true

// notSentLowat bounds what a socket holds unsent, in bytes: enough to ride
// out a late wake-up at 10 Gbit/s, small enough that control messages do not
// wait behind megabytes.
const notSentLowat = 512 << 10

// tune sets what every peer connection wants of TCP. Failures cost speed only.
func tune(c *net.TCPConn) {
	_ = c.SetNoDelay(true)
	_ = control(c, func(fd int) error {
		return unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, notSentLowat)
	})
}

func rcvLowat(c *net.TCPConn, n int) error {
	return control(c, func(fd int) error { return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVLOWAT, n) })
}

// RTT returns the smoothed round-trip time that the kernel measured, in
// microseconds, 0 if it is not known.
func (c *Conn) RTT() (micros uint32) {
	if c.tcp == nil {
		return 0
	}
	_ = control(c.tcp, func(fd int) error {
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

func control(c *net.TCPConn, set func(fd int) error) error {
	rc, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var setErr error
	if err := rc.Control(func(fd uintptr) { setErr = set(int(fd)) }); err != nil {
		return err
	}
	return setErr
}

// sendMore writes p with MSG_MORE.
func (c *Conn) sendMore(p []byte) error {
	rc, err := c.tcp.SyscallConn()
	if err != nil {
		return err
	}
	var sendErr error
	err = rc.Write(func(fd uintptr) bool {
		for len(p) > 0 {
			n, err := unix.SendmsgN(int(fd), p, nil, nil, unix.MSG_MORE|unix.MSG_NOSIGNAL)
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
// position), and a stroke is bounded because a cold read holds a thread.
func (c *Conn) sendFile(ctx context.Context, f *os.File, off, n int64) error {
	rc, err := c.tcp.SyscallConn()
	if err != nil {
		return err
	}
	src, err := f.SyscallConn()
	if err != nil {
		return err
	}
	for n > 0 {
		stroke := min(n, strokeSize)
		if c.o.Up.Limited() {
			stroke = min(stroke, int64(c.o.Up.Chunk(strokeSize)))
		}
		if err := c.o.Up.Wait(ctx, int(stroke)); err != nil {
			return err
		}
		if err := c.allow(); err != nil {
			return err
		}
		var sent int64
		var waitErr, sendErr error
		err := src.Control(func(in uintptr) {
			waitErr = rc.Write(func(out uintptr) (done bool) {
				done, sendErr = sendStroke(int(out), int(in), off, stroke, &sent)
				return done
			})
		})
		if err := errors.Join(err, waitErr, sendErr); err != nil {
			return fmt.Errorf("sendfile %s at %d: %w", f.Name(), off+sent, err)
		}
		off, n = off+stroke, n-stroke
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
